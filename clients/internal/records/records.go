package records

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// sweepAtPut bounds the tidying that one Put does. It removes more than it
// adds, so that the file cannot fill with dead records.
const sweepAtPut = 8

// Records is one kind of record in a DB. It is safe for concurrent use.
type Records[T any] struct {
	db   *DB
	name []byte
}

// Bucket returns the records called name, which keep values of type T as JSON.
func Bucket[T any](db *DB, name string) (*Records[T], error) {
	err := db.bolt.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		if _, err := b.CreateBucketIfNotExists(recordsBucket); err != nil {
			return err
		}
		_, err = b.CreateBucketIfNotExists(expiriesBucket)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("records: bucket %s: %w", name, err)
	}
	return &Records[T]{db: db, name: []byte(name)}, nil
}

// Put stores v under key until expires, in place of what was there. With the
// zero time it stays until it is deleted.
func (r *Records[T]) Put(key string, v T, expires time.Time) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("records: encode %s: %w", r.name, err)
	}
	return r.update(func(s shelf) error {
		if err := s.sweep(time.Now(), sweepAtPut); err != nil {
			return err
		}
		return s.put(hash(key), value, expires)
	})
}

// Add stores v under key as Put does, but only if nothing is there: of many
// callers exactly one succeeds, the others get ErrExists.
func (r *Records[T]) Add(key string, v T, expires time.Time) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("records: encode %s: %w", r.name, err)
	}
	return r.update(func(s shelf) error {
		if err := s.sweep(time.Now(), sweepAtPut); err != nil {
			return err
		}
		if _, _, err := s.get(hash(key)); !errors.Is(err, ErrNotFound) {
			return cmp.Or(err, ErrExists)
		}
		return s.put(hash(key), value, expires)
	})
}

// Get returns the record under key, or ErrNotFound when it is missing or expired.
func (r *Records[T]) Get(key string) (T, error) {
	var v T
	err := r.db.bolt.View(func(tx *bolt.Tx) error {
		var err error
		v, _, err = r.read(r.shelf(tx), hash(key))
		return err
	})
	return v, err
}

// Update reads the record under key, lets f change it and stores the result, in
// one transaction. The expiry stays. An error of f is returned and nothing is
// stored; ErrNotFound when there is no record. f must not use the DB.
func (r *Records[T]) Update(key string, f func(v *T) error) error {
	return r.update(func(s shelf) error {
		id := hash(key)
		v, expires, err := r.read(s, id)
		if err != nil {
			return err
		}
		if err := f(&v); err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("records: encode %s: %w", r.name, err)
		}
		return s.put(id, value, expires)
	})
}

// Extend moves the expiry of the record under key, and brings back none that
// has gone: ErrNotFound when there is no record.
func (r *Records[T]) Extend(key string, expires time.Time) error {
	return r.update(func(s shelf) error {
		id := hash(key)
		value, _, err := s.get(id)
		if err != nil {
			return err
		}
		return s.put(id, append([]byte{}, value...), expires)
	})
}

// Delete removes the record under key, if there is one.
func (r *Records[T]) Delete(key string) error {
	return r.update(func(s shelf) error { return s.remove(hash(key)) })
}

// Take reads and deletes the record under key in one transaction: of many
// callers exactly one gets it, the others ErrNotFound.
func (r *Records[T]) Take(key string) (T, error) {
	var v T
	err := r.update(func(s shelf) error {
		id := hash(key)
		var err error
		if v, _, err = r.read(s, id); err != nil {
			return err
		}
		return s.remove(id)
	})
	return v, err
}

// Each calls f for every record that is alive, in no particular order, until f
// returns an error. It sees the records as they were when it was called; f may
// use the DB.
func (r *Records[T]) Each(f func(v T) error) error {
	var all []T
	err := r.db.bolt.View(func(tx *bolt.Tx) error {
		s, now := r.shelf(tx), time.Now()
		return s.records.ForEach(func(id, stored []byte) error {
			if expired(stampTime(stored[:stampSize]), now) {
				return nil
			}
			v, _, err := r.read(s, id)
			all = append(all, v)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

func (r *Records[T]) read(s shelf, id []byte) (T, time.Time, error) {
	var v T
	value, expires, err := s.get(id)
	if err != nil {
		return v, expires, err
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return v, expires, fmt.Errorf("records: decode %s: %w", r.name, err)
	}
	return v, expires, nil
}

func (r *Records[T]) update(f func(s shelf) error) error {
	return r.db.bolt.Update(func(tx *bolt.Tx) error { return f(r.shelf(tx)) })
}

func (r *Records[T]) shelf(tx *bolt.Tx) shelf { return shelfIn(tx.Bucket(r.name)) }

func hash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
