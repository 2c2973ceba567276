package storagetest

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// sensible refuses what only a mistake in the program can ask for.
func sensible(c storage.Changes) error {
	stamps := !c.RedeemCode.IsZero() || !c.RotateRefreshToken.IsZero() ||
		c.DecideDevice != nil || !c.RedeemDeviceCode.IsZero() ||
		len(c.RevokeGrants)+len(c.RevokeAccessTokens)+len(c.SignOut)+len(c.PollDeviceCodes) > 0
	switch {
	case stamps && c.At.IsZero():
		return errors.New("changes without a time")
	case c.At.UTC().Year() < 0 || c.At.UTC().Year() > 9999:
		return errors.New("a time that JSON does not have")
	case c.ClientLimit < 0:
		return errors.New("a negative limit")
	case nameless(c):
		return errors.New("record without an identifier")
	}
	return nil
}

func nameless(c storage.Changes) bool {
	return slices.ContainsFunc(c.Grants, func(g storage.Grant) bool { return g.ID == "" }) ||
		slices.ContainsFunc(c.Codes, func(c storage.Code) bool { return c.ID.IsZero() }) ||
		slices.ContainsFunc(c.AccessTokens, func(a storage.AccessToken) bool { return a.ID.IsZero() }) ||
		slices.ContainsFunc(c.RefreshTokens, func(r storage.RefreshToken) bool { return r.ID.IsZero() }) ||
		slices.ContainsFunc(c.Sessions, func(s storage.Session) bool { return s.ID.IsZero() }) ||
		slices.ContainsFunc(c.Keys, func(k storage.Key) bool { return k.ID == "" }) ||
		slices.ContainsFunc(slices.Concat(c.Clients, c.UpdateClients), func(c storage.Client) bool { return c.ID == "" || slices.Contains(c.Origins, "") }) ||
		slices.ContainsFunc(c.Once, func(x storage.Once) bool { return x.ID.IsZero() }) ||
		slices.ContainsFunc(c.PushedRequests, func(r storage.PushedRequest) bool { return r.ID.IsZero() }) ||
		slices.ContainsFunc(c.DeviceCodes, func(d storage.DeviceCode) bool { return d.ID.IsZero() || d.UserCode == "" }) ||
		slices.ContainsFunc(c.SessionClients, func(x storage.SessionClient) bool { return x.SID == "" || x.ClientID == "" })
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

// meets says whether the session is there, the clients are as they were, and what
// comes or is used once is there for the first time.
func (m *Model) meets(c storage.Changes) error {
	if _, ok := m.sessions[c.RequireSession]; !ok && !c.RequireSession.IsZero() {
		return storage.ErrEnded
	}
	if c.RequireSID != "" && !slices.ContainsFunc(slices.Collect(maps.Values(m.sessions)), func(s storage.Session) bool { return s.SID == c.RequireSID }) {
		return storage.ErrEnded
	}
	for _, want := range c.RequireClients {
		client, ok := m.clients[want.ID]
		if !ok {
			return storage.ErrNotFound
		}
		if client.Version != want.Version {
			return storage.ErrChanged
		}
	}
	for i, x := range c.Once {
		_, stored := m.onces[x.ID]
		if stored || slices.ContainsFunc(c.Once[:i], func(o storage.Once) bool { return o.ID == x.ID }) {
			return storage.ErrSeen
		}
	}
	if c.DecideDevice != nil {
		d, ok := m.devices[c.DecideDevice.ID]
		if err := cmp.Or(unused(ok, d.DecidedAt), m.known(c, c.DecideDevice.GrantID)); err != nil {
			return err
		}
	}
	if !c.RedeemDeviceCode.IsZero() {
		d, ok := m.devices[c.RedeemDeviceCode]
		return unused(ok, d.UsedAt)
	}
	return nil
}

// unused says whether something is there and was not used.
func unused(there bool, usedAt time.Time) error {
	switch {
	case !there:
		return storage.ErrNotFound
	case !usedAt.IsZero():
		return storage.ErrUsed
	}
	return nil
}

// known says whether there is a grant that a decision names. "" is none.
func (m *Model) known(c storage.Changes, grantID string) error {
	_, stored := m.grants[grantID]
	if grantID == "" || stored || slices.ContainsFunc(c.Grants, func(g storage.Grant) bool { return g.ID == grantID }) {
		return nil
	}
	return storage.ErrNotFound
}

// othersInsertable says whether what is inserted and comes of no grant is new.
func (m *Model) othersInsertable(c storage.Changes) error {
	for i, client := range c.Clients {
		_, stored := m.clients[client.ID]
		twice := slices.ContainsFunc(c.Clients[:i], func(o storage.Client) bool { return o.ID == client.ID })
		if err := exists(stored || twice); err != nil {
			return err
		}
	}
	for i, r := range c.PushedRequests {
		_, stored := m.pushed[r.ID]
		twice := slices.ContainsFunc(c.PushedRequests[:i], func(o storage.PushedRequest) bool { return o.ID == r.ID })
		if err := exists(stored || twice); err != nil {
			return err
		}
	}
	for i, d := range c.DeviceCodes {
		same := func(o storage.DeviceCode) bool { return o.ID == d.ID || o.UserCode == d.UserCode }
		stored := slices.ContainsFunc(slices.Collect(maps.Values(m.devices)), same)
		if err := exists(stored || slices.ContainsFunc(c.DeviceCodes[:i], same)); err != nil {
			return err
		}
	}
	return nil
}

// updatable says whether the clients that are to be replaced are there.
func (m *Model) updatable(c storage.Changes) error {
	for _, client := range c.UpdateClients {
		if _, ok := m.clients[client.ID]; !ok {
			return storage.ErrNotFound
		}
	}
	return nil
}

// room says whether there may be as many clients as there would be.
func (m *Model) room(c storage.Changes) error {
	if c.ClientLimit != 0 && len(m.clients)+len(c.Clients) > c.ClientLimit {
		return storage.ErrFull
	}
	return nil
}

func exists(yes bool) error {
	if yes {
		return storage.ErrExists
	}
	return nil
}
