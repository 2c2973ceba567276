package storagetest

import (
	"maps"
	"time"

	"github.com/oidclab/oidclab/storage"
)

var commitRules = []rule{
	{"changes that say nothing are accepted", func(f *fixture) { f.commit(storage.Changes{}) }},
	{"a key that is there already is ErrExists", insertExisting},
	{"a key that comes twice in one is ErrExists", insertTwice},
	{"what comes of a missing grant is ErrNotFound", insertOrphan},
	{"what comes of a revoked grant is ErrRevoked", insertRevoked},
	{"a grant may come with what comes of it", func(f *fixture) { f.commit(oneOfEach()); f.holdsOneOfEach() }},
	{"a grant may come after what is asked of it", insertTokensOnly},
	{"a user code belongs to one device code", insertUserCode},
	{"sessions, their clients and keys are replaced", replace},
	{"consents are added to", allow},
	{"a client is replaced if it is there", updateClient},
	{"a client must be what was read of it", requireClients},
	{"a client is found by the origins that it has", origins},
	{"no more clients come than there may be", clientLimit},
	{"the keys have another version when they have changed", keysVersion},
	{"a record without an identifier is refused", insertNameless},
	{"what notes a time is refused without one that JSON has", timeless},
	{"changes that are refused leave nothing", allOrNothing},
	{"changes that are refused do not disturb the next", func(f *fixture) {
		f.refuse(aCode.of(start, "none"), storage.ErrNotFound)
		f.commit(oneOfEach())
		f.holdsOneOfEach()
	}},
}

// insert puts a record of a sort that must be new into changes.
type insert func(c *storage.Changes, id, grantID string)

var (
	// insertsOfGrant are those that come of a grant.
	insertsOfGrant = map[string]insert{
		"code":          aCode.add,
		"refresh token": aRefreshToken.add,
		"access token": func(c *storage.Changes, id, grantID string) {
			c.AccessTokens = append(c.AccessTokens, newAccessToken(id, grantID))
		},
	}
	// insertsOfNone are the others.
	insertsOfNone = map[string]insert{
		"grant":  func(c *storage.Changes, id, _ string) { c.Grants = append(c.Grants, newGrant(id)) },
		"client": func(c *storage.Changes, id, _ string) { c.Clients = append(c.Clients, newClient(id)) },
		"pushed request": func(c *storage.Changes, id, _ string) {
			c.PushedRequests = append(c.PushedRequests, newPushedRequest(id))
		},
		"device code": func(c *storage.Changes, id, _ string) { c.DeviceCodes = append(c.DeviceCodes, newDeviceCode(id)) },
	}
)

// inserts are all of them.
func inserts() map[string]insert {
	all := maps.Clone(insertsOfGrant)
	maps.Copy(all, insertsOfNone)
	return all
}

func insertExisting(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("parent")}})
	for name, insert := range inserts() {
		var c storage.Changes
		insert(&c, name, "parent")
		f.commit(c)
		f.refuse(c, storage.ErrExists)
	}
	// Even if it was revoked.
	f.commit(storage.Changes{RevokeGrants: []string{"grant"}})
	f.refuse(storage.Changes{Grants: []storage.Grant{newGrant("grant")}}, storage.ErrExists)
	f.revokedAt("grant", start)
}

func insertTwice(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("grant")}})
	for name, insert := range inserts() {
		var c storage.Changes
		insert(&c, name, "grant")
		insert(&c, name, "grant")
		f.refuse(c, storage.ErrExists)
	}
}

func insertOrphan(f *fixture) {
	for name, insert := range insertsOfGrant {
		var c storage.Changes
		insert(&c, name, "none")
		f.refuse(c, storage.ErrNotFound)
	}
}

func insertRevoked(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("grant")}})
	f.commit(storage.Changes{RevokeGrants: []string{"grant"}})
	for name, insert := range insertsOfGrant {
		var c storage.Changes
		insert(&c, name, "grant")
		f.refuse(c, storage.ErrRevoked)

		born := storage.Changes{Grants: []storage.Grant{newGrant("born revoked")}}
		born.Grants[0].RevokedAt = start
		insert(&born, name, "born revoked")
		f.refuse(born, storage.ErrRevoked)
	}
}

