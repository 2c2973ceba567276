package bolt

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// The expiry index.

var expiryBucket = []byte("expiry")

// instantSize is the length of an instant in a key.
const instantSize = 8 + 4

// appendInstant appends a time so that bytes compare as times do, for every
// time that Go can express: UnixNano would end in 2262.
func appendInstant(b []byte, t time.Time) []byte {
	// Flipping the sign bit puts negative seconds before positive ones.
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^(math.MaxInt64+1)) //nolint:gosec // the bits are meant
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))          //nolint:gosec // below 1e9
}

func indexKey(expires time.Time, k kind, key []byte) []byte {
	return append(append(appendInstant(nil, expires), byte(k)), key...)
}

// index notes when a record expires; a zero time is never.
func (t *tx) index(expires time.Time, k kind, key []byte) error {
	if expires.IsZero() {
		return nil
	}
	t.written = true
	return t.Bucket(expiryBucket).Put(indexKey(expires, k, key), []byte{})
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
	e, err := t.entryOf(k, key)
	if err != nil {
		return err
	}
	if err := t.leave(e); err != nil {
		return err
	}
	return t.remove(k, key)
}

// The other indexes find records by what is not their key.

var (
	sessionGrantBucket = []byte("sessiongrant")
	sidBucket          = []byte("sid")
	userCodeBucket     = []byte("usercode")
)

// entry is a record's place in such an index.
type entry struct{ bucket, key, value []byte }

// grantEntry is where a session finds its grant, nil for a grant without one.
func grantEntry(g storage.Grant) *entry {
	if g.SessionID == "" {
		return nil
	}
	return &entry{sessionGrantBucket, pairKey(g.SessionID, g.ID), []byte{}}
}

// sessionEntry is where a "sid" finds its session, nil for a session without one.
func sessionEntry(s storage.Session) *entry {
	if s.SID == "" {
		return nil
	}
	return &entry{sidBucket, pairKey(s.SID, string(s.ID[:])), []byte{}}
}

// sessionsOf returns the keys of the sessions of a "sid": more than one if two
// took the place of the same one at once.
func (t *tx) sessionsOf(sid string) (ids [][]byte) {
	prefix := pairKey(sid, "")
	for _, key := range t.keysUnder(sidBucket, prefix) {
		ids = append(ids, key[len(prefix):])
	}
	return ids
}

// deviceCodeEntry is where a user code finds its device code.
func deviceCodeEntry(d storage.DeviceCode) *entry {
	return &entry{userCodeBucket, []byte(d.UserCode), d.ID[:]}
}

// entryOf returns the entry of a stored record, nil if it has none.
func (t *tx) entryOf(k kind, key []byte) (*entry, error) {
	switch k {
	case grants:
		grant, err := get[storage.Grant](t, k, key)
		return grantEntry(grant), err
	case sessions:
		session, err := get[storage.Session](t, k, key)
		return sessionEntry(session), err
	case deviceCodes:
		code, err := get[storage.DeviceCode](t, k, key)
		return deviceCodeEntry(code), err
	default:
		return nil, nil
	}
}

// enter makes an entry; nil is none.
func (t *tx) enter(e *entry) error {
	if e == nil {
		return nil
	}
	t.written = true
	return t.Bucket(e.bucket).Put(e.key, e.value)
}

// leave removes an entry; nil is none.
func (t *tx) leave(e *entry) error {
	if e == nil {
		return nil
	}
	t.written = true
	return t.Bucket(e.bucket).Delete(e.key)
}
