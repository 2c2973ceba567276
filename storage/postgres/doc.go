// Package postgres is a storage.Store in a PostgreSQL database, which several
// replicas of the provider share. Its SQL is CockroachDB's, too.
//
// # Reading order
//
//	postgres.go   Options, Open, Close, Ping
//	commit.go     what a storage.Changes checks: codes are redeemed here
//	look.go       what is read and locked for that
//	apply.go      what it writes
//	remove.go     revocation, sign-out and deletion
//	transact.go   the two round trips of a commit, and when it is tried again
//	prepare.go    what is done before there is a transaction
//	read.go       lookups
//	sweep.go      removal of what has expired
//	statements.go the SQL
//	tables.go     the SQL that is alike for all tables
//	values.go     columns
//	migrate.go    the version of the tables, and the way from an older one
//	version.go    what becomes of a store whose tables get another one
//
// # Table map
//
//	table            id                            other columns                              removed by the sweep
//	grants           Grant.ID                      expires, bound_to, revoked, record         after its ExpiresAt
//	codes            Code.ID                       expires, grant_id, used, record            after its grant's ExpiresAt
//	access_tokens    AccessToken.ID                expires, grant_id, revoked, record         after its ExpiresAt
//	refresh_tokens   RefreshToken.ID               expires, grant_id, used, record            after its grant's ExpiresAt
//	sessions         Session.ID                    expires, sid, record                       after its ExpiresAt
//	session_clients  u16(len(SID))‖SID‖ClientID    expires, record                            after its ExpiresAt
//	consents         u16(len(Subject))‖Subject‖…   record                                     never
//	clients          Client.ID                     version, record                            never
//	client_origins   u16(len(Origin))‖Origin‖…     client_id                                  with the client
//	identifiers      Once.ID                       expires                                    after its ExpiresAt
//	pushed_requests  PushedRequest.ID              expires, record                            after its ExpiresAt
//	device_codes     DeviceCode.ID                 expires, user_code, decided, grant_id, …   after its ExpiresAt
//	keys             Key.ID                        record                                     never
//	counters         (name)                        n: of clients, of changes of the keys      never
//	oidclab_schema   1                             version                                    never
//
// A record is its JSON, the Go field names being the names in it, in bytes: a
// string may hold a NUL, which no text of PostgreSQL may. What is sought, and
// what changes afterwards, is a column beside it and counts instead of what the
// JSON says. To read one: SELECT convert_from(record, 'UTF8') FROM grants.
//
// An instant is twelve bytes, seconds then nanoseconds, big-endian, so that the
// indexes are in the order of time and no nanosecond is lost; NULL is the zero
// time. bound_to is the "sid" of the session that a grant ends with.
//
// # How a commit works
//
// The first round trip begins a transaction and reads, with locks, all that the
// preconditions are about. They are checked here. The second one writes and
// commits, or, for a refusal, rolls back. Nothing slow is done in between.
//
// The locks make READ COMMITTED enough: what was checked stays as it is until
// the commit, and no transaction fails because of another. Two cases need more.
// Rows that must not be there cannot be locked: the primary keys keep two
// commits from writing the same one, and the second is tried again, to find out
// what refuses it. And a sign-out must delete all sessions of its "sid": whoever
// writes one of that name holds an advisory lock on the name. CockroachDB has had
// no advisory locks for most of its life, so it is asked for none: there,
// transactions are SERIALIZABLE, and one that another has made impossible is tried
// again. PostgreSQL could do the same, but tries again far more often, since it
// notices what is read in pages and not in rows.
//
// # When a newer program comes
//
// Most upgrades leave the tables as they are: old replicas and new ones serve together,
// and may be exchanged one by one. If the tables change, the first new replica changes
// them when it starts, in one transaction. Commits that are under way end before, others
// wait for it, and what they find is another version: the statements that are here are not
// for these tables. From then on an old replica refuses every call, which the provider
// answers with 503 and Retry-After, and Ping fails, so that the balancer sends nobody
// there. New replicas serve meanwhile: to start enough of them at once, and to end the old
// ones after, is the whole upgrade. There is no way back but the database's own, to an
// older state. When Ping finds in it the version that the store knows, it serves again.
//
// No commit is made by old statements in new tables: it reads the version in its first
// round trip, which also locks the table of the version until its end, against nobody but
// a migration. The sweep asks as well. A lookup does not ask. It is refused as soon as
// anything else has found out, KeysVersion, Ping or its own failure, and may until then
// read what it still can.
//
// # When the database is not there
//
// A connection that breaks before there was anything to commit is replaced, and
// the work done again. If it breaks while COMMIT is under way, nobody knows
// whether it has happened. Commit says so with an error and does not try again:
// the second time it would find its own code used, and revoke the grant of an
// honest client. The client may come back with the code, and then either is
// answered or has to start again: what was not acknowledged may be lost or
// spent, never doubled.
//
// Where the database does not answer, calls wait for a while (transact.go), and Ping
// for a shorter one.
package postgres
