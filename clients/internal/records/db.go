package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Reasons for which a call fails; compare with errors.Is.
var (
	ErrNotFound = errors.New("records: not found")                 // missing, expired or taken
	ErrExists   = errors.New("records: exists already")            // and has not expired
	ErrInUse    = errors.New("records: in use by another process") // the file's lock is held
)

// lockTimeout is how long Open waits for the file: long enough for a process
// that is just shutting down, short enough that a person sees the reason.
const lockTimeout = time.Second

var (
	recordsBucket  = []byte("records")
	expiriesBucket = []byte("expiries")
)

// DB is an open record file. One process at a time may hold it.
type DB struct{ bolt *bolt.DB }

// Open opens the file at path, which it makes (mode 0600) if there is none,
// and removes the records that expired meanwhile. The directory must exist.
// ErrInUse after one second if another process holds the file.
func Open(path string) (*DB, error) {
	b, err := openBolt(path)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("records: open %s: %w", path, err)
	}
	db := &DB{bolt: b}
	if err := b.Update(sweepAll); err != nil {
		return nil, errors.Join(fmt.Errorf("records: sweep %s: %w", path, err), b.Close())
	}
	return db, nil
}

// openBolt opens the file with bbolt, which panics on some damage.
func openBolt(path string) (b *bolt.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", bolterrors.ErrInvalid, r)
		}
	}()
	return bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
}

// Close releases the file; it waits for calls under way.
func (db *DB) Close() error { return db.bolt.Close() }

func sweepAll(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return shelfIn(b).sweep(time.Now(), -1)
	})
}

// shelf is one record bucket within a transaction: the records and, in order of
// time, when they expire.
type shelf struct{ records, expiries *bolt.Bucket }

func shelfIn(b *bolt.Bucket) shelf {
	return shelf{records: b.Bucket(recordsBucket), expiries: b.Bucket(expiriesBucket)}
}

// get returns the JSON and the expiry of a record that is there and alive.
func (s shelf) get(id []byte) ([]byte, time.Time, error) {
	stored := s.records.Get(id)
	if len(stored) < stampSize {
		return nil, time.Time{}, ErrNotFound
	}
	expires := stampTime(stored[:stampSize])
	if expired(expires, time.Now()) {
		return nil, time.Time{}, ErrNotFound
	}
	return stored[stampSize:], expires, nil
}

func (s shelf) put(id, value []byte, expires time.Time) error {
	if err := s.remove(id); err != nil {
		return err
	}
	if !expires.IsZero() {
		if err := s.expiries.Put(append(stamp(expires), id...), nil); err != nil {
			return err
		}
	}
	return s.records.Put(id, append(stamp(expires), value...))
}

func (s shelf) remove(id []byte) error {
	stored := s.records.Get(id)
	if len(stored) < stampSize {
		return nil
	}
	if err := s.expiries.Delete(append(append([]byte{}, stored[:stampSize]...), id...)); err != nil {
		return err
	}
	return s.records.Delete(id)
}

// sweep removes records that have expired, at most limit of them (-1: all).
func (s shelf) sweep(now time.Time, limit int) error {
	var dead [][]byte // collected first: a bolt cursor may skip over deletions
	cursor := s.expiries.Cursor()
	for k, _ := cursor.First(); k != nil && len(dead) != limit; k, _ = cursor.Next() {
		if !expired(stampTime(k[:stampSize]), now) {
			break
		}
		dead = append(dead, k[stampSize:])
	}
	for _, id := range dead {
		if err := s.remove(id); err != nil {
			return err
		}
	}
	return nil
}

// A stamp is a time as eight bytes that sort as the times do; the zero time,
// which never expires, is zero.
const stampSize = 8

func stamp(t time.Time) []byte {
	var nanos uint64
	if !t.IsZero() {
		nanos = uint64(max(t.UnixNano(), 1))
	}
	return binary.BigEndian.AppendUint64(nil, nanos)
}

func stampTime(b []byte) time.Time {
	nanos := binary.BigEndian.Uint64(b)
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(nanos)) //nolint:gosec // stamp wrote it from an int64
}

func expired(expires, now time.Time) bool {
	return !expires.IsZero() && !now.Before(expires)
}
