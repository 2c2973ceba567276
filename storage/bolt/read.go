package bolt

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
)

// view runs f in a read transaction, on committed state.
func (s *Store) view(ctx context.Context, f func(*tx) error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.closed {
		return storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.View(func(t *bbolt.Tx) error { return f(&tx{Tx: t}) })
}

// read returns one record.
func read[T any](ctx context.Context, s *Store, k kind, key []byte) (record T, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		record, err = get[T](t, k, key)
		return err
	})
	return record, err
}

// readOfGrant returns a record and the grant that it came of, in one
// transaction. A record whose grant is gone is not found.
func readOfGrant[T any](ctx context.Context, s *Store, k kind, id storage.Digest, grantID func(T) string) (T, storage.Grant, error) {
	var record T
	var grant storage.Grant
	err := s.view(ctx, func(t *tx) error {
		r, err := get[T](t, k, id[:])
		if err != nil {
			return err
		}
		g, err := get[storage.Grant](t, grants, []byte(grantID(r)))
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		record, grant = r, g
		return nil
	})
	return record, grant, err
}

// Grant implements storage.Store.
func (s *Store) Grant(ctx context.Context, id string) (storage.Grant, error) {
	return read[storage.Grant](ctx, s, grants, []byte(id))
}

// Code implements storage.Store.
func (s *Store) Code(ctx context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
	return readOfGrant(ctx, s, codes, id, func(c storage.Code) string { return c.GrantID })
}

// AccessToken implements storage.Store.
func (s *Store) AccessToken(ctx context.Context, id storage.Digest) (storage.AccessToken, storage.Grant, error) {
	return readOfGrant(ctx, s, accessTokens, id, func(a storage.AccessToken) string { return a.GrantID })
}

// RefreshToken implements storage.Store.
func (s *Store) RefreshToken(ctx context.Context, id storage.Digest) (storage.RefreshToken, storage.Grant, error) {
	return readOfGrant(ctx, s, refreshTokens, id, func(r storage.RefreshToken) string { return r.GrantID })
}

// Session implements storage.Store.
func (s *Store) Session(ctx context.Context, id storage.Digest) (storage.Session, error) {
	return read[storage.Session](ctx, s, sessions, id[:])
}

// Consent implements storage.Store.
func (s *Store) Consent(ctx context.Context, subject, clientID string) (storage.Consent, error) {
	key := consentKey(storage.ConsentID{Subject: subject, ClientID: clientID})
	return read[storage.Consent](ctx, s, consents, key)
}

// Keys implements storage.Store.
func (s *Store) Keys(ctx context.Context) ([]storage.Key, error) {
	var all []storage.Key
	err := s.view(ctx, func(t *tx) error {
		return t.Bucket(keys.bucket()).ForEach(func(_, value []byte) error {
			var key storage.Key
			if err := json.Unmarshal(value, &key); err != nil {
				return fmt.Errorf("stored key: %w", err)
			}
			all = append(all, key)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b storage.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}
