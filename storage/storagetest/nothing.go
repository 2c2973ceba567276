package storagetest

import (
	"testing"

	"github.com/oidclab/oidclab/storage"
)

// refusal is a way to be refused: what add puts into changes.
type refusal struct {
	name string
	want error
	add  func(c *storage.Changes)
}

// givenRefusals puts into the store what refusals need.
func givenRefusals(f *fixture) {
	f.Helper()
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("revoked"), newGrant("other")}})
	f.commit(storage.Changes{
		Once:          []storage.Once{newOnce("used")},
		Codes:         []storage.Code{newCode("of revoked", "revoked"), newCode("used", "other")},
		RefreshTokens: []storage.RefreshToken{newRefreshToken("of revoked", "revoked"), newRefreshToken("used", "other")},
		DeviceCodes:   []storage.DeviceCode{newDeviceCode("used")},
	})
	f.commit(storage.Changes{
		RedeemCode:         storage.DigestOf("used"),
		RotateRefreshToken: storage.DigestOf("used"),
		DecideDevice:       &storage.DeviceDecision{ID: storage.DigestOf("used")},
		RedeemDeviceCode:   storage.DigestOf("used"),
		RevokeGrants:       []string{"revoked"},
	})
}

// reuses are the refusals that end a grant.
var reuses = []refusal{
	{"code used", storage.ErrUsed, func(c *storage.Changes) { aCode.spend(c, "used") }},
	{"refresh token used", storage.ErrUsed, func(c *storage.Changes) { aRefreshToken.spend(c, "used") }},
}

// refusals are all others.
func refusals() []refusal {
	all := []refusal{
		{"code missing", storage.ErrNotFound, func(c *storage.Changes) { aCode.spend(c, "none") }},
		{"code revoked", storage.ErrRevoked, func(c *storage.Changes) { aCode.spend(c, "of revoked") }},
		{"refresh token missing", storage.ErrNotFound, func(c *storage.Changes) { aRefreshToken.spend(c, "none") }},
		{"refresh token revoked", storage.ErrRevoked, func(c *storage.Changes) { aRefreshToken.spend(c, "of revoked") }},
		{"session ended", storage.ErrEnded, func(c *storage.Changes) { c.RequireSession = storage.DigestOf("none") }},
		{"session of that name ended", storage.ErrEnded, func(c *storage.Changes) { c.RequireSID = "none" }},
		{"client missing", storage.ErrNotFound, func(c *storage.Changes) {
			c.RequireClients = append(c.RequireClients, storage.ClientVersion{ID: "none"})
		}},
		{"client changed", storage.ErrChanged, func(c *storage.Changes) {
			c.RequireClients = append(c.RequireClients, storage.ClientVersion{ID: "client", Version: "another"})
		}},
		{"no room for a client", storage.ErrFull, func(c *storage.Changes) { c.ClientLimit = 1 }},
		{"decision for a missing grant", storage.ErrNotFound, func(c *storage.Changes) {
			c.DecideDevice = &storage.DeviceDecision{ID: storage.DigestOf("device"), GrantID: "none"}
		}},
		{"client to update missing", storage.ErrNotFound, func(c *storage.Changes) {
			c.UpdateClients = append(c.UpdateClients, newClient("none"))
		}},
		{"user code taken", storage.ErrExists, func(c *storage.Changes) {
			device := newDeviceCode("x")
			device.UserCode = newDeviceCode("used").UserCode
			c.DeviceCodes = append(c.DeviceCodes, device)
		}},
		{"identifier twice", storage.ErrSeen, func(c *storage.Changes) { c.Once = append(c.Once, newOnce("twice"), newOnce("twice")) }},
	}
	for _, u := range usables {
		all = append(all, refusal{u.name + " used", u.again, func(c *storage.Changes) { u.use(c, "used") }})
		if u.add != nil {
			all = append(all, refusal{u.name + " missing", storage.ErrNotFound, func(c *storage.Changes) { u.use(c, "none") }})
		}
	}
	for name, insert := range inserts() {
		all = append(all, refusal{name + " twice", storage.ErrExists, func(c *storage.Changes) {
			insert(c, "twice", "grant")
			insert(c, "twice", "grant")
		}})
	}
	for name, insert := range insertsOfGrant {
		all = append(all,
			refusal{name + " without grant", storage.ErrNotFound, func(c *storage.Changes) { insert(c, "x", "none") }},
			refusal{name + " of revoked grant", storage.ErrRevoked, func(c *storage.Changes) { insert(c, "x", "revoked") }},
		)
	}
	return all
}

