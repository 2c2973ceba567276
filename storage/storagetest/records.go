package storagetest

import (
	"math"
	"time"

	"github.com/oidclab/oidclab/storage"
)

var recordRules = []rule{
	{"full records come back", fullRecords},
	{"nil and empty lists and zero times come back", bareRecords},
	{"an instant comes back whatever its zone or century", instants},
	{"what a reader changes is the reader's own", readersCopy},
	{"what a writer changes after Commit is the writer's own", writersCopy},
	{"what is missing is ErrNotFound", missing},
	{"a new store has no keys", func(f *fixture) {
		all, err := f.store.Keys(f.Context())
		if err != nil || len(all) != 0 {
			f.Errorf("Keys: %v, %v; want none", all, err)
		}
	}},
	{"keys come oldest first", keysInOrder},
	{"consents of pairs that look alike are kept apart", lookAlikes},
	{"one identifier may name records of each sort", sameIdentifier},
}

// roundTrip commits one record of each sort and reads them back.
func (f *fixture) roundTrip(c storage.Changes) {
	f.Helper()
	f.commit(c)
	ctx := f.Context()
	grant := c.Grants[0]
	f.equal("grant", f.grant(grant.ID), grant)

	code, of, err := f.store.Code(ctx, c.Codes[0].ID)
	f.equal("code", []any{code, of, err}, []any{c.Codes[0], grant, nil})
	access, of, err := f.store.AccessToken(ctx, c.AccessTokens[0].ID)
	f.equal("access token", []any{access, of, err}, []any{c.AccessTokens[0], grant, nil})
	refresh, of, err := f.store.RefreshToken(ctx, c.RefreshTokens[0].ID)
	f.equal("refresh token", []any{refresh, of, err}, []any{c.RefreshTokens[0], grant, nil})
	session, err := f.store.Session(ctx, c.Sessions[0].ID)
	f.equal("session", []any{session, err}, []any{c.Sessions[0], nil})
	consent, err := f.store.Consent(ctx, c.Consents[0].Subject, c.Consents[0].ClientID)
	f.equal("consent", []any{consent, err}, []any{c.Consents[0], nil})
	keys, err := f.store.Keys(ctx)
	f.equal("keys", []any{keys, err}, []any{c.Keys, nil})
}

// oneOfEach returns changes that insert one record of each sort.
func oneOfEach() storage.Changes {
	return storage.Changes{
		At:            start,
		Grants:        []storage.Grant{newGrant("grant")},
		Codes:         []storage.Code{newCode("code", "grant")},
		AccessTokens:  []storage.AccessToken{newAccessToken("access", "grant")},
		RefreshTokens: []storage.RefreshToken{newRefreshToken("refresh", "grant")},
		Sessions:      []storage.Session{newSession("session")},
		Consents:      []storage.Consent{newConsent("alice", "client")},
		Keys:          []storage.Key{newKey("key")},
	}
}

func fullRecords(f *fixture) {
	c := oneOfEach()
	// A store takes what it gets, even a code that is used already.
	c.Codes[0].UsedAt = start.Add(1)
	c.AccessTokens[0].RevokedAt = start.Add(2)
	c.RefreshTokens[0].UsedAt = start.Add(3)
	f.roundTrip(c)
}

func bareRecords(f *fixture) {
	f.roundTrip(storage.Changes{
		Grants:        []storage.Grant{{ID: "grant", Scopes: []string{}, AMR: []string{""}}},
		Codes:         []storage.Code{{ID: storage.DigestOf("code"), GrantID: "grant"}},
		AccessTokens:  []storage.AccessToken{{ID: storage.DigestOf("access"), GrantID: "grant", Audience: []string{}}},
		RefreshTokens: []storage.RefreshToken{{ID: storage.DigestOf("refresh"), GrantID: "grant"}},
		Sessions:      []storage.Session{{ID: storage.DigestOf("session"), AMR: []string{}}},
		Consents:      []storage.Consent{{ConsentID: storage.ConsentID{Subject: "", ClientID: "client"}}},
		Keys:          []storage.Key{{ID: "empty", Material: []byte{}}, {ID: "nil"}},
	})
}

func instants(f *fixture) {
	for _, when := range []time.Time{
		start,
		start.In(time.FixedZone("east", 5*3600+1800)),
		time.Unix(0, 1),
		time.Date(1600, time.January, 1, 0, 0, 0, 1, time.UTC),
		time.Unix(0, math.MaxInt64).Add(time.Hour), // beyond UnixNano
		time.Date(9999, time.December, 31, 23, 59, 59, 999999999, time.UTC),
	} {
		s := newSession("session")
		s.AuthTime, s.ExpiresAt = when, when
		f.commit(storage.Changes{Sessions: []storage.Session{s}})
		got, err := f.store.Session(f.Context(), s.ID)
		f.equal(when.String(), []any{got, err}, []any{s, nil})
	}
}

