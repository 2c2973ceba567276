package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// maxKey is the longest identifier; PostgreSQL indexes no more than 2,704 bytes.
const maxKey = 2048

// row is a record on its way into its table.
type row struct {
	table *table
	// values are those of the table's columns.
	values [][]byte
	// grantID is the grant that a code or token comes of.
	grantID string
}

func (r row) id() []byte { return r.values[0] }

// expiresColumn is where a row has its end, which for codes and refresh tokens
// the grant decides.
const expiresColumn = 1

// userCodeColumn is the other identifier of a device code.
const userCodeColumn = 2

// prepare encodes what a Changes writes, before any connection is taken for it,
// and refuses what could not be written.
func prepare(c storage.Changes) (*commit, error) {
	p := &preparation{commit: &commit{Changes: c, inserted: map[string]storage.Grant{}}}
	p.insertGrants()
	p.insertOthers()
	p.replace()
	p.checkConsents()
	return p.commit, errors.Join(append(p.errs, c.Check())...)
}

// preparation is a commit that comes to be.
type preparation struct {
	*commit
	errs []error
}

// row makes a row of a record whose JSON is its last column, and of the columns
// before that.
func (p *preparation) row(t *table, record any, columns ...[]byte) row {
	value, err := json.Marshal(storage.InUTC(record))
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", t, err))
	}
	return p.check(row{table: t, values: append(columns, value)})
}

func (p *preparation) check(r row) row {
	for _, key := range r.identities() {
		if len(key.id) == 0 || len(key.id) > maxKey {
			p.errs = append(p.errs, fmt.Errorf("%s: identifier of %d bytes", r.table, len(key.id)))
		}
	}
	return r
}

func (r row) of(grantID string) row {
	r.grantID = grantID
	return r
}

// insertGrants prepares grants and what comes of them.
func (p *preparation) insertGrants() {
	for _, g := range p.Grants {
		p.inserted[g.ID] = g
		var boundTo []byte
		if g.SessionBound {
			boundTo = nullable(g.SessionID)
		}
		p.inserts = append(p.inserts, p.row(grants, g, []byte(g.ID), instant(g.ExpiresAt), boundTo, instant(g.RevokedAt)))
	}
	for _, x := range p.Codes {
		r := p.row(codes, x, ordered.Digest(x.ID), nil, []byte(x.GrantID), instant(x.UsedAt))
		p.inserts = append(p.inserts, r.of(x.GrantID))
	}
	for _, a := range p.AccessTokens {
		r := p.row(accessTokens, a, ordered.Digest(a.ID), instant(a.ExpiresAt), []byte(a.GrantID), instant(a.RevokedAt))
		p.inserts = append(p.inserts, r.of(a.GrantID))
	}
	for _, x := range p.RefreshTokens {
		r := p.row(refreshTokens, x, ordered.Digest(x.ID), nil, []byte(x.GrantID), instant(x.UsedAt))
		p.inserts = append(p.inserts, r.of(x.GrantID))
	}
}

// insertOthers prepares what else must be new.
func (p *preparation) insertOthers() {
	for _, x := range p.Once {
		p.onces = append(p.onces, p.check(row{table: identifiers, values: [][]byte{ordered.Digest(x.ID), instant(x.ExpiresAt)}}))
	}
	for _, x := range p.Clients {
		p.inserts = append(p.inserts, p.client(x))
	}
	for _, r := range p.PushedRequests {
		p.inserts = append(p.inserts, p.row(pushedRequests, r, ordered.Digest(r.ID), instant(r.ExpiresAt)))
	}
	for _, d := range p.DeviceCodes {
		p.inserts = append(p.inserts, p.row(deviceCodes, d, ordered.Digest(d.ID), instant(d.ExpiresAt),
			[]byte(d.UserCode), instant(d.DecidedAt), nullable(d.GrantID), instant(d.UsedAt), instant(d.LastPollAt)))
	}
}

// replace prepares what may be there already. Of several with one identifier
// the last one stays: a statement may write a row once.
func (p *preparation) replace() {
	for _, x := range p.UpdateClients {
		p.upserts = append(p.upserts, p.client(x))
	}
	for _, s := range p.Sessions {
		p.upserts = append(p.upserts, p.row(sessions, s, ordered.Digest(s.ID), instant(s.ExpiresAt), nullable(s.SID)))
	}
	for _, x := range p.SessionClients {
		p.upserts = append(p.upserts, p.row(sessionClients, x, ordered.SessionClient(x.SID, x.ClientID), instant(x.ExpiresAt)))
	}
	for _, k := range p.Keys {
		p.upserts = append(p.upserts, p.row(keys, k, []byte(k.ID)))
	}
	last := map[identity]int{}
	for i, r := range p.upserts {
		last[r.identity()] = i
	}
	kept := p.upserts[:0]
	for i, r := range p.upserts {
		if last[r.identity()] == i {
			kept = append(kept, r)
		}
	}
	p.upserts = slices.Clip(kept)
}

func (p *preparation) client(c storage.Client) row {
	for _, r := range originsOf(c) {
		p.check(r)
	}
	if slices.Contains(c.Origins, "") {
		p.errs = append(p.errs, fmt.Errorf("%s: empty origin", clients))
	}
	return p.row(clients, c, []byte(c.ID), []byte(c.Version))
}

// originsOf returns the rows of a client's origins.
func originsOf(c storage.Client) (rows []row) {
	for i, origin := range c.Origins {
		if !slices.Contains(c.Origins[:i], origin) {
			rows = append(rows, row{table: clientOrigins, values: [][]byte{ordered.Pair(origin, c.ID), []byte(c.ID)}})
		}
	}
	return rows
}

// checkConsents refuses consents that could not be written. What is written
// depends on what is there, so it is encoded in the transaction.
func (p *preparation) checkConsents() {
	for _, c := range p.Consents {
		p.row(consents, c, ordered.Consent(c.ConsentID))
	}
}

// identity is what no two rows share.
type identity struct {
	identityKind
	id string
}

type identityKind struct {
	table    *table
	userCode bool // not the device code's ID
}

func (r row) identity() identity { return identity{identityKind{table: r.table}, string(r.id())} }

// identities are a row's identity, and the other one of a device code.
func (r row) identities() []identity {
	all := []identity{r.identity()}
	if r.table == deviceCodes {
		all = append(all, identity{identityKind{r.table, true}, string(r.values[userCodeColumn])})
	}
	return all
}
