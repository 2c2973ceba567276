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
// and for tests only. What it checks before it writes is in modelcheck.go, its
// writes are in modelcommit.go.
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
	// keysVersion is how many commits have changed keys.
	keysVersion uint64

	clients        map[string]storage.Client
	onces          map[storage.Digest]storage.Once
	pushed         map[storage.Digest]storage.PushedRequest
	devices        map[storage.Digest]storage.DeviceCode
	sessionClients map[sessionClientID]storage.SessionClient
}

type sessionClientID struct{ sid, clientID string }

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

		clients:        map[string]storage.Client{},
		onces:          map[storage.Digest]storage.Once{},
		pushed:         map[storage.Digest]storage.PushedRequest{},
		devices:        map[storage.Digest]storage.DeviceCode{},
		sessionClients: map[sessionClientID]storage.SessionClient{},
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

// SessionClients implements storage.Store.
func (m *Model) SessionClients(ctx context.Context, sid string) (all []storage.SessionClient, err error) {
	err = m.locked(ctx, func() error {
		for id, client := range m.sessionClients {
			if id.sid == sid {
				all = append(all, client)
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b storage.SessionClient) int { return cmp.Compare(a.ClientID, b.ClientID) })
	return all, err
}

// Client implements storage.Store.
func (m *Model) Client(ctx context.Context, id string) (storage.Client, error) {
	c, err := find(ctx, m, m.clients, id)
	return cloneClient(c), err
}

// Clients implements storage.Store.
func (m *Model) Clients(ctx context.Context) (all []storage.Client, err error) {
	err = m.locked(ctx, func() error {
		for _, c := range m.clients {
			all = append(all, cloneClient(c))
		}
		return nil
	})
	slices.SortFunc(all, func(a, b storage.Client) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// HasOrigin implements storage.Store.
func (m *Model) HasOrigin(ctx context.Context, origin string) (has bool, err error) {
	err = m.locked(ctx, func() error {
		for _, c := range m.clients {
			has = has || slices.Contains(c.Origins, origin)
		}
		return nil
	})
	return has, err
}

// Seen implements storage.Store.
func (m *Model) Seen(ctx context.Context, id storage.Digest) (seen bool, err error) {
	err = m.locked(ctx, func() error {
		_, seen = m.onces[id]
		return nil
	})
	return seen, err
}

// PushedRequest implements storage.Store.
func (m *Model) PushedRequest(ctx context.Context, id storage.Digest) (storage.PushedRequest, error) {
	r, err := find(ctx, m, m.pushed, id)
	return clonePushedRequest(r), err
}

// DeviceCode implements storage.Store.
func (m *Model) DeviceCode(ctx context.Context, id storage.Digest) (storage.DeviceCode, error) {
	d, err := find(ctx, m, m.devices, id)
	return cloneDeviceCode(d), err
}

// DeviceCodeOf implements storage.Store.
func (m *Model) DeviceCodeOf(ctx context.Context, userCode string) (code storage.DeviceCode, err error) {
	err = m.locked(ctx, func() error {
		for _, d := range m.devices {
			if d.UserCode == userCode {
				code = cloneDeviceCode(d)
				return nil
			}
		}
		return storage.ErrNotFound
	})
	return code, err
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

// KeysVersion implements storage.Store.
func (m *Model) KeysVersion(ctx context.Context) (version uint64, err error) {
	err = m.locked(ctx, func() error {
		version = m.keysVersion
		return nil
	})
	return version, err
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
