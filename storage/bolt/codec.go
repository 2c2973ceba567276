package bolt

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// Records that every flow writes and reads are packed: their fields one after the
// other, without names. That is a tenth of what JSON costs, of which a flow would
// else pay more than for its signature. The others are JSON; so are packed ones that
// were written before schema 5. The first byte tells.

// packed is the first byte of a packed record. JSON begins with a brace.
const packed = 1

var (
	errCutShort = errors.New("the record is cut short")
	errNoTime   = errors.New("not a time of the years 0 to 9999") // JSON has no others (RFC 3339 §1)
)

// appendRecord appends a record, of which a pointer is given, as it is stored. For
// one of an issued kind it leaves room for the instant at which it expires.
func appendRecord(b []byte, k kind, record any) ([]byte, error) {
	if k.issued() {
		b = append(b, make([]byte, ordered.InstantSize)...)
	}
	p := packer{b: append(b, packed)}
	if !p.record(record) {
		text, err := json.Marshal(storage.InUTC(record))
		return append(b, text...), err
	}
	return p.b, p.err
}

// record writes or reads one of those that are packed, and reports whether it is one.
func (p *packer) record(record any) bool {
	switch r := record.(type) {
	case *storage.Grant:
		p.grant(r)
	case *storage.Code:
		p.code(r)
	case *storage.AccessToken:
		p.accessToken(r)
	case *storage.RefreshToken:
		p.refreshToken(r)
	case *storage.Session:
		p.session(r)
	case *storage.SessionClient:
		p.sessionClient(r)
	case *storage.Once:
		p.once(r)
	default:
		return false
	}
	return true
}

// decode reads what appendRecord made, behind the instant. The record has its own memory.
func decode[T any](k kind, value []byte) (record T, err error) {
	if len(value) > 0 && value[0] == packed {
		err = unpack(value[1:], &record)
	} else {
		err = json.Unmarshal(value, &record)
	}
	if err != nil {
		return record, fmt.Errorf("stored %s: %w", k, err)
	}
	return record, nil
}

func unpack(value []byte, record any) error {
	p := packer{rest: string(value), reading: true}
	if !p.record(record) {
		return fmt.Errorf("a %T is never packed", record)
	}
	if p.err == nil && p.rest != "" {
		return fmt.Errorf("%d bytes too many", len(p.rest))
	}
	return p.err
}

// The order of the fields is in files: a new one comes last in its record, and is read
// only where something is left.

func (p *packer) grant(g *storage.Grant) {
	p.strings(&g.ID, &g.ClientID, &g.Subject, &g.SessionID, &g.RedirectURI, &g.Nonce, &g.ACR)
	p.bool(&g.SessionBound)
	p.list(&g.Scopes)
	p.list(&g.Audience)
	p.list(&g.AMR)
	p.bytes(&g.Claims)
	p.times(&g.AuthTime, &g.RequestedAt, &g.CreatedAt, &g.ExpiresAt, &g.RevokedAt)
}

func (p *packer) code(c *storage.Code) {
	p.digest(&c.ID)
	p.strings(&c.GrantID, &c.CodeChallenge, &c.CodeChallengeMethod, &c.JKT)
	p.times(&c.ExpiresAt, &c.UsedAt)
}

func (p *packer) accessToken(a *storage.AccessToken) {
	p.digest(&a.ID)
	p.strings(&a.GrantID, &a.JTI, &a.JKT)
	p.list(&a.Scopes)
	p.list(&a.Audience)
	p.times(&a.IssuedAt, &a.ExpiresAt, &a.RevokedAt)
}

func (p *packer) refreshToken(r *storage.RefreshToken) {
	p.digest(&r.ID)
	p.strings(&r.GrantID, &r.JKT)
	p.times(&r.IssuedAt, &r.ExpiresAt, &r.UsedAt)
}

func (p *packer) session(s *storage.Session) {
	p.digest(&s.ID)
	p.strings(&s.SID, &s.Subject, &s.ACR)
	p.list(&s.AMR)
	p.times(&s.AuthTime, &s.ExpiresAt)
}

func (p *packer) sessionClient(c *storage.SessionClient) {
	p.strings(&c.SID, &c.ClientID, &c.Subject, &c.ClientSID)
	p.times(&c.ExpiresAt)
}

func (p *packer) once(o *storage.Once) {
	p.digest(&o.ID)
	p.times(&o.ExpiresAt)
}

// packer writes fields behind one another, or reads them in the same order.
type packer struct {
	b       []byte // what was written
	reading bool
	rest    string // what is to be read
	err     error
}

// take returns the next n bytes that are to be read, "" after an error.
func (p *packer) take(n uint64) string {
	if p.err != nil || n > uint64(len(p.rest)) {
		p.err = errCutShort
		return ""
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// size writes or reads a length.
func (p *packer) size(n int) int {
	if !p.reading {
		p.b = binary.AppendUvarint(p.b, uint64(n)) //nolint:gosec // a length
		return n
	}
	var size uint64
	for shift := 0; ; shift += 7 {
		next := p.take(1)
		if next == "" || shift > 28 {
			p.err = errCutShort
			return 0
		}
		size |= uint64(next[0]&0x7f) << shift
		if next[0] < 0x80 {
			break
		}
	}
	if size > uint64(len(p.rest))+1 { // one more: see list
		p.err = errCutShort
		return 0
	}
	return int(size) //nolint:gosec // no more than there is
}

func (p *packer) strings(fields ...*string) {
	for _, s := range fields {
		n := p.size(len(*s))
		if p.reading {
			*s = p.take(uint64(n)) //nolint:gosec // a length
		} else {
			p.b = append(p.b, *s...)
		}
	}
}

// list and bytes tell nil, 0, from empty, 1.

func (p *packer) list(list *[]string) {
	n := len(*list) + 1
	if *list == nil {
		n = 0
	}
	n = p.size(n)
	if p.reading && n > 0 {
		*list = make([]string, n-1)
	}
	for i := range *list {
		p.strings(&(*list)[i])
	}
}

func (p *packer) bytes(b *[]byte) {
	n := len(*b) + 1
	if *b == nil {
		n = 0
	}
	n = p.size(n)
	switch {
	case !p.reading:
		p.b = append(p.b, *b...)
	case n > 0:
		*b = []byte(p.take(uint64(n - 1)))
	}
}

func (p *packer) bool(value *bool) {
	n := 0
	if *value {
		n = 1
	}
	if n = p.size(n); p.reading {
		*value = n == 1
	}
}

func (p *packer) digest(d *storage.Digest) {
	if p.reading {
		copy(d[:], p.take(uint64(len(d))))
		return
	}
	p.b = append(p.b, d[:]...)
}

// times are as in the expiry index; they come back in UTC.
func (p *packer) times(fields ...*time.Time) {
	for _, t := range fields {
		if p.reading {
			*t = p.instant()
		} else {
			p.b = ordered.AppendInstant(p.b, *t)
		}
		if year := t.UTC().Year(); p.err == nil && (year < 0 || year > 9999) {
			p.err = errNoTime
		}
	}
}

func (p *packer) instant() time.Time {
	instant := []byte(p.take(ordered.InstantSize))
	if p.err != nil {
		return time.Time{}
	}
	t, err := ordered.Time(instant)
	if err != nil {
		p.err = errNoTime
	}
	return t
}
