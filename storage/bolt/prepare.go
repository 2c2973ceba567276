package bolt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// maxKey is the longest identifier; bbolt's own limit is 32 KiB.
const maxKey = 4096

// row is a record on its way into its bucket.
type row struct {
	kind    kind
	key     []byte
	at      []byte    // its key in the bucket
	grantID string    // of a code or token: the grant that it comes of
	expires time.Time // of a code or refresh token: when its grant does; see checkGrant
	entries []entry   // its places in the indexes
	value   []byte
	again   bool // the Changes insert it twice
}

// prepare encodes what a Changes writes, so that the writer need not, and
// refuses what could not be written: one caller's mistake must not fail the
// transaction of others.
func prepare(c storage.Changes) (*commit, error) {
	c.At = c.At.UTC() // what the transaction stamps with it has to be a time in UTC: see packer.times
	p := &preparation{commit: &commit{Changes: c}, buffer: make([]byte, 0, prepareBuffer)}
	p.inserts = make([]row, 0, len(c.Grants)+len(c.Codes)+len(c.AccessTokens)+len(c.RefreshTokens))
	p.insertGrants()
	p.insertOthers()
	p.replace()
	p.checkConsents()
	markAgain(p.onces)
	markAgain(p.inserts)
	return p.commit, errors.Join(append(p.errs, p.Check())...)
}

// prepareBuffer is room for the keys and records of one request.
const prepareBuffer = 1536

// preparation is a commit that comes to be.
type preparation struct {
	*commit
	buffer []byte // keys and records, one behind the other
	errs   []error
}

// row completes a row with the record's encoding. A pointer to the record is given.
func (p *preparation) row(r row, record any) row {
	p.checkKey(r.kind, r.key)
	for _, e := range r.entries {
		p.checkKey(r.kind, e.key)
	}
	// What follows in the buffer does not get into what is there: hence the capacities.
	r.at = r.key
	if r.kind.issued() {
		begin := len(p.buffer)
		p.buffer = appendIssuedKey(p.buffer, r.kind, r.key)
		r.at = p.buffer[begin:len(p.buffer):len(p.buffer)]
	}
	begin := len(p.buffer)
	var err error
	if p.buffer, err = appendRecord(p.buffer, r.kind, record); err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", r.kind, err))
	}
	r.value = p.buffer[begin:len(p.buffer):len(p.buffer)]
	return r
}

// checkText refuses names that JSON would change: the record would not be where it says,
// and its entries would stay when it goes.
func (p *preparation) checkText(k kind, names ...string) {
	for _, name := range names {
		if !utf8.ValidString(name) {
			p.errs = append(p.errs, fmt.Errorf("%s: identifier that is not UTF-8", k))
		}
	}
}

func (p *preparation) checkKey(k kind, key []byte) {
	if len(key) == 0 || len(key) > maxKey {
		p.errs = append(p.errs, fmt.Errorf("%s: identifier of %d bytes", k, len(key)))
	}
}

// markAgain marks rows that have the key of one before them, in their bucket or in an
// index.
func markAgain(rows []row) {
	type place struct {
		kind kind
		key  []byte
		row  int
	}
	places := make([]place, 0, 2*len(rows))
	for i, r := range rows {
		places = append(places, place{r.kind, r.key, i})
		for _, e := range r.entries {
			places = append(places, place{e.kind, e.key, i})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.key, b.key), cmp.Compare(a.row, b.row))
	})
	for i := 1; i < len(places); i++ {
		if last, next := places[i-1], places[i]; last.kind == next.kind && bytes.Equal(last.key, next.key) {
			rows[next.row].again = true
		}
	}
}

// digestKey is the key of a digest; zero is none.
func digestKey(id *storage.Digest) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// insertGrants prepares grants and what comes of them.
func (p *preparation) insertGrants() {
	for i := range p.Grants {
		g := &p.Grants[i]
		p.inserts = append(p.inserts, p.row(row{kind: grants, key: []byte(g.ID), expires: g.ExpiresAt, entries: grantEntries(g)}, g))
	}
	for i := range p.Codes {
		x := &p.Codes[i]
		p.inserts = append(p.inserts, p.row(row{kind: codes, key: digestKey(&x.ID), grantID: x.GrantID}, x))
	}
	for i := range p.AccessTokens {
		a := &p.AccessTokens[i]
		p.inserts = append(p.inserts, p.row(row{kind: accessTokens, key: digestKey(&a.ID), grantID: a.GrantID, expires: a.ExpiresAt}, a))
	}
	for i := range p.RefreshTokens {
		r := &p.RefreshTokens[i]
		p.inserts = append(p.inserts, p.row(row{kind: refreshTokens, key: digestKey(&r.ID), grantID: r.GrantID}, r))
	}
}

// insertOthers prepares what else must be new.
func (p *preparation) insertOthers() {
	for i := range p.Once {
		x := &p.Once[i]
		p.onces = append(p.onces, p.row(row{kind: onces, key: digestKey(&x.ID), expires: x.ExpiresAt}, x))
	}
	for i := range p.Clients {
		x := &p.Clients[i]
		p.inserts = append(p.inserts, p.client(x))
	}
	for i := range p.PushedRequests {
		r := &p.PushedRequests[i]
		p.inserts = append(p.inserts, p.row(row{kind: pushedRequests, key: digestKey(&r.ID), expires: r.ExpiresAt}, r))
	}
	for i := range p.DeviceCodes {
		d := &p.DeviceCodes[i]
		p.checkText(deviceCodes, d.UserCode)
		r := row{kind: deviceCodes, key: digestKey(&d.ID), expires: d.ExpiresAt, entries: deviceCodeEntries(d)}
		p.inserts = append(p.inserts, p.row(r, d))
	}
}

// replace prepares what may be there already.
func (p *preparation) replace() {
	for i := range p.UpdateClients {
		x := &p.UpdateClients[i]
		p.upserts = append(p.upserts, p.client(x))
	}
	for i := range p.Sessions {
		s := &p.Sessions[i]
		p.upserts = append(p.upserts, p.row(row{kind: sessions, key: digestKey(&s.ID), expires: s.ExpiresAt, entries: sessionEntries(s)}, s))
	}
	for i := range p.SessionClients {
		x := &p.SessionClients[i]
		p.upserts = append(p.upserts, p.row(row{kind: sessionClients, key: ordered.SessionClient(x.SID, x.ClientID), expires: x.ExpiresAt}, x))
	}
	for i := range p.Keys {
		k := &p.Keys[i]
		p.checkText(keys, k.ID)
		p.upserts = append(p.upserts, p.row(row{kind: keys, key: []byte(k.ID)}, k))
	}
}

func (p *preparation) client(c *storage.Client) row {
	if slices.Contains(c.Origins, "") {
		p.errs = append(p.errs, fmt.Errorf("%s: empty origin", clients))
	}
	p.checkText(clients, c.ID)
	p.checkText(clients, c.Origins...)
	return p.row(row{kind: clients, key: []byte(c.ID), entries: clientEntries(c)}, c)
}

// checkConsents refuses consents that could not be written. What is written
// depends on what is there, so it is encoded in the transaction.
func (p *preparation) checkConsents() {
	for i := range p.Consents {
		c := &p.Consents[i]
		p.checkText(consents, c.Subject, c.ClientID)
		p.row(row{kind: consents, key: ordered.Consent(c.ConsentID)}, c)
	}
}