func insertTokensOnly(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("grant")}})
	c := oneOfEach()
	c.Grants = nil
	f.commit(c)
	f.holdsOneOfEach()
}

func insertUserCode(f *fixture) {
	taken, other := newDeviceCode("device"), newDeviceCode("other")
	other.UserCode = taken.UserCode
	f.refuse(storage.Changes{DeviceCodes: []storage.DeviceCode{taken, other}}, storage.ErrExists)
	f.commit(storage.Changes{DeviceCodes: []storage.DeviceCode{taken}})
	f.refuse(storage.Changes{DeviceCodes: []storage.DeviceCode{other}}, storage.ErrExists)
	// Even if it was used.
	f.commit(storage.Changes{RedeemDeviceCode: taken.ID})
	f.refuse(storage.Changes{DeviceCodes: []storage.DeviceCode{other}}, storage.ErrExists)

	_, err := f.store.DeviceCode(f.Context(), other.ID)
	f.wants("the other", err, storage.ErrNotFound)
	got, err := f.store.DeviceCodeOf(f.Context(), taken.UserCode)
	f.equal("device code", []any{got.ID, err}, []any{taken.ID, nil})
}

func replace(f *fixture) {
	before := oneOfEach()
	before.Sessions[0].Subject, before.Sessions[0].AMR = "bob", []string{"a", "b", "c"}
	before.SessionClients[0].Subject = "bob"
	before.Keys[0].Material = []byte("longer than what follows it")
	f.commit(before)
	after := oneOfEach()
	f.commit(storage.Changes{
		Sessions: after.Sessions, SessionClients: after.SessionClients, Keys: after.Keys,
	})
	f.holdsOneOfEach()

	// The last of several in one is the one that stays.
	f.commit(storage.Changes{
		Sessions:       []storage.Session{before.Sessions[0], after.Sessions[0]},
		SessionClients: []storage.SessionClient{before.SessionClients[0], after.SessionClients[0]},
		Keys:           []storage.Key{before.Keys[0], after.Keys[0]},
	})
	f.holdsOneOfEach()
}

func allow(f *fixture) {
	first := newConsent("alice", "client")
	f.commit(storage.Changes{Consents: []storage.Consent{first, newConsent("bob", "client")}})
	f.commit(storage.Changes{Consents: []storage.Consent{
		{ConsentID: first.ConsentID, Scopes: []string{"phone", "email", "address"}, UpdatedAt: start.Add(2)},
		{ConsentID: first.ConsentID, Claims: []string{"nickname", "zoneinfo"}, UpdatedAt: start.Add(1)},
	}})
	f.commit(storage.Changes{Consents: []storage.Consent{
		{ConsentID: first.ConsentID, Resources: []string{"https://other.example", "https://api.example"}},
	}})
	want := storage.Consent{
		ConsentID: first.ConsentID,
		Scopes:    []string{"openid", "email", "phone", "address"},
		Claims:    []string{"nickname", "zoneinfo"},
		Resources: []string{"https://api.example", "https://other.example"},
		UpdatedAt: start.Add(2),
	}
	got, err := f.store.Consent(f.Context(), "alice", "client")
	f.equal("consent", []any{got, err}, []any{want, nil})
	got, err = f.store.Consent(f.Context(), "bob", "client")
	f.equal("another's", []any{got, err}, []any{newConsent("bob", "client"), nil})

	// What was taken back is not there again when more is allowed.
	f.commit(storage.Changes{DeleteConsents: []storage.ConsentID{first.ConsentID}})
	more := storage.Consent{ConsentID: first.ConsentID, Scopes: []string{"phone"}, UpdatedAt: start}
	f.commit(storage.Changes{Consents: []storage.Consent{more}})
	got, err = f.store.Consent(f.Context(), "alice", "client")
	f.equal("consent after its end", []any{got, err}, []any{more, nil})
}