func readersCopy(f *fixture) {
	c := oneOfEach()
	f.commit(c)
	ctx := f.Context()
	g := f.grant("grant")
	g.Scopes[0], g.Audience[0], g.AMR[0] = "x", "x", "x"
	a, g, err := f.store.AccessToken(ctx, c.AccessTokens[0].ID)
	f.equal("AccessToken", err, nil)
	a.Scopes[0], a.Audience[0], g.Scopes[0] = "x", "x", "x"
	s, err := f.store.Session(ctx, c.Sessions[0].ID)
	f.equal("Session", err, nil)
	s.AMR[0] = "x"
	consent, err := f.store.Consent(ctx, "alice", "client")
	f.equal("Consent", err, nil)
	consent.Scopes[0], consent.Claims[0] = "x", "x"
	keys, err := f.store.Keys(ctx)
	f.equal("Keys", err, nil)
	keys[0].Material[0] = 'x'

	f.holdsOneOfEach()
}

func writersCopy(f *fixture) {
	c := oneOfEach()
	f.commit(c)
	c.Grants[0].Scopes[0], c.Grants[0].Audience[0], c.Grants[0].AMR[0] = "x", "x", "x"
	c.AccessTokens[0].Scopes[0], c.AccessTokens[0].Audience[0] = "x", "x"
	c.Sessions[0].AMR[0] = "x"
	c.Consents[0].Scopes[0], c.Consents[0].Claims[0] = "x", "x"
	c.Keys[0].Material[0] = 'x'

	f.holdsOneOfEach()
}

// holdsOneOfEach tests that the store holds oneOfEach, unchanged.
func (f *fixture) holdsOneOfEach() {
	f.Helper()
	want := NewModel()
	if err := want.Commit(f.Context(), oneOfEach()); err != nil {
		f.Fatal(err)
	}
	u := universeOfOne
	f.equal("store", u.snapshot(f.Context(), f.store), u.snapshot(f.Context(), want))
}

// universeOfOne names the records of oneOfEach.
var universeOfOne = universe{
	grants: []string{"grant"},
	digests: []storage.Digest{
		storage.DigestOf("code"), storage.DigestOf("access"), storage.DigestOf("refresh"), storage.DigestOf("session"),
	},
	consents: []storage.ConsentID{{Subject: "alice", ClientID: "client"}},
}

func missing(f *fixture) {
	f.commit(oneOfEach()) // the store is not empty
	ctx := f.Context()
	none := storage.DigestOf("none")
	_, grantErr := f.store.Grant(ctx, "none")
	_, _, codeErr := f.store.Code(ctx, none)
	_, _, accessErr := f.store.AccessToken(ctx, none)
	_, _, refreshErr := f.store.RefreshToken(ctx, none)
	_, sessionErr := f.store.Session(ctx, none)
	_, consentErr := f.store.Consent(ctx, "alice", "none")
	_, emptyErr := f.store.Grant(ctx, "")
	_, _, zeroErr := f.store.Code(ctx, storage.Digest{})
	for name, err := range map[string]error{
		"grant": grantErr, "code": codeErr, "access token": accessErr, "refresh token": refreshErr,
		"session": sessionErr, "consent": consentErr, "grant without a name": emptyErr, "zero digest": zeroErr,
	} {
		f.wants(name, err, storage.ErrNotFound)
	}
}

func keysInOrder(f *fixture) {
	key := func(id string, age time.Duration) storage.Key {
		k := newKey(id)
		k.CreatedAt = start.Add(-age)
		return k
	}
	f.commit(storage.Changes{Keys: []storage.Key{key("a", 0), key("b", 2), key("d", 1), key("c", 1)}})
	keys, err := f.store.Keys(f.Context())
	f.equal("keys", []any{keys, err}, []any{[]storage.Key{key("b", 2), key("c", 1), key("d", 1), key("a", 0)}, nil})
}

func lookAlikes(f *fixture) {
	pairs := []storage.Consent{
		newConsent("a", "bc"), newConsent("ab", "c"), newConsent("abc", ""), newConsent("", "abc"),
		newConsent("a\x00b", "c"), newConsent("a", "b\x00c"),
	}
	for i := range pairs {
		pairs[i].Scopes = pairs[i].Scopes[:i%2]
	}
	f.commit(storage.Changes{Consents: pairs})
	for _, want := range pairs {
		got, err := f.store.Consent(f.Context(), want.Subject, want.ClientID)
		f.equal("consent", []any{got, err}, []any{want, nil})
	}
}

func sameIdentifier(f *fixture) {
	c := oneOfEach()
	id := storage.DigestOf("same")
	c.Codes[0].ID, c.AccessTokens[0].ID, c.RefreshTokens[0].ID, c.Sessions[0].ID = id, id, id, id
	c.Keys[0].ID = "grant"
	f.roundTrip(c)
}
