package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// view runs f in a read transaction, on committed state.
func (s *Store) view(ctx context.Context, f func(*tx) error) error {
	if !s.open.TryRLock() { // Close has it, or waits for it
		return storage.ErrClosed
	}
	defer s.open.RUnlock()
	if s.closed {
		return storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.stuck() {
		return s.broken()
	}
	begun := false
	err := recovered(func() error {
		return s.db.View(func(t *bbolt.Tx) error {
			begun = true
			return f(&tx{Tx: t})
		})
	})
	if _, panicked := errors.AsType[*panicError](err); panicked && !begun {
		s.giveUp(err, true)
	}
	return err
}

// read returns one record.
func read[T any](ctx context.Context, s *Store, k kind, key []byte) (record T, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		record, err = get[T](t, k, key)
		return err
	})
	return record, err
}

// readAll returns all records of a kind, sorted.
func readAll[T any](ctx context.Context, s *Store, k kind, compare func(a, b T) int) ([]T, error) {
	var all []T
	err := s.view(ctx, func(t *tx) error {
		return t.each(k, func(_, value []byte) error {
			record, err := decode[T](k, t.bare(k, value))
			if err != nil {
				return err
			}
			all = append(all, record)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, compare)
	return all, nil
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
	key := ordered.Consent(storage.ConsentID{Subject: subject, ClientID: clientID})
	return read[storage.Consent](ctx, s, consents, key)
}

// SessionClients implements storage.Store.
func (s *Store) SessionClients(ctx context.Context, sid string) ([]storage.SessionClient, error) {
	var all []storage.SessionClient
	err := s.view(ctx, func(t *tx) error {
		for _, key := range t.keysUnder(sessionClients, ordered.Pair(sid, "")) {
			client, err := get[storage.SessionClient](t, sessionClients, key)
			if err != nil {
				return err
			}
			all = append(all, client)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Client implements storage.Store.
func (s *Store) Client(ctx context.Context, id string) (storage.Client, error) {
	return read[storage.Client](ctx, s, clients, []byte(id))
}

// Clients implements storage.Store.
func (s *Store) Clients(ctx context.Context) ([]storage.Client, error) {
	return readAll(ctx, s, clients, func(a, b storage.Client) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// HasOrigin implements storage.Store.
func (s *Store) HasOrigin(ctx context.Context, origin string) (has bool, err error) {
	err = s.view(ctx, func(t *tx) error {
		if origin != "" && len(origin) <= maxKey {
			prefix := ordered.Pair(origin, "")
			key, _ := t.of(origins).Cursor().Seek(prefix)
			has = bytes.HasPrefix(key, prefix)
		}
		return nil
	})
	return has, err
}

// Seen implements storage.Store.
func (s *Store) Seen(ctx context.Context, id storage.Digest) (seen bool, err error) {
	err = s.view(ctx, func(t *tx) error {
		seen = t.has(onces, id[:])
		return nil
	})
	return seen, err
}

// PushedRequest implements storage.Store.
func (s *Store) PushedRequest(ctx context.Context, id storage.Digest) (storage.PushedRequest, error) {
	return read[storage.PushedRequest](ctx, s, pushedRequests, id[:])
}

// DeviceCode implements storage.Store.
func (s *Store) DeviceCode(ctx context.Context, id storage.Digest) (storage.DeviceCode, error) {
	return read[storage.DeviceCode](ctx, s, deviceCodes, id[:])
}

// DeviceCodeOf implements storage.Store.
func (s *Store) DeviceCodeOf(ctx context.Context, userCode string) (code storage.DeviceCode, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		id := t.of(userCodes).Get([]byte(userCode))
		code, err = get[storage.DeviceCode](t, deviceCodes, id)
		return err
	})
	return code, err
}

// Keys implements storage.Store.
func (s *Store) Keys(ctx context.Context) ([]storage.Key, error) {
	return readAll(ctx, s, keys, func(a, b storage.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// KeysVersion implements storage.Store.
func (s *Store) KeysVersion(ctx context.Context) (version uint64, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.counted(keysVersionKey)
		version = uint64(n) //nolint:gosec // it only grows
		return err
	})
	return version, err
}
