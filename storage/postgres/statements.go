package postgres

// The statements that are one table's own; those that are alike for all are in
// tables.go, and those that lay out the tables in migrations. Each is valid in
// CockroachDB's dialect, too.

// Transactions. Where rows are locked as below, READ COMMITTED is enough, and no
// transaction fails because of another. CockroachDB has no advisory locks: its
// transactions are SERIALIZABLE.
const (
	beginPostgres  = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginCockroach = "BEGIN ISOLATION LEVEL SERIALIZABLE"
	commitSQL      = "COMMIT"
	rollbackSQL    = "ROLLBACK"
	setIdleLimit   = "SET idle_in_transaction_session_timeout = '20s'"
)

// Lookups.
const (
	selectGrant          = `SELECT record, revoked FROM grants WHERE id = $1`
	selectSession        = `SELECT record FROM sessions WHERE id = $1`
	selectConsent        = `SELECT record FROM consents WHERE id = $1`
	selectSessionClients = `SELECT record FROM session_clients WHERE id >= $1 AND id < $2 ORDER BY id`
	selectClient         = `SELECT record FROM clients WHERE id = $1`
	selectClients        = `SELECT record FROM clients`
	selectOrigins        = `SELECT count(*) FROM (SELECT id FROM client_origins WHERE id >= $1 AND id < $2 LIMIT 1) AS one`
	selectSeen           = `SELECT count(*) FROM identifiers WHERE id = $1`
	selectPushedRequest  = `SELECT record FROM pushed_requests WHERE id = $1`
	selectDeviceCode     = `SELECT record, decided, grant_id, used, polled FROM device_codes WHERE id = $1`
	selectDeviceCodeOf   = `SELECT record, decided, grant_id, used, polled FROM device_codes WHERE user_code = $1`
	selectKeys           = `SELECT record FROM keys`
	// selectKeysVersion is asked for often, and tells at no cost of its own which version
	// the tables have.
	selectKeysVersion = `SELECT n, coalesce((SELECT version FROM oidclab_schema WHERE id = 1), 0) FROM counters WHERE name = 'keys_version'`
)

// What a commit looks at, and keeps as it is until it has ended.
const (
	// lockNames makes commits wait that write sessions of one "sid": what a
	// sign-out deletes must be all there is.
	lockNames  = `SELECT pg_advisory_xact_lock(name) FROM unnest($1::INT8[]) AS name`
	lockGrants = `SELECT id, expires, revoked FROM grants WHERE id = ANY($1) ORDER BY id FOR UPDATE`
	// A session may be shared by those who change none.
	shareSession = `SELECT id FROM sessions WHERE id = $1 FOR SHARE`
	lockSession  = `SELECT id FROM sessions WHERE id = $1 FOR UPDATE`
	shareSID     = `SELECT id FROM sessions WHERE sid = $1 ORDER BY id FOR SHARE`
	lockSID      = `SELECT id FROM sessions WHERE sid = $1 ORDER BY id FOR UPDATE`
	lockDevices  = `SELECT id, decided, used FROM device_codes WHERE id = ANY($1) ORDER BY id FOR UPDATE`
	shareClients = `SELECT id, version FROM clients WHERE id = ANY($1) ORDER BY id FOR SHARE`
	lockClients  = `SELECT id, version FROM clients WHERE id = ANY($1) ORDER BY id FOR UPDATE`
	lockRoom     = `SELECT n FROM counters WHERE name = 'clients' FOR UPDATE`
	lockConsents = `SELECT record FROM consents WHERE id = ANY($1) ORDER BY id FOR UPDATE`
	// existingUserCodes is table.existing for the other key of device codes.
	existingUserCodes = `SELECT user_code FROM device_codes WHERE user_code = ANY($1)`
)

// What a commit changes.
const (
	spendCode          = `UPDATE codes SET used = $2 WHERE id = $1`
	spendRefreshToken  = `UPDATE refresh_tokens SET used = $2 WHERE id = $1`
	decideDeviceCode   = `UPDATE device_codes SET decided = $2, grant_id = $3 WHERE id = $1`
	redeemDeviceCode   = `UPDATE device_codes SET used = $2 WHERE id = $1`
	pollDeviceCodes    = `UPDATE device_codes SET polled = $2 WHERE id = ANY($1)`
	revokeGrants       = `UPDATE grants SET revoked = $2 WHERE id = ANY($1) AND revoked IS NULL`
	revokeAccessTokens = `UPDATE access_tokens SET revoked = $2 WHERE id = ANY($1) AND revoked IS NULL`
	endSessionsOf      = `DELETE FROM sessions WHERE sid = ANY($1)`
	revokeGrantsOf     = `UPDATE grants SET revoked = $2 WHERE bound_to = ANY($1) AND revoked IS NULL`
	updateConsent      = `UPDATE consents SET record = $2 WHERE id = $1`
	countClients       = `UPDATE counters SET n = n + $1 WHERE name = 'clients'`
	countKeysVersion   = `UPDATE counters SET n = n + 1 WHERE name = 'keys_version'`
	deleteOriginsOf    = `DELETE FROM client_origins WHERE client_id = ANY($1)`
	// deleteClients counts those that were there.
	deleteClients = `WITH gone AS (DELETE FROM clients WHERE id = ANY($1) RETURNING id)
		UPDATE counters SET n = n - (SELECT count(*) FROM gone) WHERE name = 'clients'`
)

// Housekeeping.
const (
	// place says where we are: the database, the schema that our tables are in,
	// how many tables it has, and whether the table of the version is there.
	selectPlace = `SELECT version(), current_database(), coalesce(current_schema(), ''),
			(SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()),
			(SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'oidclab_schema')`
	// changeTablesAtOnce is CockroachDB's alone.
	changeTablesAtOnce = `SET autocommit_before_ddl = off`

	// lockVersion waits for those who have read the version and not ended, and makes
	// others wait. CockroachDB, which has no such locks, begins them again.
	lockVersion   = `LOCK TABLE oidclab_schema IN ACCESS EXCLUSIVE MODE`
	lockSchema    = `SELECT pg_advisory_xact_lock(7595426811)`
	createVersion = `CREATE TABLE oidclab_schema (id INT8 PRIMARY KEY, version INT8 NOT NULL)`
	insertVersion = `INSERT INTO oidclab_schema (id, version) VALUES (1, 0)`
	selectVersion = `SELECT version FROM oidclab_schema WHERE id = 1`
	updateVersion = `UPDATE oidclab_schema SET version = $2 WHERE id = 1 AND version = $1`
	// selectState is what Ping wants to know.
	selectState = `SELECT version, current_setting('transaction_read_only') FROM oidclab_schema WHERE id = 1`
)
