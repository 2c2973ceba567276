package bolt

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// maxKey is the longest identifier; bbolt's own limit is 32 KiB.
const maxKey = 4096

// row is a record on its way into its bucket.
type row struct {
	kind    kind
	key     []byte
	grantID string    // of a code or token: the grant that it comes of
	expires time.Time // of a code or refresh token: unset, the grant decides
	entries []entry   // its places in the indexes
	value   []byte
}

// prepare encodes what a Changes writes, so that the writer need not, and
// refuses what could not be written: one caller's mistake must not fail the
// transaction of others.
func prepare(c storage.Changes) (*commit, error) {
	p := &preparation{commit: &commit{
		Changes:  c,
		inserted: map[string]storage.Grant{},
		stored:   map[string]storage.Grant{},
	}}
	p.insertGrants()
	p.insertOthers()
	p.replace()
	p.checkConsents()
	return p.commit, errors.Join(append(p.errs, c.CheckTime())...)
}

// preparation is a commit that comes to be.
type preparation struct {
	*commit
	errs []error
}

// row completes a row with the record's encoding.
func (p *preparation) row(r row, record any) row {
	var err error
	if r.value, err = encode(record); err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", r.kind, err))
	}
	identifiers := [][]byte{r.key}
	for _, e := range r.entries {
		identifiers = append(identifiers, e.key)
	}
	for _, key := range identifiers {
		if len(key) == 0 || len(key) > maxKey {
			p.errs = append(p.errs, fmt.Errorf("%s: identifier of %d bytes", r.kind, len(key)))
		}
	}
	return r
}

// insertGrants prepares grants and what comes of them.
func (p *preparation) insertGrants() {
	for _, g := range p.Grants {
		p.inserted[g.ID] = g
		p.inserts = append(p.inserts, p.row(row{kind: grants, key: []byte(g.ID), expires: g.ExpiresAt, entries: grantEntries(g)}, g))
	}
	for _, x := range p.Codes {
		p.inserts = append(p.inserts, p.row(row{kind: codes, key: ordered.Digest(x.ID), grantID: x.GrantID}, x))
	}
	for _, a := range p.AccessTokens {
		p.inserts = append(p.inserts, p.row(row{kind: accessTokens, key: ordered.Digest(a.ID), grantID: a.GrantID, expires: a.ExpiresAt}, a))
	}
	for _, r := range p.RefreshTokens {
		p.inserts = append(p.inserts, p.row(row{kind: refreshTokens, key: ordered.Digest(r.ID), grantID: r.GrantID}, r))
	}
}

// insertOthers prepares what else must be new.
func (p *preparation) insertOthers() {
	for _, x := range p.Once {
		p.onces = append(p.onces, p.row(row{kind: onces, key: ordered.Digest(x.ID), expires: x.ExpiresAt}, x))
	}
	for _, x := range p.Clients {
		p.inserts = append(p.inserts, p.client(x))
	}
	for _, r := range p.PushedRequests {
		p.inserts = append(p.inserts, p.row(row{kind: pushedRequests, key: ordered.Digest(r.ID), expires: r.ExpiresAt}, r))
	}
	for _, d := range p.DeviceCodes {
		r := row{kind: deviceCodes, key: ordered.Digest(d.ID), expires: d.ExpiresAt, entries: deviceCodeEntries(d)}
		p.inserts = append(p.inserts, p.row(r, d))
	}
}

// replace prepares what may be there already.
func (p *preparation) replace() {
	for _, x := range p.UpdateClients {
		p.upserts = append(p.upserts, p.client(x))
	}
	for _, s := range p.Sessions {
		p.upserts = append(p.upserts, p.row(row{kind: sessions, key: ordered.Digest(s.ID), expires: s.ExpiresAt, entries: sessionEntries(s)}, s))
	}
	for _, x := range p.SessionClients {
		p.upserts = append(p.upserts, p.row(row{kind: sessionClients, key: ordered.SessionClient(x.SID, x.ClientID), expires: x.ExpiresAt}, x))
	}
	for _, k := range p.Keys {
		p.upserts = append(p.upserts, p.row(row{kind: keys, key: []byte(k.ID)}, k))
	}
}

func (p *preparation) client(c storage.Client) row {
	if slices.Contains(c.Origins, "") {
		p.errs = append(p.errs, fmt.Errorf("%s: empty origin", clients))
	}
	return p.row(row{kind: clients, key: []byte(c.ID), entries: clientEntries(c)}, c)
}

// checkConsents refuses consents that could not be written. What is written
// depends on what is there, so it is encoded in the transaction.
func (p *preparation) checkConsents() {
	for _, c := range p.Consents {
		p.row(row{kind: consents, key: ordered.Consent(c.ConsentID)}, c)
	}
}
