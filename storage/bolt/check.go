package bolt

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// maxProblems is how many problems Check tells.
const maxProblems = 100

// Check reads the whole file and returns what is wrong with it, at most a hundred
// problems: with its pages, as bbolt sees them; with records that cannot be read,
// or whose grant is gone; with indexes that disagree with the records.
func (f *File) Check() []error {
	// 1. The pages, without trust; then as bbolt understands them.
	if len(f.layout.damage) > 0 {
		return append(slices.Clone(f.layout.damage), errors.New("the records were not looked at, since pages are damaged"))
	}
	c := &checker{}
	err := f.view(func(t *tx) error {
		for err := range t.Check() {
			_ = c.problem("%w", err) // all are read, so that it ends
		}
		if len(c.problems) > 0 {
			return nil
		}
		// 2. The records and their indexes.
		return c.records(f, t)
	})
	if err != nil && !errors.Is(err, errEnough) {
		c.problems = append(c.problems, err)
	}
	return c.problems
}

var errEnough = errors.New("too many problems")

// checker collects problems.
type checker struct{ problems []error }

// problem notes one; errEnough ends the search.
func (c *checker) problem(format string, args ...any) error {
	switch {
	case len(c.problems) < maxProblems:
		c.problems = append(c.problems, fmt.Errorf(format, args...))
		return nil
	case len(c.problems) == maxProblems:
		c.problems = append(c.problems, errors.New("and more"))
	}
	return errEnough
}

// indexes are the buckets that find records of a kind.
var indexes = []struct {
	bucket []byte
	// record is the key of the record that an entry is for.
	record func(key, value []byte) (kind, []byte)
}{
	{expiryBucket, func(key, _ []byte) (kind, []byte) {
		if len(key) <= ordered.InstantSize {
			return 0, nil
		}
		return kind(key[ordered.InstantSize]), key[ordered.InstantSize+1:]
	}},
	{sessionGrantBucket, func(key, _ []byte) (kind, []byte) { return grants, secondOf(key) }},
	{sidBucket, func(key, _ []byte) (kind, []byte) { return sessions, secondOf(key) }},
	{userCodeBucket, func(_, value []byte) (kind, []byte) { return deviceCodes, value }},
	{originBucket, func(key, _ []byte) (kind, []byte) { return clients, secondOf(key) }},
}

// secondOf is the second part of a ordered.Pair, nil if it has none.
func secondOf(key []byte) []byte {
	if len(key) < 2 || len(key) < 2+int(binary.BigEndian.Uint16(key)) {
		return nil
	}
	return key[2+int(binary.BigEndian.Uint16(key)):]
}

func (c *checker) records(f *File, t *tx) error {
	// 1. Every bucket is there, and no other.
	if err := c.buckets(f, t); err != nil {
		return err
	}
	// 2. Every record can be read and is where the indexes say.
	number := 0
	err := f.each(t, func(k kind, key, value []byte) error {
		if k == clients {
			number++
		}
		return c.record(t, k, key, value)
	})
	if err != nil {
		return err
	}
	// 3. The indexes name nothing else.
	for _, index := range indexes {
		bucket := t.Bucket(index.bucket)
		if bucket == nil {
			continue
		}
		err := bucket.ForEach(func(key, value []byte) error {
			k, id := index.record(key, value)
			wanted, err := t.placesOf(k, id)
			if err == nil && slices.ContainsFunc(wanted, func(e entry) bool { return e.is(index.bucket, key, value) }) {
				return nil
			}
			return c.problem("index %s: an entry without its record: %s", index.bucket, short(key))
		})
		if err != nil {
			return err
		}
	}
	// 4. The number of clients is that of the clients.
	if f.Schema < Schema {
		return nil
	}
	if counted, err := t.counted(clientsKey); err != nil {
		return c.problem("%w", err)
	} else if counted != number {
		return c.problem("%d clients are counted, and %d are there", counted, number)
	}
	return nil
}

func (e entry) is(bucket, key, value []byte) bool {
	return bytes.Equal(e.bucket, bucket) && bytes.Equal(e.key, key) && bytes.Equal(e.value, value)
}

func (c *checker) buckets(f *File, t *tx) error {
	known := map[string]bool{string(metaBucket): true}
	for _, k := range everyKind {
		known[string(k.bucket())] = true
	}
	for _, index := range indexes {
		known[string(index.bucket)] = true
	}
	for name := range known {
		if f.Schema == Schema && t.Bucket([]byte(name)) == nil {
			if err := c.problem("bucket %s: it is not there", name); err != nil {
				return err
			}
		}
	}
	cursor := t.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		if !known[string(name)] {
			if err := c.problem("bucket %s: nobody knows it", short(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// record checks one record, and that the indexes have it.
func (c *checker) record(t *tx, k kind, key, value []byte) error {
	_, own, err := recordOf(k, value)
	if err != nil {
		return c.problem("%s %s: %w", k, short(key), err)
	}
	if !bytes.Equal(own, key) {
		return c.problem("%s %s: it is stored as %s", k, short(own), short(key))
	}
	places, err := t.placesOf(k, key)
	if errors.Is(err, storage.ErrNotFound) {
		return c.problem("%s %s: its grant is not there", k, short(key))
	}
	if err != nil {
		return c.problem("%s %s: %w", k, short(key), err)
	}
	for _, e := range places {
		bucket := t.Bucket(e.bucket)
		if bucket == nil {
			continue // said above, or a later version has it
		}
		if stored := bucket.Get(e.key); stored == nil || !bytes.Equal(stored, e.value) {
			if err := c.problem("%s %s: it is not in the index %s", k, short(key), e.bucket); err != nil {
				return err
			}
		}
	}
	return nil
}

// placesOf returns all entries of a stored record, that in the expiry index, too.
func (t *tx) placesOf(k kind, key []byte) ([]entry, error) {
	if !slices.Contains(everyKind, k) || len(key) == 0 || t.Bucket(k.bucket()) == nil || !t.has(k, key) {
		return nil, fmt.Errorf("%d: %w", k, storage.ErrNotFound)
	}
	places, err := t.entriesOf(k, key)
	if err != nil || !k.expires() {
		return places, err
	}
	expires, err := record{k, key}.expires(t)
	if err == nil && !expires.IsZero() {
		places = append(places, entry{expiryBucket, indexKey(expires, k, key), []byte{}})
	}
	return places, err
}

// short names a record by its key: digests are cut, so that nobody can look for a
// token by what we print.
func short(key []byte) string {
	if len(key) == len(storage.Digest{}) || strings.ContainsFunc(string(key), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return base64.RawURLEncoding.EncodeToString(key[:min(len(key), shortDigest)]) + "…"
	}
	return fmt.Sprintf("%q", key)
}

// shortDigest is how many bytes of a digest are shown. The first six may be a time.
const shortDigest = 12
