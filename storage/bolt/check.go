package bolt

import (
	"bytes"
	"encoding/base64"
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

// found is the record that an entry of an index is for.
func found(index kind, key, value []byte) (kind, []byte) {
	switch index {
	case sids:
		return sessions, secondOf(key)
	case sessionGrants:
		return grants, secondOf(key)
	case userCodes:
		return deviceCodes, value
	default:
		return clients, secondOf(key)
	}
}

func (c *checker) records(f *File, t *tx) error {
	// 1. Every bucket is there, and no other.
	if err := c.buckets(f, t); err != nil {
		return err
	}
	if err := c.issued(t); err != nil {
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
	if err := c.expiry(t); err != nil {
		return err
	}
	for _, index := range everyIndex {
		if err := t.each(index, func(key, value []byte) error {
			k, id := found(index, key, value)
			wanted, err := t.placesOf(k, id)
			if err == nil && slices.ContainsFunc(wanted, func(e entry) bool { return e.is(index, key, value) }) {
				return nil
			}
			return c.problem("index %s: an entry without its record: %s", index, short(key))
		}); err != nil {
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

func (e entry) is(k kind, key, value []byte) bool {
	return e.kind == k && bytes.Equal(e.key, key) && bytes.Equal(e.value, value)
}

func (c *checker) buckets(f *File, t *tx) error {
	known := map[string]bool{string(metaBucket): true, string(expiryBucket): true}
	if t.older {
		known[string(stageBucket)] = true // nobody looks into it
	} else {
		known[string(issuedBucket)] = true
	}
	for _, k := range slices.Concat(everyKind, everyIndex) {
		if !t.issues(k) {
			known[string(k.bucket())] = true
		}
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
func (c *checker) record(t *tx, k kind, key, stored []byte) error {
	_, own, err := recordOf(k, t.bare(k, stored))
	if err != nil {
		return c.problem("%s %s: %w", k, short(key), err)
	}
	if !bytes.Equal(own, key) {
		return c.problem("%s %s: it is stored as %s", k, short(own), short(key))
	}
	places, err := t.placesOf(k, key)
	if err != nil {
		return c.problem("%s %s: %w", k, short(key), err)
	}
	for _, e := range places {
		bucket := t.of(e.kind)
		if bucket == nil {
			continue // said above, or a later version has it
		}
		if there := bucket.Get(t.at(e.kind, e.key)); there == nil || !bytes.Equal(there, e.value) {
			if err := c.problem("%s %s: it is not in the index %s", k, short(key), e.kind); err != nil {
				return err
			}
		}
	}
	return c.expires(t, record{k, key}, stored)
}

// expires checks that the expiry index has a record.
func (c *checker) expires(t *tx, r record, stored []byte) error {
	if !r.kind.expires() {
		return nil
	}
	expires, err := r.expires(t)
	if errors.Is(err, storage.ErrNotFound) {
		return c.problem("%s %s: its grant is not there", r.kind, short(r.key))
	}
	if err != nil {
		return c.problem("%s %s: %w", r.kind, short(r.key), err)
	}
	entry := indexKey(expires, r.kind, r.key)
	if t.issues(r.kind) {
		if !bytes.HasPrefix(stored, entry[:ordered.InstantSize]) {
			return c.problem("%s %s: it is swept at another time than it expires", r.kind, short(r.key))
		}
		s := span(issuedKey(r.kind, r.key)[:spanSize])
		b, ok := t.bound(s)
		if ok && !boundOf(expires, r.kind).before(b) {
			entry = spanEntry(s, b)
		}
	}
	bucket := t.open(expiryBucket)
	if expires.IsZero() || bucket == nil || bucket.Get(entry) != nil {
		return nil
	}
	return c.problem("%s %s: it is not in the index %s", r.kind, short(r.key), expiryBucket)
}

// expiry checks that the expiry index has nothing else.
func (c *checker) expiry(t *tx) error {
	bucket := t.open(expiryBucket)
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(entry, _ []byte) error {
		k, key := indexed(entry)
		if t.issues(k) && len(key) == spanSize {
			// Records of the span may have ended since: the sweep will see.
			if b, ok := t.bound(span(key)); ok && bytes.HasPrefix(entry, b[:]) {
				return nil
			}
		} else if !t.issues(k) && t.hasOf(k, key) {
			if expires, err := (record{k, key}).expires(t); err == nil && bytes.Equal(indexKey(expires, k, key), entry) {
				return nil
			}
		}
		return c.problem("index %s: an entry without its record: %s", expiryBucket, short(entry))
	})
}

// issued checks that in the bucket of issued records everything is something, and in
// its place.
func (c *checker) issued(t *tx) error {
	bucket := t.open(issuedBucket)
	if t.older || bucket == nil {
		return nil
	}
	return bucket.ForEach(func(at, stored []byte) error {
		switch {
		case len(at) == spanSize:
			b, ok := t.bound(span(at))
			if expiry := t.open(expiryBucket); ok && expiry != nil && expiry.Get(spanEntry(span(at), b)) == nil {
				return c.problem("span %s: it is not in the index %s", short(at), expiryBucket)
			} else if ok {
				return nil
			}
		case len(at) > issuedPrefix:
			k := kind(at[timeSize])
			if k.issued() && bytes.Equal(issuedKey(k, at[issuedPrefix:]), at) {
				return nil
			}
		}
		return c.problem("bucket %s: nobody knows what %s is", issuedBucket, short(at))
	})
}

// hasOf is has for a kind and a key that somebody else wrote.
func (t *tx) hasOf(k kind, key []byte) bool {
	return slices.Contains(everyKind, k) && t.of(k) != nil && t.has(k, key)
}

// placesOf returns the entries of a stored record, but for that in the expiry index.
func (t *tx) placesOf(k kind, key []byte) ([]entry, error) {
	if !t.hasOf(k, key) {
		return nil, fmt.Errorf("%s: %w", k, storage.ErrNotFound)
	}
	return t.entriesOf(k, key)
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
