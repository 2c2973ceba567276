package storagetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// Commit implements storage.Store.
func (m *Model) Commit(ctx context.Context, c storage.Changes) error {
	if err := sensible(c); err != nil {
		return err
	}
	return m.locked(ctx, func() error {
		// A reuse comes before every other refusal, and revokes.
		reused := m.reused(c)
		if len(reused) > 0 {
			m.revokeGrants(reused, c.At)
			return storage.ErrUsed
		}
		if err := m.spendable(c); err != nil {
			return err
		}
		if err := m.insertable(c); err != nil {
			return err
		}
		m.spend(c)
		m.insert(c)
		m.remove(c)
		return nil
	})
}

// sensible refuses what only a mistake in the program can ask for.
func sensible(c storage.Changes) error {
	stamps := !c.RedeemCode.IsZero() || !c.RotateRefreshToken.IsZero() || len(c.RevokeGrants)+len(c.RevokeAccessTokens) > 0
	nameless := slices.ContainsFunc(c.Grants, func(g storage.Grant) bool { return g.ID == "" }) ||
		slices.ContainsFunc(c.Codes, func(c storage.Code) bool { return c.ID.IsZero() }) ||
		slices.ContainsFunc(c.AccessTokens, func(a storage.AccessToken) bool { return a.ID.IsZero() }) ||
		slices.ContainsFunc(c.RefreshTokens, func(r storage.RefreshToken) bool { return r.ID.IsZero() }) ||
		slices.ContainsFunc(c.Sessions, func(s storage.Session) bool { return s.ID.IsZero() }) ||
		slices.ContainsFunc(c.Keys, func(k storage.Key) bool { return k.ID == "" })
	switch {
	case stamps && c.At.IsZero():
		return errors.New("changes without a time")
	case nameless:
		return errors.New("record without an identifier")
	}
	return nil
}

// reused returns the grants of a spent code and a spent refresh token.
func (m *Model) reused(c storage.Changes) (grantIDs []string) {
	code := m.codes[c.RedeemCode]
	if _, ok := m.grants[code.GrantID]; ok && !code.UsedAt.IsZero() {
		grantIDs = append(grantIDs, code.GrantID)
	}
	refresh := m.refresh[c.RotateRefreshToken]
	if _, ok := m.grants[refresh.GrantID]; ok && !refresh.UsedAt.IsZero() {
		grantIDs = append(grantIDs, refresh.GrantID)
	}
	return grantIDs
}

// spendable says whether the code and the refresh token, which are unspent if
// they are there, can be spent.
func (m *Model) spendable(c storage.Changes) error {
	if !c.RedeemCode.IsZero() {
		code, ok := m.codes[c.RedeemCode]
		if !ok {
			return storage.ErrNotFound
		}
		if err := m.live(m.grants[code.GrantID]); err != nil {
			return err
		}
	}
	if !c.RotateRefreshToken.IsZero() {
		refresh, ok := m.refresh[c.RotateRefreshToken]
		if !ok {
			return storage.ErrNotFound
		}
		return m.live(m.grants[refresh.GrantID])
	}
	return nil
}

// live says whether a grant is there and not revoked.
func (m *Model) live(g storage.Grant) error {
	switch {
	case g.ID == "":
		return storage.ErrNotFound
	case !g.RevokedAt.IsZero():
		return storage.ErrRevoked
	}
	return nil
}

// insertable says whether all that is inserted is new and comes of live
// grants.
func (m *Model) insertable(c storage.Changes) error {
	grants := map[string]storage.Grant{}
	for _, g := range c.Grants {
		_, stored := m.grants[g.ID]
		_, twice := grants[g.ID]
		if err := exists(stored || twice); err != nil {
			return err
		}
		grants[g.ID] = g
	}
	// A grant may come with what comes of it.
	live := func(id string) error {
		if g, ok := grants[id]; ok {
			return m.live(g)
		}
		return m.live(m.grants[id])
	}
	for i, code := range c.Codes {
		_, stored := m.codes[code.ID]
		twice := slices.ContainsFunc(c.Codes[:i], func(o storage.Code) bool { return o.ID == code.ID })
		if err := cmp.Or(exists(stored || twice), live(code.GrantID)); err != nil {
			return err
		}
	}
	for i, access := range c.AccessTokens {
		_, stored := m.access[access.ID]
		twice := slices.ContainsFunc(c.AccessTokens[:i], func(o storage.AccessToken) bool { return o.ID == access.ID })
		if err := cmp.Or(exists(stored || twice), live(access.GrantID)); err != nil {
			return err
		}
	}
	for i, refresh := range c.RefreshTokens {
		_, stored := m.refresh[refresh.ID]
		twice := slices.ContainsFunc(c.RefreshTokens[:i], func(o storage.RefreshToken) bool { return o.ID == refresh.ID })
		if err := cmp.Or(exists(stored || twice), live(refresh.GrantID)); err != nil {
			return err
		}
	}
	return nil
}

