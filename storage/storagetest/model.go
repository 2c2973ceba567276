package storagetest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/oidclab/oidclab/storage"
)

// Model is storage.Store as maps under one lock: slow, forgetful, and simple
// enough to be seen to be right. It is what other stores are compared with,
// and for tests only. Its writes are in modelcommit.go.
type Model struct {
	mu       sync.Mutex
	closed   bool
	grants   map[string]storage.Grant
	codes    map[storage.Digest]storage.Code
	access   map[storage.Digest]storage.AccessToken
	refresh  map[storage.Digest]storage.RefreshToken
	sessions map[storage.Digest]storage.Session
	consents map[storage.ConsentID]storage.Consent
	keys     map[string]storage.Key
}

var _ storage.Store = (*Model)(nil)

// NewModel returns an empty Model.
func NewModel() *Model {
	return &Model{
		grants:   map[string]storage.Grant{},
		codes:    map[storage.Digest]storage.Code{},
		access:   map[storage.Digest]storage.AccessToken{},
		refresh:  map[storage.Digest]storage.RefreshToken{},
		sessions: map[storage.Digest]storage.Session{},
		consents: map[storage.ConsentID]storage.Consent{},
		keys:     map[string]storage.Key{},
	}
}

// locked runs f under the lock, if the store is open and ctx has not ended.
func (m *Model) locked(ctx context.Context, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

// find returns what is under a key of one of the maps.
func find[K comparable, V any](ctx context.Context, m *Model, from map[K]V, key K) (v V, err error) {
	err = m.locked(ctx, func() error {
		var ok bool
		if v, ok = from[key]; !ok {
			return storage.ErrNotFound
		}
		return nil
	})
	return v, err
}

// findWithGrant returns what is under a digest, if its grant is there too.
func findWithGrant[V any](ctx context.Context, m *Model, from map[storage.Digest]V, id storage.Digest, grantID func(V) string) (v V, g storage.Grant, err error) {
	err = m.locked(ctx, func() error {
		found, ok := from[id]
		if !ok {
			return storage.ErrNotFound
		}
		grant, ok := m.grants[grantID(found)]
		if !ok {
			return storage.ErrNotFound
		}
		v, g = found, grant
		return nil
	})
	return v, cloneGrant(g), err
}

// Grant implements storage.Store.
func (m *Model) Grant(ctx context.Context, id string) (storage.Grant, error) {
	g, err := find(ctx, m, m.grants, id)
	return cloneGrant(g), err
}

// Code implements storage.Store.
func (m *Model) Code(ctx context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
	return findWithGrant(ctx, m, m.codes, id, func(c storage.Code) string { return c.GrantID })
}

// AccessToken implements storage.Store.
func (m *Model) AccessToken(ctx context.Context, id storage.Digest) (storage.AccessToken, storage.Grant, error) {
	a, g, err := findWithGrant(ctx, m, m.access, id, func(a storage.AccessToken) string { return a.GrantID })
	return cloneAccessToken(a), g, err
}

// RefreshToken implements storage.Store.
func (m *Model) RefreshToken(ctx context.Context, id storage.Digest) (storage.RefreshToken, storage.Grant, error) {
	return findWithGrant(ctx, m, m.refresh, id, func(r storage.RefreshToken) string { return r.GrantID })
}

// Session implements storage.Store.
func (m *Model) Session(ctx context.Context, id storage.Digest) (storage.Session, error) {
	s, err := find(ctx, m, m.sessions, id)
	return cloneSession(s), err
}

// Consent implements storage.Store.
func (m *Model) Consent(ctx context.Context, subject, clientID string) (storage.Consent, error) {
	c, err := find(ctx, m, m.consents, storage.ConsentID{Subject: subject, ClientID: clientID})
	return cloneConsent(c), err
}

// Keys implements storage.Store.
func (m *Model) Keys(ctx context.Context) (all []storage.Key, err error) {
	err = m.locked(ctx, func() error {
		for _, k := range m.keys {
			all = append(all, cloneKey(k))
		}
		return nil
	})
	slices.SortFunc(all, func(a, b storage.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// Ping implements storage.Store.
func (m *Model) Ping(ctx context.Context) error {
	return m.locked(ctx, func() error { return nil })
}

// Close implements storage.Store.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// The copies that make stored records nobody else's.

func cloneGrant(g storage.Grant) storage.Grant {
	g.Scopes, g.Audience, g.AMR = slices.Clone(g.Scopes), slices.Clone(g.Audience), slices.Clone(g.AMR)
	return g
}

func cloneAccessToken(a storage.AccessToken) storage.AccessToken {
	a.Scopes, a.Audience = slices.Clone(a.Scopes), slices.Clone(a.Audience)
	return a
}

func cloneSession(s storage.Session) storage.Session {
	s.AMR = slices.Clone(s.AMR)
	return s
}

func cloneConsent(c storage.Consent) storage.Consent {
	c.Scopes = slices.Clone(c.Scopes)
	return c
}

func cloneKey(k storage.Key) storage.Key {
	k.Material = slices.Clone(k.Material)
	return k
}
