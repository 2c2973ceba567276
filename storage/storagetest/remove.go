package storagetest

import (
	"time"

	"github.com/oidclab/oidclab/storage"
)

var removeRules = []rule{
	{"grants are revoked, with all that came of them", revokeGrant},
	{"access tokens are revoked one by one", revokeAccessToken},
	{"the first revocation is the one that counts", revokeTwice},
	{"sessions are ended", endSession},
	{"clients are deleted, and nothing else of them", deleteClient},
	{"consents are deleted", deleteConsent},
	{"keys are deleted", deleteKey},
	{"what is missing is passed over", removeMissing},
	{"removal comes last", removeLast},
}

func revokeGrant(f *fixture) {
	c := oneOfEach()
	f.commit(c)
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("other")}})
	f.commit(storage.Changes{At: start.Add(4), RevokeGrants: []string{"grant"}})

	want := newGrant("grant")
	want.RevokedAt = start.Add(4)
	f.equal("grant", f.grant("grant"), want)
	f.equal("another grant", f.grant("other"), newGrant("other"))
	// The records stay, and show their grant.
	code, of, err := f.store.Code(f.Context(), c.Codes[0].ID)
	f.equal("code", []any{code, of, err}, []any{c.Codes[0], want, nil})
	access, of, err := f.store.AccessToken(f.Context(), c.AccessTokens[0].ID)
	f.equal("access token", []any{access, of, err}, []any{c.AccessTokens[0], want, nil})
	refresh, of, err := f.store.RefreshToken(f.Context(), c.RefreshTokens[0].ID)
	f.equal("refresh token", []any{refresh, of, err}, []any{c.RefreshTokens[0], want, nil})
}

func revokeAccessToken(f *fixture) {
	c := oneOfEach()
	c.AccessTokens = append(c.AccessTokens, newAccessToken("other", "grant"))
	f.commit(c)
	f.commit(storage.Changes{At: start.Add(4), RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")}})

	want := newAccessToken("access", "grant")
	want.RevokedAt = start.Add(4)
	got, of, err := f.store.AccessToken(f.Context(), want.ID)
	f.equal("access token", []any{got, of, err}, []any{want, newGrant("grant"), nil})
	got, _, err = f.store.AccessToken(f.Context(), storage.DigestOf("other"))
	f.equal("another", []any{got, err}, []any{newAccessToken("other", "grant"), nil})
}

func revokeTwice(f *fixture) {
	f.commit(oneOfEach())
	for n := range 3 {
		f.commit(storage.Changes{
			At:                 start.Add(time.Duration(n)),
			RevokeGrants:       []string{"grant", "grant"},
			RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")},
		})
	}
	access, grant, err := f.store.AccessToken(f.Context(), storage.DigestOf("access"))
	f.equal("RevokedAt", []any{access.RevokedAt, grant.RevokedAt, err}, []any{start, start, nil})
}

func endSession(f *fixture) {
	f.commit(storage.Changes{Sessions: []storage.Session{newSession("session"), newSession("other")}})
	f.commit(storage.Changes{EndSessions: []storage.Digest{storage.DigestOf("session")}})
	_, err := f.store.Session(f.Context(), storage.DigestOf("session"))
	f.wants("ended session", err, storage.ErrNotFound)
	_, err = f.store.Session(f.Context(), storage.DigestOf("other"))
	f.equal("another session", err, nil)
}

func deleteClient(f *fixture) {
	c := oneOfEach()
	c.Clients = append(c.Clients, newClient("other"))
	f.commit(c)
	f.commit(storage.Changes{DeleteClients: []string{"client"}})
	_, err := f.store.Client(f.Context(), "client")
	f.wants("deleted client", err, storage.ErrNotFound)
	clients, err := f.store.Clients(f.Context())
	f.equal("clients", []any{clients, err}, []any{[]storage.Client{newClient("other")}, nil})
	f.refuse(storage.Changes{UpdateClients: []storage.Client{newClient("client")}}, storage.ErrNotFound)

	// What it was issued stays, and its name is free.
	f.commit(storage.Changes{DeleteClients: []string{"other"}, Clients: []storage.Client{newClient("client")}})
	f.holdsOneOfEach()
}

func deleteConsent(f *fixture) {
	f.commit(storage.Changes{Consents: []storage.Consent{newConsent("alice", "client"), newConsent("bob", "client")}})
	f.commit(storage.Changes{DeleteConsents: []storage.ConsentID{{Subject: "alice", ClientID: "client"}}})
	_, err := f.store.Consent(f.Context(), "alice", "client")
	f.wants("deleted consent", err, storage.ErrNotFound)
	_, err = f.store.Consent(f.Context(), "bob", "client")
	f.equal("another consent", err, nil)
}

func deleteKey(f *fixture) {
	f.commit(storage.Changes{Keys: []storage.Key{newKey("key"), newKey("other")}})
	f.commit(storage.Changes{DeleteKeys: []string{"key"}})
	keys, err := f.store.Keys(f.Context())
	f.equal("keys", []any{keys, err}, []any{[]storage.Key{newKey("other")}, nil})
}

func removeMissing(f *fixture) {
	f.commit(oneOfEach())
	f.commit(storage.Changes{
		RevokeGrants:       []string{"none"},
		RevokeAccessTokens: []storage.Digest{storage.DigestOf("none")},
		EndSessions:        []storage.Digest{storage.DigestOf("none")},
		SignOut:            []string{"none", "sid of grant ", "sid of gran", "sid of sessio"},
		PollDeviceCodes:    []storage.Digest{storage.DigestOf("none")},
		DeleteClients:      []string{"none"},
		DeleteConsents:     []storage.ConsentID{{Subject: "alice", ClientID: "none"}},
		DeleteKeys:         []string{"none"},
	})
	f.holdsOneOfEach()
}

func removeLast(f *fixture) {
	c := oneOfEach()
	c.RevokeGrants = []string{"grant"}
	c.RevokeAccessTokens = []storage.Digest{storage.DigestOf("access")}
	c.EndSessions = []storage.Digest{storage.DigestOf("session")}
	c.SignOut = []string{"sid of session"}
	c.PollDeviceCodes = []storage.Digest{storage.DigestOf("device")}
	c.DeleteClients = []string{"client"}
	c.DeleteConsents = []storage.ConsentID{{Subject: "alice", ClientID: "client"}}
	c.DeleteKeys = []string{"key"}
	f.commit(c)

	kept := oneOfEach()
	kept.Clients, kept.Sessions, kept.Consents, kept.Keys = nil, nil, nil, nil
	kept.AccessTokens[0].RevokedAt = start
	kept.DeviceCodes[0].LastPollAt = start
	f.holds(kept, storage.Changes{RevokeGrants: []string{"grant"}})
}