func updateClient(f *fixture) {
	before := oneOfEach()
	before.Clients[0].Metadata, before.Clients[0].SecretHash = []byte(`{"longer than":"what follows it"}`), storage.Digest{}
	f.commit(before)
	after := oneOfEach().Clients
	f.commit(storage.Changes{UpdateClients: after})
	f.holdsOneOfEach()

	// The last of several in one is the one that stays.
	f.commit(storage.Changes{UpdateClients: []storage.Client{before.Clients[0], after[0]}})
	f.holdsOneOfEach()

	f.refuse(storage.Changes{UpdateClients: []storage.Client{before.Clients[0], newClient("none")}}, storage.ErrNotFound)
	f.refuse(storage.Changes{Clients: []storage.Client{newClient("new")}, UpdateClients: []storage.Client{newClient("new")}}, storage.ErrNotFound)
	f.holdsOneOfEach()
}

// refuseBad tests that changes are refused for a reason that has no name of
// its own, since only a mistake in the program can cause it.
func (f *fixture) refuseBad(what string, c storage.Changes) {
	f.Helper()
	if err := f.store.Commit(f.Context(), c); err == nil {
		f.Errorf("%s: no error", what)
	}
}

func insertNameless(f *fixture) {
	f.commit(oneOfEach())
	f.refuseBad("grant without ID", storage.Changes{Grants: []storage.Grant{{}}})
	f.refuseBad("code without ID", storage.Changes{Codes: []storage.Code{{GrantID: "grant"}}})
	f.refuseBad("access token without ID", storage.Changes{AccessTokens: []storage.AccessToken{{GrantID: "grant"}}})
	f.refuseBad("refresh token without ID", storage.Changes{RefreshTokens: []storage.RefreshToken{{GrantID: "grant"}}})
	f.refuseBad("session without ID", storage.Changes{Sessions: []storage.Session{{}}})
	f.refuseBad("key without ID", storage.Changes{Keys: []storage.Key{{}}})
	f.refuseBad("client without ID", storage.Changes{Clients: []storage.Client{{}}})
	f.refuseBad("update of a client without ID", storage.Changes{UpdateClients: []storage.Client{{}}})
	f.refuseBad("zero identifier", storage.Changes{Once: []storage.Once{{}}})
	f.refuseBad("pushed request without ID", storage.Changes{PushedRequests: []storage.PushedRequest{{}}})
	f.refuseBad("device code without ID", storage.Changes{DeviceCodes: []storage.DeviceCode{{UserCode: "x"}}})
	f.refuseBad("device code without user code", storage.Changes{DeviceCodes: []storage.DeviceCode{{ID: storage.DigestOf("x")}}})
	f.refuseBad("client of no session", storage.Changes{SessionClients: []storage.SessionClient{{ClientID: "client"}}})
	f.refuseBad("session of no client", storage.Changes{SessionClients: []storage.SessionClient{{SID: "sid of session"}}})
	f.holdsOneOfEach()

	// Looking for such names is no mistake.
	f.commit(storage.Changes{
		RevokeGrants: []string{""}, RevokeAccessTokens: []storage.Digest{{}}, EndSessions: []storage.Digest{{}},
		SignOut: []string{""}, PollDeviceCodes: []storage.Digest{{}},
		DeleteClients: []string{""}, DeleteConsents: []storage.ConsentID{{}}, DeleteKeys: []string{""},
	})
	f.holdsOneOfEach()
}

func timeless(f *fixture) {
	f.commit(oneOfEach())
	for name, c := range map[string]storage.Changes{
		"revoked grant":        {RevokeGrants: []string{"grant"}},
		"revoked access token": {RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")}},
		"decided device code":  {DecideDevice: &storage.DeviceDecision{ID: storage.DigestOf("device")}},
		"redeemed device code": {RedeemDeviceCode: storage.DigestOf("device")},
		"polled device code":   {PollDeviceCodes: []storage.Digest{storage.DigestOf("device")}},
		"sign-out":             {SignOut: []string{"sid of session"}},
		"grant revoked in the year 10000, by UTC": {
			At: time.Date(9999, time.December, 31, 23, 30, 0, 0, time.FixedZone("", -60*60)), RevokeGrants: []string{"grant"},
		},
	} {
		f.refuseBad(name, c)
	}
	f.holdsOneOfEach()
}
