package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// row reads one row into dest.
func (s *Store) row(ctx context.Context, t *table, sql string, args, dest []any) error {
	err := s.read(ctx, func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, sql, args...).Scan(dest...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s: %w", t, storage.ErrNotFound)
	}
	return err
}

// one returns a record that is all in its JSON.
func one[T any](ctx context.Context, s *Store, t *table, sql string, key []byte) (record T, err error) {
	var value []byte
	if err := s.row(ctx, t, sql, []any{key}, []any{&value}); err != nil {
		return record, err
	}
	return decode[T](t, value)
}

// all returns the records of a statement that are all in their JSON.
func all[T any](ctx context.Context, s *Store, t *table, sql string, args ...any) ([]T, error) {
	var values [][]byte
	err := s.read(ctx, func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		values, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
		return err
	})
	if err != nil {
		return nil, err
	}
	var records []T
	for _, value := range values {
		record, err := decode[T](t, value)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// ofGrant returns a record and the grant that it came of, which one statement
// sees at one time. A record whose grant is gone is not found. The column that
// changes is read into stamp.
func ofGrant[T any](ctx context.Context, s *Store, t *table, id storage.Digest, stamp func(*T) *time.Time) (T, storage.Grant, error) {
	var value, stamped, grantValue, revoked []byte
	var none T
	err := s.row(ctx, t, t.selectOfGrant, []any{id[:]}, []any{&value, &stamped, &grantValue, &revoked})
	if err != nil {
		return none, storage.Grant{}, err
	}
	grant, err := decodeGrant(grantValue, revoked)
	if err != nil {
		return none, storage.Grant{}, err
	}
	record, err := decode[T](t, value)
	if err == nil {
		err = overlay(t, column{stamped, stamp(&record)})
	}
	if err != nil {
		return none, storage.Grant{}, err
	}
	return record, grant, nil
}

func decodeGrant(value, revoked []byte) (storage.Grant, error) {
	grant, err := decode[storage.Grant](grants, value)
	if err == nil {
		err = overlay(grants, column{revoked, &grant.RevokedAt})
	}
	return grant, err
}

// Grant implements storage.Store.
func (s *Store) Grant(ctx context.Context, id string) (storage.Grant, error) {
	var value, revoked []byte
	if err := s.row(ctx, grants, selectGrant, []any{[]byte(id)}, []any{&value, &revoked}); err != nil {
		return storage.Grant{}, err
	}
	return decodeGrant(value, revoked)
}

// Code implements storage.Store.
func (s *Store) Code(ctx context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
	return ofGrant(ctx, s, codes, id, func(c *storage.Code) *time.Time { return &c.UsedAt })
}

// AccessToken implements storage.Store.
func (s *Store) AccessToken(ctx context.Context, id storage.Digest) (storage.AccessToken, storage.Grant, error) {
	return ofGrant(ctx, s, accessTokens, id, func(a *storage.AccessToken) *time.Time { return &a.RevokedAt })
}

// RefreshToken implements storage.Store.
func (s *Store) RefreshToken(ctx context.Context, id storage.Digest) (storage.RefreshToken, storage.Grant, error) {
	return ofGrant(ctx, s, refreshTokens, id, func(r *storage.RefreshToken) *time.Time { return &r.UsedAt })
}

// Session implements storage.Store.
func (s *Store) Session(ctx context.Context, id storage.Digest) (storage.Session, error) {
	return one[storage.Session](ctx, s, sessions, selectSession, id[:])
}

// Consent implements storage.Store.
func (s *Store) Consent(ctx context.Context, subject, clientID string) (storage.Consent, error) {
	return one[storage.Consent](ctx, s, consents, selectConsent, ordered.Consent(storage.ConsentID{Subject: subject, ClientID: clientID}))
}

// SessionClients implements storage.Store.
func (s *Store) SessionClients(ctx context.Context, sid string) ([]storage.SessionClient, error) {
	if len(sid) > maxKey { // nobody has one
		sid = ""
	}
	return all[storage.SessionClient](ctx, s, sessionClients, selectSessionClients, ordered.Pair(sid, ""), afterPair(sid))
}

// Client implements storage.Store.
func (s *Store) Client(ctx context.Context, id string) (storage.Client, error) {
	return one[storage.Client](ctx, s, clients, selectClient, []byte(id))
}

// Clients implements storage.Store.
func (s *Store) Clients(ctx context.Context) ([]storage.Client, error) {
	records, err := all[storage.Client](ctx, s, clients, selectClients)
	slices.SortFunc(records, func(a, b storage.Client) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return records, err
}

// HasOrigin implements storage.Store.
func (s *Store) HasOrigin(ctx context.Context, origin string) (bool, error) {
	if len(origin) > maxKey { // nobody has one: any request may say anything
		origin = ""
	}
	var n int64
	err := s.row(ctx, clientOrigins, selectOrigins, []any{ordered.Pair(origin, ""), afterPair(origin)}, []any{&n})
	return n > 0, err
}

// Seen implements storage.Store.
func (s *Store) Seen(ctx context.Context, id storage.Digest) (bool, error) {
	var n int64
	err := s.row(ctx, identifiers, selectSeen, []any{id[:]}, []any{&n})
	return n > 0, err
}

// PushedRequest implements storage.Store.
func (s *Store) PushedRequest(ctx context.Context, id storage.Digest) (storage.PushedRequest, error) {
	return one[storage.PushedRequest](ctx, s, pushedRequests, selectPushedRequest, id[:])
}

// DeviceCode implements storage.Store.
func (s *Store) DeviceCode(ctx context.Context, id storage.Digest) (storage.DeviceCode, error) {
	return s.deviceCode(ctx, selectDeviceCode, id[:])
}

// DeviceCodeOf implements storage.Store.
func (s *Store) DeviceCodeOf(ctx context.Context, userCode string) (storage.DeviceCode, error) {
	return s.deviceCode(ctx, selectDeviceCodeOf, []byte(userCode))
}

func (s *Store) deviceCode(ctx context.Context, sql string, key []byte) (storage.DeviceCode, error) {
	var value, decided, grantID, used, polled []byte
	err := s.row(ctx, deviceCodes, sql, []any{key}, []any{&value, &decided, &grantID, &used, &polled})
	if err != nil {
		return storage.DeviceCode{}, err
	}
	code, err := decode[storage.DeviceCode](deviceCodes, value)
	if err == nil {
		code.GrantID = string(grantID)
		err = overlay(deviceCodes, column{decided, &code.DecidedAt}, column{used, &code.UsedAt}, column{polled, &code.LastPollAt})
	}
	return code, err
}

// Keys implements storage.Store.
func (s *Store) Keys(ctx context.Context) ([]storage.Key, error) {
	records, err := all[storage.Key](ctx, s, keys, selectKeys)
	slices.SortFunc(records, func(a, b storage.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return records, err
}

// KeysVersion implements storage.Store.
func (s *Store) KeysVersion(ctx context.Context) (uint64, error) {
	var n, version int64
	err := s.row(ctx, keys, selectKeysVersion, nil, []any{&n, &version})
	if err == nil {
		err = s.note(ctx, version)
	}
	return uint64(n), err //nolint:gosec // it only grows
}
