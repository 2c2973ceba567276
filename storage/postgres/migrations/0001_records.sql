-- Every column is bytes: identifiers as they are, instants in twelve bytes that
-- compare as times do, records as JSON. See doc.go.

CREATE TABLE grants (
	id       BYTEA PRIMARY KEY,
	expires  BYTEA,
	bound_to BYTEA, -- the "sid" of the session that it ends with
	revoked  BYTEA,
	record   BYTEA NOT NULL
);
CREATE INDEX grants_expires ON grants (expires, id);
CREATE INDEX grants_bound_to ON grants (bound_to);

CREATE TABLE codes (
	id       BYTEA PRIMARY KEY,
	expires  BYTEA, -- the grant's end, not the code's own
	grant_id BYTEA NOT NULL,
	used     BYTEA,
	record   BYTEA NOT NULL
);
CREATE INDEX codes_expires ON codes (expires, id);

CREATE TABLE access_tokens (
	id       BYTEA PRIMARY KEY,
	expires  BYTEA,
	grant_id BYTEA NOT NULL,
	revoked  BYTEA,
	record   BYTEA NOT NULL
);
CREATE INDEX access_tokens_expires ON access_tokens (expires, id);

CREATE TABLE refresh_tokens (
	id       BYTEA PRIMARY KEY,
	expires  BYTEA, -- the grant's end, not the token's own
	grant_id BYTEA NOT NULL,
	used     BYTEA,
	record   BYTEA NOT NULL
);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires, id);

CREATE TABLE sessions (
	id      BYTEA PRIMARY KEY,
	expires BYTEA,
	sid     BYTEA,
	record  BYTEA NOT NULL
);
CREATE INDEX sessions_expires ON sessions (expires, id);
CREATE INDEX sessions_sid ON sessions (sid);

CREATE TABLE session_clients (
	id      BYTEA PRIMARY KEY, -- of the "sid" and the client
	expires BYTEA,
	record  BYTEA NOT NULL
);
CREATE INDEX session_clients_expires ON session_clients (expires, id);

CREATE TABLE consents (
	id     BYTEA PRIMARY KEY, -- of the subject and the client
	record BYTEA NOT NULL
);

CREATE TABLE clients (
	id      BYTEA PRIMARY KEY,
	version BYTEA NOT NULL,
	record  BYTEA NOT NULL
);

CREATE TABLE client_origins (
	id        BYTEA PRIMARY KEY, -- of the origin and the client
	client_id BYTEA NOT NULL
);
CREATE INDEX client_origins_client ON client_origins (client_id);

CREATE TABLE identifiers (
	id      BYTEA PRIMARY KEY,
	expires BYTEA
);
CREATE INDEX identifiers_expires ON identifiers (expires, id);

CREATE TABLE pushed_requests (
	id      BYTEA PRIMARY KEY,
	expires BYTEA,
	record  BYTEA NOT NULL
);
CREATE INDEX pushed_requests_expires ON pushed_requests (expires, id);

CREATE TABLE device_codes (
	id        BYTEA PRIMARY KEY,
	expires   BYTEA,
	user_code BYTEA NOT NULL,
	decided   BYTEA,
	grant_id  BYTEA,
	used      BYTEA,
	polled    BYTEA,
	record    BYTEA NOT NULL
);
CREATE INDEX device_codes_expires ON device_codes (expires, id);
CREATE UNIQUE INDEX device_codes_user_code ON device_codes (user_code);

CREATE TABLE keys (
	id     BYTEA PRIMARY KEY,
	record BYTEA NOT NULL
);

-- counters hold what need not be found out each time: how many clients there
-- are, and how many commits have changed keys.
CREATE TABLE counters (
	name TEXT PRIMARY KEY,
	n    INT8 NOT NULL
);
INSERT INTO counters (name, n) VALUES ('clients', 0), ('keys_version', 0);
