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
	{"a time of any field is an instant, whatever its zone", zones},
	{"what a reader changes is the reader's own", readersCopy},
	{"what a writer changes after Commit is the writer's own", writersCopy},
	{"what is missing is ErrNotFound", missing},
	{"a new store has no keys and no clients", emptyLists},
	{"keys and clients come oldest first", oldestFirst},
	{"the clients of a session come in the order of their names", sessionClientsInOrder},
	{"consents of pairs that look alike are kept apart", lookAlikes},
	{"sessions that look alike have their own clients", lookAlikeSessions},
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
	f.roundTripOthers(c)
}

func (f *fixture) roundTripOthers(c storage.Changes) {
	f.Helper()
	ctx := f.Context()
	client, err := f.store.Client(ctx, c.Clients[0].ID)
	f.equal("client", []any{client, err}, []any{c.Clients[0], nil})
	clients, err := f.store.Clients(ctx)
	f.equal("clients", []any{clients, err}, []any{c.Clients, nil})
	seen, err := f.store.Seen(ctx, c.Once[0].ID)
	f.equal("seen", []any{seen, err}, []any{true, nil})
	pushed, err := f.store.PushedRequest(ctx, c.PushedRequests[0].ID)
	f.equal("pushed request", []any{pushed, err}, []any{c.PushedRequests[0], nil})
	device, err := f.store.DeviceCode(ctx, c.DeviceCodes[0].ID)
	f.equal("device code", []any{device, err}, []any{c.DeviceCodes[0], nil})
	device, err = f.store.DeviceCodeOf(ctx, c.DeviceCodes[0].UserCode)
	f.equal("device code by user code", []any{device, err}, []any{c.DeviceCodes[0], nil})
	of, err := f.store.SessionClients(ctx, c.SessionClients[0].SID)
	f.equal("clients of the session", []any{of, err}, []any{c.SessionClients, nil})
}

// oneOfEach returns changes that insert one record of each sort.
func oneOfEach() storage.Changes {
	return storage.Changes{
		At:             start,
		Once:           []storage.Once{newOnce("once")},
		Grants:         []storage.Grant{newGrant("grant")},
		Codes:          []storage.Code{newCode("code", "grant")},
		AccessTokens:   []storage.AccessToken{newAccessToken("access", "grant")},
		RefreshTokens:  []storage.RefreshToken{newRefreshToken("refresh", "grant")},
		Clients:        []storage.Client{newClient("client")},
		PushedRequests: []storage.PushedRequest{newPushedRequest("pushed")},
		DeviceCodes:    []storage.DeviceCode{newDeviceCode("device")},
		Sessions:       []storage.Session{newSession("session")},
		SessionClients: []storage.SessionClient{newSessionClient("sid of session", "client")},
		Consents:       []storage.Consent{newConsent("alice", "client")},
		Keys:           []storage.Key{newKey("key")},
	}
}

func fullRecords(f *fixture) {
	c := oneOfEach()
	// A store takes what it gets, even a code that is used already.
	c.Codes[0].UsedAt = start.Add(1)
	c.AccessTokens[0].RevokedAt = start.Add(2)
	c.RefreshTokens[0].UsedAt = start.Add(3)
	device := &c.DeviceCodes[0]
	device.LastPollAt, device.DecidedAt, device.UsedAt, device.GrantID = start.Add(5), start.Add(6), start.Add(7), "grant"
	f.roundTrip(c)
}

