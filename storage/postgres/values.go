package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// instant is a time in bytes that compare as times do, for every time that Go
// can express and to the nanosecond: timestamptz has microseconds. The zero time
// is NULL.
func instant(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return ordered.AppendInstant(nil, t)
}

// timeOf is the time of an instant; none is the zero time.
func timeOf(b []byte) (time.Time, error) {
	if len(b) == 0 {
		return time.Time{}, nil
	}
	return ordered.Time(b)
}

// nullable is a name; "" is NULL.
func nullable(name string) []byte {
	if name == "" {
		return nil
	}
	return []byte(name)
}

// afterPair is the first key behind those of pairs with this first name.
func afterPair(first string) []byte {
	key := ordered.Pair(first, "")
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
