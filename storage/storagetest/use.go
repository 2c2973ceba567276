package storagetest

import (
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// usable is what is used once. Unlike a spendable, it ends no grant if it comes
// back: whoever brings it again is refused, no more.
type usable struct {
	name string
	// add puts one into changes that insert it; nil if it need not be there.
	add func(c *storage.Changes, id string)
	use func(c *storage.Changes, id string)
	// again is why the second use is refused.
	again error
	// usedAt reads back when it was used.
	usedAt func(f *fixture, id string) time.Time
}

var (
	anIdentifier = usable{
		name:  "identifier",
		use:   func(c *storage.Changes, id string) { c.Once = append(c.Once, newOnce(id)) },
		again: storage.ErrSeen,
	}
	aDecision = usable{
		name: "decision",
		add:  addDeviceCode,
		use: func(c *storage.Changes, id string) {
			c.DecideDevice = &storage.DeviceDecision{ID: storage.DigestOf(id)}
		},
		again: storage.ErrUsed,
		usedAt: func(f *fixture, id string) time.Time {
			f.Helper()
			return f.deviceCode(id).DecidedAt
		},
	}
	aDeviceCode = usable{
		name:  "device code",
		add:   addDeviceCode,
		use:   func(c *storage.Changes, id string) { c.RedeemDeviceCode = storage.DigestOf(id) },
		again: storage.ErrUsed,
		usedAt: func(f *fixture, id string) time.Time {
			f.Helper()
			return f.deviceCode(id).UsedAt
		},
	}
	usables = []usable{anIdentifier, aDecision, aDeviceCode}
)

func addDeviceCode(c *storage.Changes, id string) {
	c.DeviceCodes = append(c.DeviceCodes, newDeviceCode(id))
}

func (f *fixture) deviceCode(id string) storage.DeviceCode {
	f.Helper()
	got, err := f.store.DeviceCode(f.Context(), storage.DigestOf(id))
	f.equal("DeviceCode", err, nil)
	return got
}

// of returns changes that use.
func (u usable) of(at time.Time, id string) storage.Changes {
	c := storage.Changes{At: at}
	u.use(&c, id)
	return c
}

// given puts one into the store, if it must be there to be used.
func (u usable) given(f *fixture, id string) {
	f.Helper()
	if u.add == nil {
		return
	}
	var c storage.Changes
	u.add(&c, id)
	f.commit(c)
}

var useRules = append(forEach(aDecision, aDeviceCode), []rule{
	{"an identifier comes once", onceOnly},
	{"an identifier comes once in one", onceInOne},
	{"an identifier that has expired is known until it is swept", onceExpired},
	{"a session that is required must be there", requireSession},
	{"a session that is required may end by the same changes", requireAndEnd},
	{"a session whose name is required must be there", requireSID},
	{"a user denies", decideDenied},
	{"a user allows by a grant that is there", decideStored},
	{"a user allows by a grant that comes with it", decideInserted},
	{"a user cannot allow by a grant that is missing", decideMissing},
	{"a poll is noted", poll},
	{"one device code is decided, redeemed and polled in one", useDeviceCodeWholly},
}...)

func forEach(all ...usable) []rule {
	var rules []rule
	for _, u := range all {
		for _, r := range []struct {
			name string
			test func(f *fixture, u usable)
		}{
			{"is used once, at the time of the request", useOnce},
			{"that is used does not change otherwise", useChangesNothingElse},
			{"that is missing is ErrNotFound", useMissing},
			{"that is inserted by the same changes is ErrNotFound", useInserted},
		} {
			rules = append(rules, rule{"a " + u.name + " " + r.name, func(f *fixture) { r.test(f, u) }})
		}
	}
	return rules
}

func useOnce(f *fixture, u usable) {
	u.given(f, "it")
	u.given(f, "other")
	f.equal("before", u.usedAt(f, "it"), time.Time{})
	f.commit(u.of(start.Add(7), "it"))
	f.equal("after", u.usedAt(f, "it"), start.Add(7))
	f.refuse(u.of(start.Add(8), "it"), storage.ErrUsed)
	f.equal("after the reuse", u.usedAt(f, "it"), start.Add(7)) // the first time stays
	f.equal("another", u.usedAt(f, "other"), time.Time{})
	f.commit(u.of(start.Add(9), "other"))
}

func useChangesNothingElse(f *fixture, u usable) {
	f.commit(oneOfEach())
	want := oneOfEach()
	switch u.name {
	case "decision":
		f.commit(u.of(start.Add(7), "device"))
		want.DeviceCodes[0].DecidedAt = start.Add(7)
	case "device code":
		f.commit(u.of(start.Add(7), "device"))
		want.DeviceCodes[0].UsedAt = start.Add(7)
	}
	f.holds(want)
}

func useMissing(f *fixture, u usable) {
	u.given(f, "it")
	f.refuse(u.of(start, "another"), storage.ErrNotFound)
	f.equal("used", u.usedAt(f, "it"), time.Time{})
}

func useInserted(f *fixture, u usable) {
	c := u.of(start, "it")
	u.add(&c, "it")
	f.refuse(c, storage.ErrNotFound)
}

func onceOnly(f *fixture) {
	f.commit(storage.Changes{Once: []storage.Once{newOnce("a"), newOnce("b")}})
	for _, id := range []string{"a", "b"} {
		f.refuse(storage.Changes{Once: []storage.Once{newOnce("c"), newOnce(id)}}, storage.ErrSeen)
	}
	for id, want := range map[string]bool{"a": true, "b": true, "c": false} {
		seen, err := f.store.Seen(f.Context(), storage.DigestOf(id))
		f.equal("seen "+id, []any{seen, err}, []any{want, nil})
	}
	f.commit(storage.Changes{Once: []storage.Once{newOnce("c")}})
}

func onceInOne(f *fixture) {
	f.refuse(storage.Changes{Once: []storage.Once{newOnce("a"), newOnce("b"), newOnce("a")}}, storage.ErrSeen)
	f.commit(storage.Changes{Once: []storage.Once{newOnce("a"), newOnce("b")}})
}

func onceExpired(f *fixture) {
	expired := newOnce("it")
	expired.ExpiresAt = start.Add(-time.Hour)
	f.commit(storage.Changes{Once: []storage.Once{expired}})
	f.refuse(storage.Changes{Once: []storage.Once{newOnce("it")}}, storage.ErrSeen)
	seen, err := f.store.Seen(f.Context(), expired.ID)
	f.equal("seen", []any{seen, err}, []any{true, nil})
	f.sweep(start, 10, 1)
	f.commit(storage.Changes{Once: []storage.Once{newOnce("it")}})
	f.sweep(start, 10, 0) // it lasts as long as the second said
}

func requireSession(f *fixture) {
	expired := newSession("expired")
	expired.ExpiresAt = start.Add(-time.Hour)
	f.commit(storage.Changes{Sessions: []storage.Session{newSession("session"), expired}})
	required := func(id string) storage.Changes {
		return storage.Changes{RequireSession: storage.DigestOf(id), Grants: []storage.Grant{newGrant("for " + id)}}
	}
	f.commit(required("session"))
	f.refuse(required("none"), storage.ErrEnded)
	f.commit(required("expired")) // what that means is the caller's decision

	f.commit(storage.Changes{EndSessions: []storage.Digest{storage.DigestOf("session")}})
	again := required("session")
	again.Grants[0].ID = "afterwards"
	f.refuse(again, storage.ErrEnded)
	_, err := f.store.Grant(f.Context(), "afterwards")
	f.wants("grant", err, storage.ErrNotFound)

	// A session does not come in time if it comes with what requires it.
	again.Sessions = []storage.Session{newSession("session")}
	f.refuse(again, storage.ErrEnded)
}

func requireAndEnd(f *fixture) {
	id := storage.DigestOf("session")
	f.commit(storage.Changes{Sessions: []storage.Session{newSession("session")}})
	f.commit(storage.Changes{RequireSession: id, EndSessions: []storage.Digest{id}})
	_, err := f.store.Session(f.Context(), id)
	f.wants("session", err, storage.ErrNotFound)
}

func requireSID(f *fixture) {
	first, second := newSession("first"), newSession("second")
	second.SID = first.SID
	f.commit(storage.Changes{Sessions: []storage.Session{first, newSession("other"), {ID: storage.DigestOf("nameless")}}})
	n := 0
	required := func(sid string) storage.Changes {
		n++
		return storage.Changes{At: start, RequireSID: sid, Grants: []storage.Grant{newGrant(fmt.Sprint(n))}}
	}
	// One may take the other's place, and the name lives on.
	c := required(first.SID)
	c.Sessions, c.EndSessions = []storage.Session{second}, []storage.Digest{first.ID}
	f.commit(c)
	f.commit(required(first.SID))
	for _, sid := range []string{"none", first.SID + " ", first.SID[:len(first.SID)-1]} {
		f.refuse(required(sid), storage.ErrEnded)
	}

	// It ends with the last session of that name, and none brings it back.
	f.commit(storage.Changes{EndSessions: []storage.Digest{second.ID}})
	back := required(first.SID)
	back.Sessions = []storage.Session{first}
	f.refuse(back, storage.ErrEnded)
	_, err := f.store.Session(f.Context(), first.ID)
	f.wants("session", err, storage.ErrNotFound)

	// One that gets another name leaves the first.
	renamed := newSession("other")
	renamed.SID = "another"
	f.commit(storage.Changes{Sessions: []storage.Session{renamed}})
	f.refuse(required("sid of other"), storage.ErrEnded)
	f.commit(required("another"))

	// A sweep takes the name too.
	f.sweep(start.Add(3*time.Hour+1), 10, 1)
	f.refuse(required("another"), storage.ErrEnded)
}

// decide returns changes that note a decision on oneOfEach's device code; no
// grant is a denial.
func decide(grantID string) storage.Changes {
	return storage.Changes{DecideDevice: &storage.DeviceDecision{ID: storage.DigestOf("device"), GrantID: grantID}}
}

// decided tests that the device code has this decision, and is the same
// otherwise.
func (f *fixture) decided(grantID string) {
	f.Helper()
	want := newDeviceCode("device")
	want.DecidedAt, want.GrantID = start, grantID
	f.equal("device code", f.deviceCode("device"), want)
}

func decideDenied(f *fixture) {
	f.commit(oneOfEach())
	f.commit(decide(""))
	f.decided("")
	// A user who denied cannot allow any more.
	f.refuse(decide("grant"), storage.ErrUsed)
	f.decided("")
}

func decideStored(f *fixture) {
	f.commit(oneOfEach())
	f.commit(decide("grant"))
	f.decided("grant")
	// Nor the other way round.
	f.refuse(decide(""), storage.ErrUsed)
	f.decided("grant")
}

func decideInserted(f *fixture) {
	f.commit(oneOfEach())
	c := decide("new")
	c.Grants = []storage.Grant{newGrant("new")}
	f.commit(c)
	f.decided("new")
	f.equal("grant", f.grant("new"), newGrant("new"))
}

func decideMissing(f *fixture) {
	f.commit(oneOfEach())
	c := decide("none")
	c.Grants = []storage.Grant{newGrant("new")}
	f.refuse(c, storage.ErrNotFound)
	f.holdsOneOfEach()
	_, err := f.store.Grant(f.Context(), "new")
	f.wants("grant", err, storage.ErrNotFound)
}

func poll(f *fixture) {
	f.commit(oneOfEach())
	for n := range 3 {
		f.commit(storage.Changes{
			At:              start.Add(time.Duration(n + 1)),
			PollDeviceCodes: []storage.Digest{storage.DigestOf("device"), storage.DigestOf("none")},
		})
		want := oneOfEach()
		want.DeviceCodes[0].LastPollAt = start.Add(time.Duration(n + 1))
		f.holds(want)
	}
	// Also one that comes with it.
	f.commit(storage.Changes{
		DeviceCodes: []storage.DeviceCode{newDeviceCode("new")}, PollDeviceCodes: []storage.Digest{storage.DigestOf("new")},
	})
	f.equal("LastPollAt", f.deviceCode("new").LastPollAt, start)
}

func useDeviceCodeWholly(f *fixture) {
	f.commit(oneOfEach())
	c := decide("grant")
	c.At = start.Add(3)
	c.RedeemDeviceCode = storage.DigestOf("device")
	c.PollDeviceCodes = []storage.Digest{storage.DigestOf("device")}
	f.commit(c)

	want := oneOfEach()
	device := &want.DeviceCodes[0]
	device.DecidedAt, device.UsedAt, device.LastPollAt, device.GrantID = start.Add(3), start.Add(3), start.Add(3), "grant"
	f.holds(want)
}