func bareRecords(f *fixture) {
	f.roundTrip(storage.Changes{
		Grants:        []storage.Grant{{ID: "grant", Scopes: []string{}, Claims: []byte{}, AMR: []string{""}}},
		Codes:         []storage.Code{{ID: storage.DigestOf("code"), GrantID: "grant"}},
		AccessTokens:  []storage.AccessToken{{ID: storage.DigestOf("access"), GrantID: "grant", Audience: []string{}}},
		RefreshTokens: []storage.RefreshToken{{ID: storage.DigestOf("refresh"), GrantID: "grant"}},
		Sessions:      []storage.Session{{ID: storage.DigestOf("session"), AMR: []string{}}},
		Consents:      []storage.Consent{{ConsentID: storage.ConsentID{Subject: "", ClientID: "client"}}},
		Keys:          []storage.Key{{ID: "empty", Material: []byte{}}, {ID: "nil"}},
		Clients:       []storage.Client{{ID: "empty", Metadata: []byte{}, Origins: []string{}}, {ID: "nil"}},
		Once:          []storage.Once{{ID: storage.DigestOf("once")}},
		PushedRequests: []storage.PushedRequest{
			{ID: storage.DigestOf("values"), Form: map[string][]string{"nil": nil, "empty": {}, "": {""}}},
			{ID: storage.DigestOf("empty"), Form: map[string][]string{}},
			{ID: storage.DigestOf("nil")},
		},
		DeviceCodes:    []storage.DeviceCode{{ID: storage.DigestOf("device"), UserCode: "user code", Scopes: []string{}}},
		SessionClients: []storage.SessionClient{{SID: "sid", ClientID: "client"}},
	})
	for name, want := range map[string]map[string][]string{"empty": {}, "nil": nil} {
		got, err := f.store.PushedRequest(f.Context(), storage.DigestOf(name))
		f.equal(name+" form", []any{got.Form, err}, []any{want, nil})
	}
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
	g.Scopes[0], g.Audience[0], g.AMR[0], g.Claims[0] = "x", "x", "x", 'x'
	a, g, err := f.store.AccessToken(ctx, c.AccessTokens[0].ID)
	f.equal("AccessToken", err, nil)
	a.Scopes[0], a.Audience[0], g.Scopes[0] = "x", "x", "x"
	s, err := f.store.Session(ctx, c.Sessions[0].ID)
	f.equal("Session", err, nil)
	s.AMR[0] = "x"
	consent, err := f.store.Consent(ctx, "alice", "client")
	f.equal("Consent", err, nil)
	consent.Scopes[0], consent.Claims[0], consent.Resources[0] = "x", "x", "x"
	keys, err := f.store.Keys(ctx)
	f.equal("Keys", err, nil)
	keys[0].Material[0] = 'x'
	client, err := f.store.Client(ctx, "client")
	f.equal("Client", err, nil)
	client.Metadata[0], client.Origins[0] = 'x', "x"
	clients, err := f.store.Clients(ctx)
	f.equal("Clients", err, nil)
	clients[0].Metadata[0], clients[0].Origins[0] = 'x', "x"
	pushed, err := f.store.PushedRequest(ctx, c.PushedRequests[0].ID)
	f.equal("PushedRequest", err, nil)
	pushed.Form["scope"][0] = "x"
	pushed.Form["x"] = nil
	device, err := f.store.DeviceCode(ctx, c.DeviceCodes[0].ID)
	f.equal("DeviceCode", err, nil)
	device.Scopes[0], device.Audience[0] = "x", "x"
	device, err = f.store.DeviceCodeOf(ctx, c.DeviceCodes[0].UserCode)
	f.equal("DeviceCodeOf", err, nil)
	device.Scopes[0], device.Audience[0] = "x", "x"

	f.holdsOneOfEach()
}

func writersCopy(f *fixture) {
	c := oneOfEach()
	f.commit(c)
	c.Grants[0].Scopes[0], c.Grants[0].Audience[0], c.Grants[0].AMR[0], c.Grants[0].Claims[0] = "x", "x", "x", 'x'
	c.AccessTokens[0].Scopes[0], c.AccessTokens[0].Audience[0] = "x", "x"
	c.Sessions[0].AMR[0] = "x"
	c.Consents[0].Scopes[0], c.Consents[0].Claims[0], c.Consents[0].Resources[0] = "x", "x", "x"
	c.Keys[0].Material[0] = 'x'
	c.Clients[0].Metadata[0], c.Clients[0].Origins[0] = 'x', "x"
	c.PushedRequests[0].Form["scope"][0] = "x"
	c.PushedRequests[0].Form["x"] = nil
	c.DeviceCodes[0].Scopes[0], c.DeviceCodes[0].Audience[0] = "x", "x"
	f.holdsOneOfEach()

	updated := []storage.Client{newClient("client")}
	f.commit(storage.Changes{UpdateClients: updated})
	updated[0].Metadata[0], updated[0].Origins[0] = 'x', "x"
	f.holdsOneOfEach()
}

// holdsOneOfEach tests that the store holds oneOfEach, unchanged.
func (f *fixture) holdsOneOfEach() {
	f.Helper()
	f.holds(oneOfEach())
}

// holds tests that the store holds what would be in an empty one after these
// changes, as far as universeOfOne reaches.
func (f *fixture) holds(c ...storage.Changes) {
	f.Helper()
	want := NewModel()
	for _, c := range c {
		if err := want.Commit(f.Context(), stamped(c)); err != nil {
			f.Fatal(err)
		}
	}
	u := universeOfOne
	f.equal("store", u.snapshot(f.Context(), f.store), u.snapshot(f.Context(), want))
}

