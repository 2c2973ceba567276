package storagetest

import (
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
	{"sessions, consents and keys are replaced", replace},
	{"a record without an identifier is refused", insertNameless},
	{"a revocation without a time is refused", revokeTimeless},
	{"changes that are refused leave nothing", allOrNothing},
	{"changes that are refused do not disturb the next", func(f *fixture) {
		f.refuse(aCode.of(start, "none"), storage.ErrNotFound)
		f.commit(oneOfEach())
		f.holdsOneOfEach()
	}},
}

// inserts are the four sorts of record that must be new.
var inserts = map[string]func(c *storage.Changes, id, grantID string){
	"grant":         func(c *storage.Changes, id, _ string) { c.Grants = append(c.Grants, newGrant(id)) },
	"code":          aCode.add,
	"refresh token": aRefreshToken.add,
	"access token": func(c *storage.Changes, id, grantID string) {
		c.AccessTokens = append(c.AccessTokens, newAccessToken(id, grantID))
	},
}

func insertExisting(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("parent")}})
	for name, insert := range inserts {
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
	for name, insert := range inserts {
		var c storage.Changes
		insert(&c, name, "grant")
		insert(&c, name, "grant")
		f.refuse(c, storage.ErrExists)
	}
}

func insertOrphan(f *fixture) {
	for name, insert := range inserts {
		var c storage.Changes
		insert(&c, name, "none")
		if name != "grant" {
			f.refuse(c, storage.ErrNotFound)
		}
	}
}

func insertRevoked(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("grant")}})
	f.commit(storage.Changes{RevokeGrants: []string{"grant"}})
	for name, insert := range inserts {
		if name == "grant" {
			continue
		}
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

func replace(f *fixture) {
	before := oneOfEach()
	before.Sessions[0].Subject, before.Sessions[0].AMR = "bob", []string{"a", "b", "c"}
	before.Consents[0].Scopes = []string{"x", "y", "z"}
	before.Keys[0].Material = []byte("longer than what follows it")
	f.commit(before)
	after := oneOfEach()
	f.commit(storage.Changes{Sessions: after.Sessions, Consents: after.Consents, Keys: after.Keys})
	f.holdsOneOfEach()

	// The last of several in one is the one that stays.
	f.commit(storage.Changes{
		Sessions: []storage.Session{before.Sessions[0], after.Sessions[0]},
		Consents: []storage.Consent{before.Consents[0], after.Consents[0]},
		Keys:     []storage.Key{before.Keys[0], after.Keys[0]},
	})
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
	f.holdsOneOfEach()

	// Looking for such names is no mistake.
	f.commit(storage.Changes{
		RevokeGrants: []string{""}, RevokeAccessTokens: []storage.Digest{{}}, EndSessions: []storage.Digest{{}},
		DeleteConsents: []storage.ConsentID{{}}, DeleteKeys: []string{""},
	})
	f.holdsOneOfEach()
}

func revokeTimeless(f *fixture) {
	f.commit(oneOfEach())
	f.refuseBad("grant", storage.Changes{RevokeGrants: []string{"grant"}})
	f.refuseBad("access token", storage.Changes{RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")}})
	f.holdsOneOfEach()
}

// allOrNothing tries every way to be refused together with changes to
// everything that is there.
func allOrNothing(f *fixture) {
	f.commit(oneOfEach())
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("revoked"), newGrant("other")}})
	f.commit(storage.Changes{Codes: []storage.Code{newCode("of revoked", "revoked"), newCode("used", "other")}})
	f.commit(storage.Changes{RevokeGrants: []string{"revoked"}})
	f.commit(aCode.of(start, "used"))

	u := universeOfOne
	u.grants = append([]string{"new"}, u.grants...)
	u.digests = append([]storage.Digest{storage.DigestOf("new")}, u.digests...)
	u.consents = append([]storage.ConsentID{{Subject: "new", ClientID: "new"}}, u.consents...)
	before := u.snapshot(f.Context(), f.store)

	type refusal struct {
		name string
		want error
		add  func(c *storage.Changes)
	}
	refusals := []refusal{
		{"code missing", storage.ErrNotFound, func(c *storage.Changes) { aCode.spend(c, "none") }},
		{"code used", storage.ErrUsed, func(c *storage.Changes) { aCode.spend(c, "used") }},
		{"code revoked", storage.ErrRevoked, func(c *storage.Changes) { aCode.spend(c, "of revoked") }},
		{"refresh token missing", storage.ErrNotFound, func(c *storage.Changes) { aRefreshToken.spend(c, "none") }},
	}
	for name, insert := range inserts {
		refusals = append(refusals, refusal{name + " twice", storage.ErrExists, func(c *storage.Changes) {
			insert(c, "twice", "grant")
			insert(c, "twice", "grant")
		}})
		if name != "grant" {
			refusals = append(refusals,
				refusal{name + " without grant", storage.ErrNotFound, func(c *storage.Changes) { insert(c, "x", "none") }},
				refusal{name + " of revoked grant", storage.ErrRevoked, func(c *storage.Changes) { insert(c, "x", "revoked") }},
			)
		}
	}
	for _, r := range refusals {
		c := everything()
		r.add(&c)
		f.refuse(c, r.want)
		f.equal("store after "+r.name, u.snapshot(f.Context(), f.store), before)
	}

	// The very same changes are accepted without what was wrong.
	f.commit(everything())
	f.equal("code", aCode.usedAt(f, "code"), start.Add(9))
}

// everything returns changes that touch every record of oneOfEach and add one
// called "new" of each sort.
func everything() storage.Changes {
	changed := newSession("session")
	changed.Subject = "bob"
	return storage.Changes{
		At:                 start.Add(9),
		RedeemCode:         storage.DigestOf("code"),
		RotateRefreshToken: storage.DigestOf("refresh"),
		Grants:             []storage.Grant{newGrant("new")},
		Codes:              []storage.Code{newCode("new", "new")},
		AccessTokens:       []storage.AccessToken{newAccessToken("new", "grant")},
		RefreshTokens:      []storage.RefreshToken{newRefreshToken("new", "grant")},
		Sessions:           []storage.Session{newSession("new"), changed},
		Consents:           []storage.Consent{newConsent("new", "new")},
		Keys:               []storage.Key{newKey("new")},
		RevokeGrants:       []string{"grant"},
		RevokeAccessTokens: []storage.Digest{storage.DigestOf("access")},
		DeleteConsents:     []storage.ConsentID{{Subject: "alice", ClientID: "client"}},
		DeleteKeys:         []string{"key"},
	}
}
