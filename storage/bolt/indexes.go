package bolt

import (
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

// index notes when a record expires; a zero time is never.
func (t *tx) index(expires time.Time, k kind, key []byte) error {
	if expires.IsZero() {
		return nil
	}
	return t.store(expiryBucket, indexKey(expires, k, key), []byte{})
}

func (t *tx) unindex(expires time.Time, k kind, key []byte) error {
	t.written = true
	return t.Bucket(expiryBucket).Delete(indexKey(expires, k, key))
}

// endNow removes a record, if it is there, with its places in the indexes: for
// those that may be replaced or ended before they expire.
func (t *tx) endNow(k kind, key []byte) error {
	if !t.has(k, key) {
		return nil
	}
	expires, err := record{k, key}.expires(t)
	if err != nil {
		return err
	}
	if err := t.unindex(expires, k, key); err != nil {
		return err
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

var (
	sessionGrantBucket = []byte("sessiongrant")
	sidBucket          = []byte("sid")
	userCodeBucket     = []byte("usercode")
	originBucket       = []byte("origin")
)

// entry is a record's place in such an index.
type entry struct{ bucket, key, value []byte }

// grantEntries are where a session finds its grant, none for a grant without one.
func grantEntries(g storage.Grant) []entry {
	if g.SessionID == "" {
		return nil
	}
	return []entry{{sessionGrantBucket, ordered.Pair(g.SessionID, g.ID), []byte{}}}
}

// sessionEntries are where a "sid" finds its session, none for a session without
// one.
func sessionEntries(s storage.Session) []entry {
	if s.SID == "" {
		return nil
	}
	return []entry{{sidBucket, ordered.Pair(s.SID, string(s.ID[:])), []byte{}}}
}

// clientEntries are where origins find their client.
func clientEntries(c storage.Client) (all []entry) {
	for i, origin := range c.Origins {
		if !slices.Contains(c.Origins[:i], origin) {
			all = append(all, entry{originBucket, ordered.Pair(origin, c.ID), []byte{}})
		}
	}
	return all
}

// sessionsOf returns the keys of the sessions of a "sid": more than one if two
// took the place of the same one at once.
func (t *tx) sessionsOf(sid string) (ids [][]byte) {
	prefix := ordered.Pair(sid, "")
	for _, key := range t.keysUnder(sidBucket, prefix) {
		ids = append(ids, key[len(prefix):])
	}
	return ids
}

// deviceCodeEntries are where a user code finds its device code.
func deviceCodeEntries(d storage.DeviceCode) []entry {
	return []entry{{userCodeBucket, []byte(d.UserCode), d.ID[:]}}
}

// entriesOf returns the entries of a stored record.
func (t *tx) entriesOf(k kind, key []byte) ([]entry, error) {
	switch k {
	case grants:
		grant, err := get[storage.Grant](t, k, key)
		return grantEntries(grant), err
	case sessions:
		session, err := get[storage.Session](t, k, key)
		return sessionEntries(session), err
	case deviceCodes:
		code, err := get[storage.DeviceCode](t, k, key)
		return deviceCodeEntries(code), err
	case clients:
		client, err := get[storage.Client](t, k, key)
		return clientEntries(client), err
	default:
		return nil, nil
	}
}

// enter makes entries.
func (t *tx) enter(entries []entry) error {
	for _, e := range entries {
		if err := t.store(e.bucket, e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}

// leave removes entries.
func (t *tx) leave(entries []entry) error {
	for _, e := range entries {
		t.written = true
		if err := t.Bucket(e.bucket).Delete(e.key); err != nil {
			return err
		}
	}
	return nil
}
