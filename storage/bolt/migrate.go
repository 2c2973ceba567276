package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// The way from version 5 to 6 moves nearly all of a file, and a transaction has what it
// moves in memory. So there are several. The buckets of version 6 come to be in one of
// their own, beside those of version 5, which stay as they are; the last transaction puts
// the ones in the place of the others. Until then the file is one of version 5, for this
// program and for older ones. If the process ends before, the next one begins anew.

const (
	// issuedSchema is the version that brought the bucket of issued records.
	issuedSchema = 6
	// maxMove bounds what one transaction has in memory, as far as we know of it: the bytes
	// that it moves, and the pages that it changes. bbolt takes some times as much.
	maxMove = 4 << 20
)

// stageBucket is where the buckets of version 6 come to be.
var stageBucket = []byte("migration")

// move is the way from version 5 to 6, as far as it has come.
type move struct {
	issued []*source // in the order of everyKind and everyIndex
	expiry *source
	part   int64 // how much one transaction moves; see maxMove
	moved  int64 // bytes, in this transaction
	more   bool  // there is something left to be moved
}

// source is a bucket of version 5. While a transaction runs, its cursor is at what is
// moved next.
type source struct {
	name []byte
	kind kind   // what is in it, unless it is the expiry index
	next []byte // where the next transaction goes on, nil for the beginning

	cursor          *bbolt.Cursor
	at, key, stored []byte // key is nil at the end, at the key in the new bucket
	timeless        bool   // the old order, and the new one, do not go by the same
}

// begin prepares the way, and goes the first part of it.
func (m *move) begin(t *tx) error {
	if t.Bucket(issuedBucket) != nil {
		return fmt.Errorf("bucket %s: it is there already", issuedBucket)
	}
	if err := t.DeleteBucket(stageBucket); err != nil && !errors.Is(err, bbolterrors.ErrBucketNotFound) {
		return err
	}
	stage, err := t.CreateBucket(stageBucket)
	if err != nil {
		return err
	}
	for _, name := range [][]byte{issuedBucket, expiryBucket} {
		if _, err := stage.CreateBucket(name); err != nil {
			return err
		}
	}
	for _, k := range slices.Concat(everyKind, everyIndex) {
		if k.issued() {
			m.issued = append(m.issued, &source{name: k.bucket(), kind: k})
		}
	}
	m.expiry = &source{name: expiryBucket}
	return m.some(t)
}

// some moves as much as one transaction may. Records go in their new order, which is the
// old one for those that are named by the time: so few pages change, and each once.
func (m *move) some(t *tx) error {
	all := append(slices.Clip(m.issued), m.expiry)
	for _, s := range all {
		if err := s.open(t); err != nil {
			return err
		}
	}
	m.moved = 0
	after := &tx{Tx: t.Tx, stage: t.Bucket(stageBucket)}
	for s := m.first(); s != nil && m.size(t) < m.part; s = m.first() {
		if err := m.record(t, after, s); err != nil {
			return err
		}
		s.read(s.cursor.Next())
	}
	for m.first() == nil && m.expiry.key != nil && m.size(t) < m.part {
		if err := m.entry(after); err != nil {
			return err
		}
		m.expiry.read(m.expiry.cursor.Next())
	}
	m.more = false
	for _, s := range all {
		s.next = bytes.Clone(s.key)
		m.more = m.more || s.key != nil
	}
	return after.noteSpans()
}

// open goes to where the last transaction ended. At the end of the bucket there is nothing.
func (s *source) open(t *tx) error {
	bucket := t.Bucket(s.name)
	if bucket == nil {
		return fmt.Errorf("bucket %s: it is not there", s.name)
	}
	begun := s.cursor != nil
	s.cursor = bucket.Cursor()
	switch {
	case !begun:
		s.read(s.cursor.First())
	case s.next != nil:
		s.read(s.cursor.Seek(s.next))
	}
	return nil
}

// read notes what the cursor has found. The memory is the file's, until the transaction
// ends.
func (s *source) read(key, stored []byte) {
	s.key, s.stored = key, stored
	if key != nil && s.kind != 0 {
		s.at = issuedKey(s.kind, key)
		_, timed := appendOwnTime(nil, s.kind, key)
		s.timeless = !timed
	}
}

// first is the source of what is moved next, nil if there is nothing left: what comes first
// in the new order. What is not named by the time goes at once, so that it holds up nothing
// that is.
func (m *move) first() (first *source) {
	for _, s := range m.issued {
		switch {
		case s.key == nil:
		case s.timeless:
			return s
		case first == nil || bytes.Compare(s.at, first.at) < 0:
			first = s
		}
	}
	return first
}

// size is about what the transaction has in memory.
func (m *move) size(t *tx) int64 {
	stats := t.Stats()
	return m.moved + stats.GetNodeCount()*int64(t.DB().Info().PageSize)
}

// record moves a record or what finds it. A code or refresh token that has lost its grant
// is left behind: nobody could use it, and it would never be swept.
func (m *move) record(t, after *tx, s *source) error {
	value := s.stored
	if s.kind.expires() {
		expires, err := record{s.kind, s.key}.expires(t)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := after.index(expires, s.kind, s.at); err != nil {
			return err
		}
		value = ordered.AppendInstant(make([]byte, 0, ordered.InstantSize+len(s.stored)), expires)
		value = append(value, s.stored...)
	}
	m.moved += int64(len(s.at) + len(value))
	return after.put(s.kind, s.at, value)
}

// entry moves an entry of the expiry index. Issued records are in it with their spans from
// now on; what is no entry stays behind.
func (m *move) entry(after *tx) error {
	if k, _ := indexed(m.expiry.key); k == 0 || k.issued() {
		return nil
	}
	m.moved += int64(len(m.expiry.key))
	return after.open(expiryBucket).Put(m.expiry.key, []byte{})
}

// arrive puts the new buckets in the place of the old ones, which go.
func (m *move) arrive(t *tx) error {
	for _, s := range append(slices.Clip(m.issued), m.expiry) {
		if err := t.DeleteBucket(s.name); err != nil {
			return err
		}
	}
	for _, name := range [][]byte{issuedBucket, expiryBucket} {
		if err := t.MoveBucket(name, t.Bucket(stageBucket), nil); err != nil {
			return err
		}
	}
	if err := t.DeleteBucket(stageBucket); err != nil {
		return err
	}
	return t.setSchema(Schema)
}
