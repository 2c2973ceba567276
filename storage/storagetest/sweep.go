package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

var sweepRules = []rule{
	{"what expired before now goes, what expires now stays", sweepBoundary},
	{"each record goes when it expires, codes and refresh tokens with their grant", sweepEach},
	{"a spent code is recognised until its grant ends", func(f *fixture) { sweepSpent(f, aCode) }},
	{"a spent refresh token is recognised until its grant ends", func(f *fixture) { sweepSpent(f, aRefreshToken) }},
	{"what is added to a grant later ends with it too", sweepLater},
	{"clients, consents, keys and what has no end stay", sweepEndless},
	{"revoked grants stay until they expire", sweepRevoked},
	{"the oldest go first, no more than asked for", sweepLimit},
	{"thousands go in one call", sweepMany},
	{"a session that was prolonged stays", sweepProlonged},
	{"a session that was shortened goes", sweepShortened},
	{"a session that was ended counts no more", sweepEnded},
	{"a session's client lasts as long as was said last", sweepSessionClient},
	{"whether a device code is swept is its own affair, not its grant's", sweepDecided},
	{"a claim comes too late for what was swept", sweepUsed},
	{"a token that outlives its grant is not found", sweepOutliving},
	{"what was swept can come again", sweepAgain},
}

// always is longer than any record of the tests lasts.
const always = 100 * 365 * 24 * time.Hour

func sweepBoundary(f *fixture) {
	for _, expires := range []time.Time{start, start.Truncate(time.Second), time.Unix(-5, 7)} {
		s := newSession("session")
		s.ExpiresAt = expires
		f.commit(storage.Changes{Sessions: []storage.Session{s}})
		f.sweep(expires.Add(-1), 10, 0)
		f.sweep(expires, 10, 0)
		f.sweep(expires.Add(1), 10, 1)
		_, err := f.store.Session(f.Context(), s.ID)
		f.wants("session", err, storage.ErrNotFound)
	}
	// Time has no gap in 1970.
	before, after := newSession("before 1970"), newSession("after 1970")
	before.ExpiresAt, after.ExpiresAt = time.Unix(-5, 0), time.Unix(5, 0)
	f.commit(storage.Changes{Sessions: []storage.Session{before, after}})
	f.sweep(time.Unix(0, 0), 10, 1)
	_, err := f.store.Session(f.Context(), after.ID)
	f.equal("session", err, nil)
}

func sweepEach(f *fixture) {
	f.commit(oneOfEach())
	for _, step := range []struct {
		after time.Duration
		goes  []string
	}{
		{time.Minute + 1, nil}, // the code's own end
		{90*time.Second + 1, []string{"pushed request"}},
		{5*time.Minute + 1, []string{"identifier"}},
		{10*time.Minute + 1, []string{"device code", "user code"}},
		{time.Hour + 1, []string{"access token"}},
		{2*time.Hour + 1, nil}, // the refresh token's own end
		{3 * time.Hour, nil},
		{3*time.Hour + 1, []string{"session", "session client"}},
		{24 * time.Hour, nil},
		{24*time.Hour + 1, []string{"code", "refresh token", "grant"}},
		{always, nil},
	} {
		before := present(f)
		want := len(step.goes)
		if slices.Contains(step.goes, "user code") {
			want-- // it is no record of its own
		}
		f.sweep(start.Add(step.after), 100, want)
		after := present(f)
		for _, name := range step.goes {
			f.equal(name+" before", before[name], true)
			before[name] = false
		}
		f.equal("left after "+step.after.String(), after, before)
	}
}