// allOrNothing tries every way to be refused together with changes to
// everything that is there.
func allOrNothing(f *fixture) {
	f.commit(oneOfEach())
	givenRefusals(f)
	// The grant that a reuse ends is ended already.
	f.commit(storage.Changes{RevokeGrants: []string{"other"}})

	u := universeWith("new", "x", "twice", "used")
	before := u.snapshot(f.Context(), f.store)

	for _, r := range append(reuses, refusals()...) {
		c := everything()
		r.add(&c)
		f.Run(r.name, func(t *testing.T) {
			g := &fixture{t, f.store}
			g.refuse(c, r.want)
			g.equal("store", u.snapshot(g.Context(), g.store), before)
		})
	}

	// The very same changes are accepted without what was wrong.
	f.commit(everything())
	f.equal("code", aCode.usedAt(f, "code"), start.Add(9))
	device, err := f.store.DeviceCode(f.Context(), storage.DigestOf("device"))
	f.equal("device code", []any{device.DecidedAt, device.UsedAt, device.LastPollAt, device.GrantID, err},
		[]any{start.Add(9), start.Add(9), start.Add(9), "new", nil})
}

// universeWith has the names of universeOfOne, and others of each sort.
func universeWith(ids ...string) *universe {
	u := universeOfOne
	for _, id := range ids {
		u.grants = append([]string{id}, u.grants...)
		u.digests = append([]storage.Digest{storage.DigestOf(id)}, u.digests...)
		u.clients = append([]string{id}, u.clients...)
		u.sids = append([]string{id}, u.sids...)
		u.userCodes = append([]string{newDeviceCode(id).UserCode}, u.userCodes...)
		u.origins = append(newClient(id).Origins, u.origins...)
	}
	u.consents = append([]storage.ConsentID{{Subject: "new", ClientID: "new"}}, u.consents...)
	return &u
}

// everything returns changes that touch every record of oneOfEach and add one
// called "new" of each sort.
func everything() storage.Changes {
	changed := newSession("session")
	changed.Subject = "bob"
	client := newClient("client")
	client.Metadata, client.Origins, client.Version = []byte("{}"), []string{"https://other.example"}, "another"
	return storage.Changes{
		At:                 start.Add(9),
		RedeemCode:         storage.DigestOf("code"),
		RotateRefreshToken: storage.DigestOf("refresh"),
		RequireSession:     storage.DigestOf("session"),
		RequireSID:         "sid of session",
		RequireClients:     []storage.ClientVersion{{ID: "client", Version: "version of client"}},
		ClientLimit:        2,
		Once:               []storage.Once{newOnce("new")},
		DecideDevice:       &storage.DeviceDecision{ID: storage.DigestOf("device"), GrantID: "new"},
		RedeemDeviceCode:   storage.DigestOf("device"),
		Grants:             []storage.Grant{newGrant("new")},
		Codes:              []storage.Code{newCode("new", "new")},
		AccessTokens:       []storage.AccessToken{newAccessToken("new", "grant")},
		RefreshTokens:      []storage.RefreshToken{newRefreshToken("new", "grant")},
		Clients:            []storage.Client{newClient("new")},
		PushedRequests:     []storage.PushedRequest{newPushedRequest("new")},
		DeviceCodes:        []storage.DeviceCode{newDeviceCode("new")},
		UpdateClients:      []storage.Client{client},
		Sessions:           []storage.Session{newSession("new"), changed},
		SessionClients:     []storage.SessionClient{newSessionClient("new", "new"), newSessionClient("sid of session", "new")},
		Consents:           []storage.Consent{newConsent("new", "new")},
		Keys:               []storage.Key{newKey("new")},
		RevokeGrants:       []string{"grant"},
		RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")},
		EndSessions:        []storage.Digest{storage.DigestOf("session")},
		SignOut:            []string{"sid of grant", "sid of session"},
		PollDeviceCodes:    []storage.Digest{storage.DigestOf("device")},
		DeleteClients:      []string{"client"},
		DeleteConsents:     []storage.ConsentID{{Subject: "alice", ClientID: "client"}},
		DeleteKeys:         []string{"key"},
	}
}