// universeOfOne names the records of oneOfEach.
var universeOfOne = universe{
	grants: []string{"grant"},
	digests: []storage.Digest{
		storage.DigestOf("code"), storage.DigestOf("access"), storage.DigestOf("refresh"), storage.DigestOf("session"),
		storage.DigestOf("once"), storage.DigestOf("pushed"), storage.DigestOf("device"),
	},
	consents:  []storage.ConsentID{{Subject: "alice", ClientID: "client"}},
	clients:   []string{"client"},
	sids:      []string{"sid of session"},
	userCodes: []string{"user code of device"},
	origins:   []string{"https://client.example", "https://shared.example"},
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
	_, clientErr := f.store.Client(ctx, "none")
	_, namelessErr := f.store.Client(ctx, "")
	_, pushedErr := f.store.PushedRequest(ctx, none)
	_, deviceErr := f.store.DeviceCode(ctx, none)
	_, userCodeErr := f.store.DeviceCodeOf(ctx, "none")
	_, emptyCodeErr := f.store.DeviceCodeOf(ctx, "")
	for name, err := range map[string]error{
		"grant": grantErr, "code": codeErr, "access token": accessErr, "refresh token": refreshErr,
		"session": sessionErr, "consent": consentErr, "grant without a name": emptyErr, "zero digest": zeroErr,
		"client": clientErr, "client without a name": namelessErr, "pushed request": pushedErr,
		"device code": deviceErr, "user code": userCodeErr, "empty user code": emptyCodeErr,
	} {
		f.wants(name, err, storage.ErrNotFound)
	}
	for _, id := range []storage.Digest{none, {}} {
		seen, err := f.store.Seen(ctx, id)
		f.equal("seen", []any{seen, err}, []any{false, nil})
	}
	for _, sid := range []string{"none", "", "sid of sessio", "sid of session "} {
		clients, err := f.store.SessionClients(ctx, sid)
		f.equal("clients of "+sid, []any{len(clients), err}, []any{0, nil})
	}
}

func emptyLists(f *fixture) {
	keys, err := f.store.Keys(f.Context())
	f.equal("keys", []any{len(keys), err}, []any{0, nil})
	clients, err := f.store.Clients(f.Context())
	f.equal("clients", []any{len(clients), err}, []any{0, nil})
}

func oldestFirst(f *fixture) {
	ages := map[string]time.Duration{"a": 0, "b": 2, "d": 1, "c": 1}
	key := func(id string) storage.Key {
		k := newKey(id)
		k.CreatedAt = start.Add(-ages[id])
		return k
	}
	client := func(id string) storage.Client {
		c := newClient(id)
		c.CreatedAt = start.Add(-ages[id])
		return c
	}
	f.commit(storage.Changes{
		Keys:    []storage.Key{key("a"), key("b"), key("d"), key("c")},
		Clients: []storage.Client{client("a"), client("b"), client("d"), client("c")},
	})
	keys, err := f.store.Keys(f.Context())
	f.equal("keys", []any{keys, err}, []any{[]storage.Key{key("b"), key("c"), key("d"), key("a")}, nil})
	clients, err := f.store.Clients(f.Context())
	f.equal("clients", []any{clients, err}, []any{[]storage.Client{client("b"), client("c"), client("d"), client("a")}, nil})
}

func sessionClientsInOrder(f *fixture) {
	of := func(ids ...string) (all []storage.SessionClient) {
		for _, id := range ids {
			all = append(all, newSessionClient("sid", id))
		}
		return all
	}
	f.commit(storage.Changes{SessionClients: of("b", "ab", "c", "\u00e4")})
	f.commit(storage.Changes{SessionClients: of("a", "\x00")})
	clients, err := f.store.SessionClients(f.Context(), "sid")
	f.equal("clients", []any{len(clients), err}, []any{6, nil})
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ClientID)
	}
	f.equal("clients", ids, []string{"\x00", "a", "ab", "b", "c", "\u00e4"})
}

func lookAlikeSessions(f *fixture) {
	pairs := []storage.SessionClient{
		newSessionClient("a", "bc"), newSessionClient("ab", "c"), newSessionClient("a\x00b", "c"), newSessionClient("a", "b\x00c"),
	}
	f.commit(storage.Changes{SessionClients: pairs})
	for sid, want := range map[string][]storage.SessionClient{
		"a": {pairs[3], pairs[0]}, "ab": {pairs[1]}, "a\x00b": {pairs[2]}, "abc": nil, "a\x00": nil, "": nil,
	} {
		got, err := f.store.SessionClients(f.Context(), sid)
		f.equal("number of clients of "+sid, []any{len(got), err}, []any{len(want), nil})
		if len(want) > 0 {
			f.equal("clients of "+sid, got, want)
		}
	}
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
	c.Once[0].ID, c.PushedRequests[0].ID, c.DeviceCodes[0].ID = id, id, id
	c.Keys[0].ID, c.Clients[0].ID, c.DeviceCodes[0].UserCode = "grant", "grant", "grant"
	f.roundTrip(c)
}
