package storagetest

import (
	"cmp"
	"context"
	"maps"
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
		if err := m.meets(c); err != nil {
			return err
		}
		if err := cmp.Or(m.insertable(c), m.othersInsertable(c), m.updatable(c), m.room(c)); err != nil {
			return err
		}
		m.spend(c)
		m.insert(c)
		m.remove(c)
		return nil
	})
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
	if c.DecideDevice != nil {
		d := m.devices[c.DecideDevice.ID]
		d.DecidedAt, d.GrantID = c.At, c.DecideDevice.GrantID
		m.devices[d.ID] = d
	}
	if d, ok := m.devices[c.RedeemDeviceCode]; ok {
		d.UsedAt = c.At
		m.devices[d.ID] = d
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
	for _, x := range c.Once {
		m.onces[x.ID] = x
	}
	for _, client := range slices.Concat(c.Clients, c.UpdateClients) {
		m.clients[client.ID] = cloneClient(client)
	}
	for _, r := range c.PushedRequests {
		m.pushed[r.ID] = clonePushedRequest(r)
	}
	for _, d := range c.DeviceCodes {
		m.devices[d.ID] = cloneDeviceCode(d)
	}
	m.replace(c)
}

func (m *Model) replace(c storage.Changes) {
	for _, s := range c.Sessions {
		m.sessions[s.ID] = cloneSession(s)
	}
	for _, x := range c.SessionClients {
		m.sessionClients[sessionClientID{x.SID, x.ClientID}] = x
	}
	for _, consent := range c.Consents {
		if before, ok := m.consents[consent.ConsentID]; ok {
			consent = before.With(consent)
		}
		m.consents[consent.ConsentID] = cloneConsent(consent)
	}
	for _, k := range c.Keys {
		m.keys[k.ID] = cloneKey(k)
	}
	if len(c.Keys)+len(c.DeleteKeys) > 0 {
		m.keysVersion++
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
	for _, id := range c.PollDeviceCodes {
		if d, ok := m.devices[id]; ok {
			d.LastPollAt = c.At
			m.devices[id] = d
		}
	}
	for _, sid := range c.SignOut {
		m.signOut(sid, c.At)
	}
	for _, id := range c.EndSessions {
		delete(m.sessions, id)
	}
	for _, id := range c.DeleteClients {
		delete(m.clients, id)
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

// signOut ends the sessions of a name and what ends with them. "" is no session.
func (m *Model) signOut(sid string, at time.Time) {
	maps.DeleteFunc(m.sessions, func(_ storage.Digest, s storage.Session) bool { return sid != "" && s.SID == sid })
	for id, g := range m.grants {
		if sid != "" && g.SessionID == sid && g.SessionBound {
			m.revokeGrants([]string{id}, at)
		}
	}
}
