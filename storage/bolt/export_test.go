package bolt

import (
	"context"
	"errors"
	"fmt"
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
type hold struct{ held, release chan struct{} }

func (h hold) check(*tx) error {
	close(h.held)
	<-h.release
	return nil
}

func (hold) apply(*tx, error) error { return nil }

// Hold keeps the writer in a transaction until release is called; commits
// queue meanwhile. The answer is what the held request itself got.
func (s *Store) Hold(ctx context.Context) (release func(), answer <-chan error) {
	h := hold{make(chan struct{}), make(chan struct{})}
	got := make(chan error, 1)
	go func() { got <- s.submit(ctx, h) }()
	<-h.held
	return func() { close(h.release) }, got
}

// LimitFile keeps the file from growing beyond a size; 0 lifts the limit.
func (s *Store) LimitFile(size int) { s.db.MaxSize = size }

// Damage puts what is no record in the place of a session.
func (s *Store) Damage(session storage.Digest) error {
	return s.db.Update(func(t *bbolt.Tx) error { return t.Bucket(sessions.bucket()).Put(session[:], []byte("{")) })
}

// Repair removes what Damage put.
func (s *Store) Repair(session storage.Digest) error {
	return s.db.Update(func(t *bbolt.Tx) error { return t.Bucket(sessions.bucket()).Delete(session[:]) })
}

// AddStaleEntry adds a session to the expiry index at a time at which it does
// not expire.
func (s *Store) AddStaleEntry(at time.Time, session storage.Digest) error {
	return s.db.Update(func(t *bbolt.Tx) error {
		return (&tx{Tx: t}).index(at, sessions, session[:])
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

// CheckFile looks for damage in the file at path, as bbolt sees it, and for
// disagreement between the records and the indexes.
func CheckFile(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.View(func(t *bbolt.Tx) error {
		var errs []error
		for err := range t.Check() {
			errs = append(errs, err)
		}
		errs = append(errs, checkExpiryIndex(&tx{Tx: t}))
		for _, k := range []kind{grants, sessions, deviceCodes, clients} {
			errs = append(errs, checkEntries(&tx{Tx: t}, k))
		}
		errs = append(errs, checkCount(&tx{Tx: t}))
		return errors.Join(errs...)
	})
	return errors.Join(err, db.Close())
}

func checkExpiryIndex(t *tx) error {
	want := map[string]string{}
	for _, k := range []kind{codes, accessTokens, refreshTokens, sessions, grants, onces, pushedRequests, deviceCodes, sessionClients} {
		err := t.Bucket(k.bucket()).ForEach(func(key, _ []byte) error {
			expires, err := record{k, key}.expires(t)
			if errors.Is(err, storage.ErrNotFound) {
				return fmt.Errorf("%s without a grant stays for ever", k)
			}
			if err == nil && !expires.IsZero() {
				want[string(indexKey(expires, k, key))] = ""
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return compareIndex(t, expiryBucket, want)
}

// checkEntries checks the index that finds records of a kind by what is not
// their key.
func checkEntries(t *tx, k kind) error {
	want := map[string]string{}
	err := t.Bucket(k.bucket()).ForEach(func(key, _ []byte) error {
		entries, err := t.entriesOf(k, key)
		for _, e := range entries {
			want[string(e.key)] = string(e.value)
		}
		return err
	})
	if err != nil {
		return err
	}
	return compareIndex(t, map[kind][]byte{grants: sessionGrantBucket, sessions: sidBucket, deviceCodes: userCodeBucket, clients: originBucket}[k], want)
}

// checkCount checks the number of clients.
func checkCount(t *tx) error {
	count, err := t.counted(clientsKey)
	if clients := len(t.keysUnder(clients.bucket(), nil)); err == nil && count != clients {
		err = fmt.Errorf("%d clients are counted, and %d are there", count, clients)
	}
	return err
}

func compareIndex(t *tx, bucket []byte, want map[string]string) error {
	err := t.Bucket(bucket).ForEach(func(key, value []byte) error {
		if wanted, ok := want[string(key)]; !ok || wanted != string(value) {
			return fmt.Errorf("index %s: stale entry %x", bucket, key)
		}
		delete(want, string(key))
		return nil
	})
	if err == nil && len(want) > 0 {
		return fmt.Errorf("index %s: %d records are missing", bucket, len(want))
	}
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
