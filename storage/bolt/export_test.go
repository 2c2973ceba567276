package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
)

// LastTransaction returns the number of the last committed transaction; each
// one that writes counts one up.
func (s *Store) LastTransaction() (id int, err error) {
	err = s.db.View(func(t *bbolt.Tx) error {
		id = t.ID()
		return nil
	})
	return id, err
}

// hold is work that keeps its transaction open.
type hold struct {
	once          sync.Once
	held, release chan struct{}
}

func (h *hold) check(*tx) error {
	h.once.Do(func() { close(h.held) })
	<-h.release
	return nil
}

func (*hold) apply(*tx, error) error { return nil }

// Hold keeps the writer in a transaction until release is called; commits
// queue meanwhile. The answer is what the held request itself got.
func (s *Store) Hold(ctx context.Context) (release func(), answer <-chan error) {
	h := &hold{held: make(chan struct{}), release: make(chan struct{})}
	got := make(chan error, 1)
	go func() { got <- s.submit(ctx, h) }()
	<-h.held
	return func() { close(h.release) }, got
}

// Closing reports whether Close waits for a call to end.
func (s *Store) Closing() bool {
	if s.open.TryRLock() {
		s.open.RUnlock()
		return false
	}
	return true
}

// LimitFile keeps the file from growing beyond a size; 0 lifts the limit.
func (s *Store) LimitFile(size int) { s.db.MaxSize = size }

// Damage puts what is no record in the place of a session.
func (s *Store) Damage(session storage.Digest) error {
	return s.db.Update(func(t *bbolt.Tx) error {
		return t.Bucket(issuedBucket).Put(issuedKey(sessions, session[:]), append(bytes.Clone(never), '{'))
	})
}

// Put puts a value in a bucket, as it is, and returns what was there.
func (s *Store) Put(bucket, key string, value []byte) (before []byte, err error) {
	err = s.db.Update(func(t *bbolt.Tx) error {
		b := t.Bucket([]byte(bucket))
		before = bytes.Clone(b.Get([]byte(key)))
		return b.Put([]byte(key), value)
	})
	return before, err
}

// Repair removes what Damage put.
func (s *Store) Repair(session storage.Digest) error {
	return s.db.Update(func(t *bbolt.Tx) error {
		return t.Bucket(issuedBucket).Delete(issuedKey(sessions, session[:]))
	})
}

// AddStaleEntry adds a session to the expiry index at a time at which it does
// not expire.
func (s *Store) AddStaleEntry(at time.Time, session storage.Digest) error {
	return s.db.Update(func(bt *bbolt.Tx) error {
		t := &tx{Tx: bt}
		return errors.Join(t.index(at, sessions, issuedKey(sessions, session[:])), t.noteSpans())
	})
}

// SetSchema overwrites the version of the file at path.
func SetSchema(path, version string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(t *bbolt.Tx) error {
		return t.Bucket(metaBucket).Put(schemaKey, []byte(version))
	}), db.Close())
}

// CheckFile returns what Check finds in the file at path.
func CheckFile(path string) error {
	f, err := Inspect(path)
	if err != nil {
		return err
	}
	return errors.Join(append(f.Check(), f.Close())...)
}

// Compact is the rest of what the function of that name does, after Inspect.
func (f *File) Compact(path string) error {
	_, _, err := f.compact(path)
	return err
}

// stumble is work that panics.
type stumble struct{}

func (stumble) check(*tx) error        { panic("stumbled") }
func (stumble) apply(*tx, error) error { return nil }

// Stumble submits work that panics in its transaction.
func (s *Store) Stumble(ctx context.Context) error { return s.submit(ctx, stumble{}) }

// IsMeta reports whether an offset in the file is that of a meta page.
func (s *Store) IsMeta(offset int64) bool { return offset < 2*int64(s.db.Info().PageSize) }

// RedactedRecord is a record as a dump shows it.
func RedactedRecord(record any) (string, error) {
	shown, err := redacted(record)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(shown)
	return string(text), err
}

// Replaced reports whether a path leads no more to an open file.
var Replaced = replaced

// Costs are what a store's transactions have cost since it was opened.
type Costs struct{ Writes, PageBytes, Nodes, Cursors, Transactions int64 }

// Costs returns them.
func (s *Store) Costs() Costs {
	last, _ := s.LastTransaction()
	stats := s.db.Stats().TxStats
	return Costs{stats.GetWrite(), stats.GetPageAlloc(), stats.GetNodeCount(), stats.GetCursorCount(), int64(last)}
}

// IssuedKey is the key that something of a kind has in the bucket of issued records.
func IssuedKey(name, key string) string {
	for _, k := range slices.Concat(everyKind, everyIndex) {
		if string(k.bucket()) == name && k.issued() {
			return string(issuedKey(k, []byte(key)))
		}
	}
	panic("no such kind is issued: " + name)
}

// IssuedKind is the kind of what has a key in that bucket, "span" for a span.
func IssuedKind(at []byte) string {
	if len(at) == spanSize {
		return "span"
	}
	return string(kind(at[timeSize]).bucket())
}

// Packed is a record, of which a pointer is given, as version 5 wrote it.
func Packed(record any) (string, error) {
	packed, err := appendRecord(nil, onces, record)
	return string(packed), err
}

// SweepCounted is one transaction of Sweep. It returns how many records were removed, at how
// many it has looked, and how often it has compared two.
func (s *Store) SweepCounted(ctx context.Context, now time.Time) (removed, looked, compared int, err error) {
	w := newSweep(now, maxSweep)
	inner := w.ahead.compare
	w.ahead.compare = func(a, b *due) int {
		compared++
		return inner(a, b)
	}
	err = s.submit(ctx, w)
	return len(w.expired), w.looked, compared, err
}

// MaxLook is at how many records one transaction of a sweep looks.
const MaxLook = maxLook

// Contents are all records and index entries of the file at path, whatever its schema, but
// for the expiry index: the kind and the key, and the value without its instant.
func Contents(path string) (schema int, all map[string]string, err error) {
	f, err := Inspect(path)
	if err != nil {
		return 0, nil, err
	}
	all = map[string]string{}
	err = f.view(func(t *tx) error {
		for _, k := range slices.Concat(everyKind, everyIndex) {
			if err := t.each(k, func(key, stored []byte) error {
				all[k.String()+" "+string(key)] = string(t.bare(k, stored))
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return f.Schema, all, errors.Join(err, f.Close())
}
