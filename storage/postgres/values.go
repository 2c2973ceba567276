package postgres

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// instantSize is the length of an instant.
const instantSize = 8 + 4

// instant is a time in bytes that compare as times do, for every time that Go
// can express and to the nanosecond: timestamptz has microseconds. The zero time
// is NULL.
func instant(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	// Flipping the sign bit puts negative seconds before positive ones.
	b := binary.BigEndian.AppendUint64(nil, uint64(t.Unix())^(math.MaxInt64+1)) //nolint:gosec // the bits are meant
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))             //nolint:gosec // below 1e9
}

// timeOf is the time of an instant.
func timeOf(b []byte) (time.Time, error) {
	switch len(b) {
	case 0:
		return time.Time{}, nil
	case instantSize:
		seconds := int64(binary.BigEndian.Uint64(b) ^ (math.MaxInt64 + 1)) //nolint:gosec // the bits are meant
		return time.Unix(seconds, int64(binary.BigEndian.Uint32(b[8:]))).UTC(), nil
	default:
		return time.Time{}, fmt.Errorf("stored instant of %d bytes", len(b))
	}
}

// digestKey is an identifier; zero is none.
func digestKey(id storage.Digest) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// nullable is a name; "" is NULL.
func nullable(name string) []byte {
	if name == "" {
		return nil
	}
	return []byte(name)
}

// pairKey puts the length first, so that no two pairs share a key, and those
// with one first name, pairKey(first, ""), begin alike.
func pairKey(first, second string) []byte {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(first))) //nolint:gosec // prepare refuses names of more than maxKey bytes
	return append(append(key, first...), second...)
}

func consentKey(id storage.ConsentID) []byte { return pairKey(id.Subject, id.ClientID) }

func sessionClientKey(sid, clientID string) []byte {
	if sid == "" || clientID == "" {
		return nil
	}
	return pairKey(sid, clientID)
}

// afterPair is the first key behind those of pairs with this first name.
func afterPair(first string) []byte {
	key := pairKey(first, "")
	for i := len(key) - 1; ; i-- { // a length is never ff ff
		if key[i]++; key[i] != 0 {
			return key[:i+1]
		}
	}
}

// arrays for statements that take any number of rows.

func digestArray(ids ...storage.Digest) [][]byte {
	keys := make([][]byte, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, id[:])
	}
	return keys
}

func nameArray(names ...string) [][]byte {
	keys := make([][]byte, 0, len(names))
	for _, name := range names {
		keys = append(keys, []byte(name))
	}
	return keys
}

// decode reads a record from its JSON.
func decode[T any](t *table, value []byte) (record T, err error) {
	if err := json.Unmarshal(value, &record); err != nil {
		return record, fmt.Errorf("stored %s: %w", t, err)
	}
	return record, nil
}

// column is a field that changes, and so has a column beside the JSON, which is
// as it was when the record was written.
type column struct {
	from []byte
	to   *time.Time
}

// overlay reads columns into their fields.
func overlay(t *table, columns ...column) (err error) {
	for _, c := range columns {
		if *c.to, err = timeOf(c.from); err != nil {
			return fmt.Errorf("stored %s: %w", t, err)
		}
	}
	return nil
}