// present says which records of oneOfEach are there.
func present(f *fixture) map[string]bool {
	f.Helper()
	c, ctx := oneOfEach(), f.Context()
	_, grantErr := f.store.Grant(ctx, "grant")
	_, _, codeErr := f.store.Code(ctx, c.Codes[0].ID)
	_, _, accessErr := f.store.AccessToken(ctx, c.AccessTokens[0].ID)
	_, _, refreshErr := f.store.RefreshToken(ctx, c.RefreshTokens[0].ID)
	_, sessionErr := f.store.Session(ctx, c.Sessions[0].ID)
	_, clientErr := f.store.Client(ctx, "client")
	_, consentErr := f.store.Consent(ctx, "alice", "client")
	_, pushedErr := f.store.PushedRequest(ctx, c.PushedRequests[0].ID)
	_, deviceErr := f.store.DeviceCode(ctx, c.DeviceCodes[0].ID)
	_, userCodeErr := f.store.DeviceCodeOf(ctx, c.DeviceCodes[0].UserCode)
	seen, seenErr := f.store.Seen(ctx, c.Once[0].ID)
	clients, clientsErr := f.store.SessionClients(ctx, "sid of session")
	keys, keysErr := f.store.Keys(ctx)
	f.equal("reads", errors.Join(seenErr, clientsErr, keysErr), nil)
	return map[string]bool{
		"grant": grantErr == nil, "code": codeErr == nil, "access token": accessErr == nil, "refresh token": refreshErr == nil,
		"session": sessionErr == nil, "client": clientErr == nil, "consent": consentErr == nil, "pushed request": pushedErr == nil,
		"device code": deviceErr == nil, "user code": userCodeErr == nil, "identifier": seen,
		"session client": len(clients) > 0, "key": len(keys) > 0,
	}
}

func sweepSpent(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.commit(s.of(start, "it"))
	f.sweep(start.Add(24*time.Hour), 100, 0)
	f.refuse(s.of(start.Add(24*time.Hour), "it"), storage.ErrUsed)
	f.revokedAt("grant", start.Add(24*time.Hour))
	f.sweep(start.Add(24*time.Hour+1), 100, 2)
	f.refuse(s.of(start.Add(24*time.Hour+1), "it"), storage.ErrNotFound)
}

func sweepLater(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{newGrant("grant")}})
	var c storage.Changes
	for _, insert := range insertsOfGrant {
		insert(&c, "later", "grant")
	}
	f.commit(c)
	f.sweep(start.Add(24*time.Hour), 100, 1)
	f.sweep(start.Add(24*time.Hour+1), 100, 3)
}

func sweepEndless(f *fixture) {
	c := oneOfEach()
	for _, expires := range []*time.Time{
		&c.Grants[0].ExpiresAt, &c.AccessTokens[0].ExpiresAt, &c.Sessions[0].ExpiresAt, &c.Once[0].ExpiresAt,
		&c.PushedRequests[0].ExpiresAt, &c.DeviceCodes[0].ExpiresAt, &c.SessionClients[0].ExpiresAt,
	} {
		*expires = time.Time{}
	}
	f.commit(c)
	before := universeOfOne.snapshot(f.Context(), f.store)
	f.sweep(start.Add(always), 100, 0)
	f.equal("store", universeOfOne.snapshot(f.Context(), f.store), before)
}

func sweepRevoked(f *fixture) {
	aCode.given(f, "code", "grant")
	f.commit(storage.Changes{RevokeGrants: []string{"grant"}})
	f.sweep(start.Add(24*time.Hour), 100, 0)
	f.sweep(start.Add(24*time.Hour+1), 100, 2)
}

func sweepLimit(f *fixture) {
	// Stored in an order that is neither that of time nor that of names.
	var c storage.Changes
	for _, n := range []int{3, 0, 4, 1, 2} {
		s := newSession(fmt.Sprint(n))
		s.ExpiresAt = start.Add(time.Duration(n))
		c.Sessions = append(c.Sessions, s)
	}
	f.commit(c)
	gone := func(want ...bool) {
		f.Helper()
		var got []bool
		for n := range want {
			_, err := f.store.Session(f.Context(), storage.DigestOf(fmt.Sprint(n)))
			got = append(got, err != nil)
		}
		f.equal("gone", got, want)
	}
	later := start.Add(time.Hour)
	f.sweep(later, 0, 0)
	f.sweep(later, -1, 0)
	gone(false, false, false, false, false)
	f.sweep(later, 2, 2)
	gone(true, true, false, false, false)
	f.sweep(later, 1, 1)
	gone(true, true, true, false, false)
	f.sweep(later, 3, 2)
	gone(true, true, true, true, true)
	f.sweep(later, 3, 0)
}