func exists(yes bool) error {
	if yes {
		return storage.ErrExists
	}
	return nil
}

func (m *Model) spend(c storage.Changes) {
	if code, ok := m.codes[c.RedeemCode]; ok {
		code.UsedAt = c.At
		m.codes[code.ID] = code
	}
	if refresh, ok := m.refresh[c.RotateRefreshToken]; ok {
		refresh.UsedAt = c.At
		m.refresh[refresh.ID] = refresh
	}
}

func (m *Model) insert(c storage.Changes) {
	for _, g := range c.Grants {
		m.grants[g.ID] = cloneGrant(g)
	}
	for _, code := range c.Codes {
		m.codes[code.ID] = code
	}
	for _, access := range c.AccessTokens {
		m.access[access.ID] = cloneAccessToken(access)
	}
	for _, refresh := range c.RefreshTokens {
		m.refresh[refresh.ID] = refresh
	}
	for _, s := range c.Sessions {
		m.sessions[s.ID] = cloneSession(s)
	}
	for _, consent := range c.Consents {
		m.consents[consent.ConsentID] = cloneConsent(consent)
	}
	for _, k := range c.Keys {
		m.keys[k.ID] = cloneKey(k)
	}
}

func (m *Model) remove(c storage.Changes) {
	m.revokeGrants(c.RevokeGrants, c.At)
	for _, id := range c.RevokeAccessTokens {
		if access, ok := m.access[id]; ok && access.RevokedAt.IsZero() {
			access.RevokedAt = c.At
			m.access[id] = access
		}
	}
	for _, id := range c.EndSessions {
		delete(m.sessions, id)
	}
	for _, id := range c.DeleteConsents {
		delete(m.consents, id)
	}
	for _, id := range c.DeleteKeys {
		delete(m.keys, id)
	}
}

func (m *Model) revokeGrants(ids []string, at time.Time) {
	for _, id := range ids {
		if g, ok := m.grants[id]; ok && g.RevokedAt.IsZero() {
			g.RevokedAt = at
			m.grants[id] = g
		}
	}
}

// expiring is a record that the sweep may have.
type expiring struct {
	at     time.Time
	order  int    // among those of the same instant: a grant after what comes of it
	id     string // among those of the same order
	delete func()
}

// Sweep implements storage.Store.
func (m *Model) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	err = m.locked(ctx, func() error {
		expired := slices.DeleteFunc(m.expiring(), func(e expiring) bool { return e.at.IsZero() || !e.at.Before(now) })
		slices.SortFunc(expired, func(a, b expiring) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order), cmp.Compare(a.id, b.id))
		})
		removed = max(0, min(limit, len(expired)))
		for _, e := range expired[:removed] {
			e.delete()
		}
		return nil
	})
	return removed, err
}

// expiring returns all records that may expire: codes and refresh tokens do
// when their grant does.
func (m *Model) expiring() (all []expiring) {
	for id, code := range m.codes {
		all = append(all, expiring{m.grants[code.GrantID].ExpiresAt, 1, string(id[:]), func() { delete(m.codes, id) }})
	}
	for id, access := range m.access {
		all = append(all, expiring{access.ExpiresAt, 2, string(id[:]), func() { delete(m.access, id) }})
	}
	for id, refresh := range m.refresh {
		all = append(all, expiring{m.grants[refresh.GrantID].ExpiresAt, 3, string(id[:]), func() { delete(m.refresh, id) }})
	}
	for id, s := range m.sessions {
		all = append(all, expiring{s.ExpiresAt, 4, string(id[:]), func() { delete(m.sessions, id) }})
	}
	for id, g := range m.grants {
		all = append(all, expiring{g.ExpiresAt, 5, id, func() { delete(m.grants, id) }})
	}
	return all
}
