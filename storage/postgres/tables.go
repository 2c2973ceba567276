package postgres

import (
	"fmt"
	"strings"
)

// table is where the records of one sort are. All its columns are BYTEA.
type table struct {
	name    string
	noun    string   // the record in error messages
	columns []string // "id" comes first, then "expires" if it has one

	// The statements that are alike for all tables; they take any number of rows.
	insert, upsert, remove, existing string
	// sweep removes those of the given rows that have expired and that nobody
	// is working with, from tables of the given version.
	sweep string
	// selectOfGrant reads what comes of a grant, and the grant; lockOfGrant keeps
	// both as they are.
	selectOfGrant, lockOfGrant string
}

var (
	grants         = newTable("grants", "grant", "id", "expires", "bound_to", "revoked", "record")
	codes          = newTable("codes", "code", "id", "expires", "grant_id", "used", "record")
	accessTokens   = newTable("access_tokens", "access token", "id", "expires", "grant_id", "revoked", "record")
	refreshTokens  = newTable("refresh_tokens", "refresh token", "id", "expires", "grant_id", "used", "record")
	sessions       = newTable("sessions", "session", "id", "expires", "sid", "record")
	sessionClients = newTable("session_clients", "session client", "id", "expires", "record")
	consents       = newTable("consents", "consent", "id", "record")
	clients        = newTable("clients", "client", "id", "version", "record")
	clientOrigins  = newTable("client_origins", "origin", "id", "client_id")
	identifiers    = newTable("identifiers", "identifier", "id", "expires")
	pushedRequests = newTable("pushed_requests", "pushed request", "id", "expires", "record")
	deviceCodes    = newTable("device_codes", "device code", "id", "expires", "user_code", "decided", "grant_id", "used", "polled", "record")
	keys           = newTable("keys", "key", "id", "record")
)

// tables are all of them. What expires at the same instant is swept in this
// order: a grant goes after all that came of it.
var tables = []*table{
	codes, accessTokens, refreshTokens, sessions, grants, consents, keys, clients,
	identifiers, pushedRequests, deviceCodes, sessionClients,
}

func newTable(name, noun string, columns ...string) *table {
	var arrays, replaced []string
	for i, column := range columns {
		arrays = append(arrays, fmt.Sprintf("$%d::BYTEA[]", i+1))
		if i > 0 {
			replaced = append(replaced, column+" = excluded."+column)
		}
	}
	t := &table{name: name, noun: noun, columns: columns}
	t.insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s)", name, strings.Join(columns, ", "), strings.Join(arrays, ", "))
	t.upsert = fmt.Sprintf("%s ON CONFLICT (id) DO UPDATE SET %s", t.insert, strings.Join(replaced, ", "))
	t.remove = fmt.Sprintf("DELETE FROM %s WHERE id = ANY($1)", name)
	t.existing = fmt.Sprintf("SELECT id FROM %s WHERE id = ANY($1)", name)
	if state := columns[len(columns)-2]; columns[2%len(columns)] == "grant_id" {
		const from = "FROM %s x JOIN grants g ON g.id = x.grant_id WHERE x.id = $1"
		t.selectOfGrant = fmt.Sprintf("SELECT x.record, x.%s, g.record, g.revoked "+from, state, name)
		t.lockOfGrant = fmt.Sprintf("SELECT x.%s, g.id, g.expires, g.revoked "+from+" FOR UPDATE", state, name)
	}
	t.sweep = fmt.Sprintf("DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE id = ANY($1) AND expires < $2 FOR UPDATE SKIP LOCKED) AND $3 = ("+selectVersion+")", name)
	return t
}

func (t *table) expires() bool { return t.columns[1] == "expires" }

// comesOfGrant says whether what is in a table comes of a grant.
func (t *table) comesOfGrant() bool { return t.selectOfGrant != "" }

// String names a record of this table in error messages.
func (t *table) String() string { return t.noun }