func sweepMany(f *fixture) {
	var c storage.Changes
	for n := range 3000 {
		c.Sessions = append(c.Sessions, newSession(fmt.Sprint(n)))
	}
	f.commit(c)
	later := start.Add(always)
	f.sweep(later, 2000, 2000)
	f.sweep(later, 2000, 1000)
	f.sweep(later, 2000, 0)
}

func sweepProlonged(f *fixture) {
	s := newSession("session")
	for n := range 3 {
		s.ExpiresAt = start.Add(time.Duration(n))
		f.commit(storage.Changes{Sessions: []storage.Session{s}})
	}
	f.sweep(start.Add(2), 10, 0)
	got, err := f.store.Session(f.Context(), s.ID)
	f.equal("session", []any{got, err}, []any{s, nil})
	f.sweep(start.Add(3), 10, 1)
}

func sweepShortened(f *fixture) {
	s := newSession("session")
	f.commit(storage.Changes{Sessions: []storage.Session{s}})
	s.ExpiresAt = start
	f.commit(storage.Changes{Sessions: []storage.Session{s}})
	f.sweep(start.Add(1), 10, 1)
	_, err := f.store.Session(f.Context(), s.ID)
	f.wants("session", err, storage.ErrNotFound)
}

func sweepEnded(f *fixture) {
	f.commit(storage.Changes{Sessions: []storage.Session{newSession("session"), newSession("other")}})
	f.commit(storage.Changes{EndSessions: []storage.Digest{storage.DigestOf("session")}})
	f.sweep(start.Add(always), 1, 1)
	_, err := f.store.Session(f.Context(), storage.DigestOf("other"))
	f.wants("session", err, storage.ErrNotFound)
}

func sweepSessionClient(f *fixture) {
	x := newSessionClient("sid", "client")
	for n := range 3 {
		x.ExpiresAt = start.Add(time.Duration(n))
		f.commit(storage.Changes{SessionClients: []storage.SessionClient{x}})
	}
	f.sweep(start.Add(2), 10, 0)
	f.clientsOf("sid", 1)
	x.ExpiresAt = start
	f.commit(storage.Changes{SessionClients: []storage.SessionClient{x}})
	f.sweep(start.Add(1), 10, 1)
	f.clientsOf("sid", 0)
}

func sweepDecided(f *fixture) {
	c := oneOfEach()
	c.DeviceCodes[0].ExpiresAt = start.Add(48 * time.Hour)
	f.commit(storage.Changes{Grants: c.Grants, DeviceCodes: c.DeviceCodes})
	f.commit(decide("grant"))
	f.sweep(start.Add(24*time.Hour+1), 10, 1)
	f.equal("grant", f.deviceCode("device").GrantID, "grant")
	f.sweep(start.Add(48*time.Hour+1), 10, 1)

	f.commit(storage.Changes{Grants: c.Grants, DeviceCodes: []storage.DeviceCode{newDeviceCode("device")}})
	f.commit(decide("grant"))
	f.sweep(start.Add(10*time.Minute+1), 10, 1)
	f.equal("grant", f.grant("grant"), c.Grants[0])
}

func sweepUsed(f *fixture) {
	for _, u := range []usable{aDecision, aDeviceCode} {
		for _, used := range []bool{false, true} {
			u.given(f, "it")
			if used {
				f.commit(u.of(start, "it"))
			}
			f.sweep(start.Add(time.Hour), 10, 1)
			f.refuse(u.of(start.Add(time.Hour), "it"), storage.ErrNotFound)
		}
	}
}

func sweepOutliving(f *fixture) {
	c := oneOfEach()
	c.AccessTokens[0].ExpiresAt = start.Add(48 * time.Hour)
	f.commit(storage.Changes{Grants: c.Grants, AccessTokens: c.AccessTokens})
	f.sweep(start.Add(24*time.Hour+1), 10, 1)
	_, _, err := f.store.AccessToken(f.Context(), c.AccessTokens[0].ID)
	f.wants("access token", err, storage.ErrNotFound)
	f.sweep(start.Add(always), 10, 1)
}

func sweepAgain(f *fixture) {
	for range 2 {
		f.commit(oneOfEach())
		f.holdsOneOfEach()
		f.sweep(start.Add(always), 10, 9)
		f.commit(storage.Changes{DeleteClients: []string{"client"}}) // which is never swept
	}
}
