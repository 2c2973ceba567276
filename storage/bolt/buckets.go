package bolt

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
)

// kind is a bucket of records, as one byte in the keys of the expiry index.
// What expires at the same instant is swept in this order: a grant goes after
// all that came of it.
type kind byte

const (
	codes kind = iota + 1
	accessTokens
	refreshTokens
	sessions
	grants
	consents
	keys
)

var kinds = []kind{codes, accessTokens, refreshTokens, sessions, grants, consents, keys}

func (k kind) bucket() []byte {
	switch k {
	case codes:
		return []byte("code")
	case accessTokens:
		return []byte("access")
	case refreshTokens:
		return []byte("refresh")
	case sessions:
		return []byte("session")
	case grants:
		return []byte("grant")
	case consents:
		return []byte("consent")
	case keys:
		return []byte("key")
	default:
		panic(fmt.Sprintf("no such kind of record: %d", k))
	}
}

// String names a record of this kind in error messages.
func (k kind) String() string {
	switch k {
	case accessTokens:
		return "access token"
	case refreshTokens:
		return "refresh token"
	default:
		return string(k.bucket())
	}
}

func digestKey(id storage.Digest) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// consentKey puts the length first, so that no two pairs share a key.
func consentKey(id storage.ConsentID) []byte {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(id.Subject))) //nolint:gosec // prepare refuses names of more than maxKey bytes
	return append(append(key, id.Subject...), id.ClientID...)
}

// tx is a transaction that knows the bucket map.
type tx struct {
	*bbolt.Tx
	// written is set when there is something to commit.
	written bool
}

func (t *tx) has(k kind, key []byte) bool {
	return t.Bucket(k.bucket()).Get(key) != nil
}

// get returns the record under key; its memory is the caller's.
func get[T any](t *tx, k kind, key []byte) (record T, err error) {
	value := t.Bucket(k.bucket()).Get(key)
	if value == nil {
		return record, fmt.Errorf("%s: %w", k, storage.ErrNotFound)
	}
	if err := json.Unmarshal(value, &record); err != nil {
		return record, fmt.Errorf("stored %s: %w", k, err)
	}
	return record, nil
}

func (t *tx) put(k kind, key, value []byte) error {
	t.written = true
	return t.Bucket(k.bucket()).Put(key, value)
}

// update writes a record that was read in this transaction and changed.
func (t *tx) update(k kind, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	return t.put(k, key, value)
}

func (t *tx) remove(k kind, key []byte) error {
	t.written = true
	return t.Bucket(k.bucket()).Delete(key)
}

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
