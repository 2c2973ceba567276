package bolt

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// The expiry index.

var expiryBucket = []byte("expiry")

func indexKey(expires time.Time, k kind, key []byte) []byte {
	return append(append(ordered.AppendInstant(nil, expires), byte(k)), key...)
}

// indexed is what an entry is for, kind 0 if it is none.
func indexed(entry []byte) (kind, []byte) {
	if len(entry) <= boundSize {
		return 0, nil
	}
	return kind(entry[ordered.InstantSize]), entry[boundSize:]
}

// index notes when a record expires; a zero time is never. An issued record is
// there with all of its span.
func (t *tx) index(expires time.Time, k kind, at []byte) error {
	if expires.IsZero() {
		return nil
	}
	if t.issues(k) {
		t.expect(span(at[:spanSize]), boundOf(expires, k))
		return nil
	}
	t.written = true
	return t.open(expiryBucket).Put(indexKey(expires, k, at), []byte{})
}

func (t *tx) unindex(expires time.Time, k kind, key []byte) error {
	t.written = true
	return t.open(expiryBucket).Delete(indexKey(expires, k, key))
}

// endNow removes a record, if it is there, with its places in the indexes: for
// those that may be replaced or ended before they expire. The bound of an issued
// one's span stays until the sweep looks.
func (t *tx) endNow(k kind, key []byte) error {
	if !t.has(k, key) {
		return nil
	}
	if !t.issues(k) {
		expires, err := record{k, key}.expires(t)
		if err != nil {
			return err
		}
		if err := t.unindex(expires, k, key); err != nil {
			return err
		}
	}
	entries, err := t.entriesOf(k, key)
	if err != nil {
		return err
	}
	if err := t.leave(entries); err != nil {
		return err
	}
	return t.remove(k, key)
}

// The other indexes find records by what is not their key.

// entry is a record's place in such an index.
type entry struct {
	kind       kind // the index
	key, value []byte
}

// grantEntries are where a session finds its grant, none for a grant without one.
func grantEntries(g *storage.Grant) []entry {
	if g.SessionID == "" {
		return nil
	}
	return []entry{{sessionGrants, ordered.Pair(g.SessionID, g.ID), []byte{}}}
}

// sessionEntries are where a "sid" finds its session, none for a session without
// one.
func sessionEntries(s *storage.Session) []entry {
	if s.SID == "" {
		return nil
	}
	return []entry{{sids, ordered.Pair(s.SID, string(s.ID[:])), []byte{}}}
}

// firstOf is the first part of an ordered.Pair, all of what is none.
func firstOf(key []byte) []byte {
	if second := secondOf(key); second != nil {
		return key[2 : len(key)-len(second)]
	}
	return key
}

// secondOf is the second part of an ordered.Pair, nil if it has none.
func secondOf(key []byte) []byte {
	if len(key) < 2 || len(key) < 2+int(binary.BigEndian.Uint16(key)) {
		return nil
	}
	return key[2+int(binary.BigEndian.Uint16(key)):]
}

// clientEntries are where origins find their client.
func clientEntries(c *storage.Client) (all []entry) {
	for i, origin := range c.Origins {
		if !slices.Contains(c.Origins[:i], origin) {
			all = append(all, entry{origins, ordered.Pair(origin, c.ID), []byte{}})
		}
	}
	return all
}

// sessionsOf returns the keys of the sessions of a "sid": more than one if two
// took the place of the same one at once.
func (t *tx) sessionsOf(sid string) (ids [][]byte) {
	prefix := ordered.Pair(sid, "")
	for _, key := range t.keysUnder(sids, prefix) {
		ids = append(ids, key[len(prefix):])
	}
	return ids
}

// deviceCodeEntries are where a user code finds its device code.
func deviceCodeEntries(d *storage.DeviceCode) []entry {
	return []entry{{userCodes, []byte(d.UserCode), d.ID[:]}}
}

// entriesOf returns the entries of a stored record.
func (t *tx) entriesOf(k kind, key []byte) ([]entry, error) {
	switch k {
	case grants:
		grant, err := get[storage.Grant](t, k, key)
		return grantEntries(&grant), err
	case sessions:
		session, err := get[storage.Session](t, k, key)
		return sessionEntries(&session), err
	case deviceCodes:
		code, err := get[storage.DeviceCode](t, k, key)
		return deviceCodeEntries(&code), err
	case clients:
		client, err := get[storage.Client](t, k, key)
		return clientEntries(&client), err
	default:
		return nil, nil
	}
}

// enter makes entries.
func (t *tx) enter(entries []entry) error {
	for _, e := range entries {
		if err := t.put(e.kind, t.at(e.kind, e.key), e.value); err != nil {
			return err
		}
	}
	return nil
}

// leave removes entries.
func (t *tx) leave(entries []entry) error {
	for _, e := range entries {
		if err := t.remove(e.kind, e.key); err != nil {
			return err
		}
	}
	return nil
}
