package storagetest

import (
	"time"

	"github.com/oidclab/oidclab/storage"
)

// spendable is what a code and a refresh token have in common: it is spent
// once, and coming back afterwards ends its grant.
type spendable struct {
	name string
	// add puts one that comes of a grant into changes; spend spends it.
	add   func(c *storage.Changes, id, grantID string)
	spend func(c *storage.Changes, id string)
	// usedAt reads it back.
	usedAt func(f *fixture, id string) time.Time
}

var (
	aCode = spendable{
		name: "code",
		add: func(c *storage.Changes, id, grantID string) {
			c.Codes = append(c.Codes, newCode(id, grantID))
		},
		spend: func(c *storage.Changes, id string) { c.RedeemCode = storage.DigestOf(id) },
		usedAt: func(f *fixture, id string) time.Time {
			f.Helper()
			got, _, err := f.store.Code(f.Context(), storage.DigestOf(id))
			f.equal("Code", err, nil)
			return got.UsedAt
		},
	}
	aRefreshToken = spendable{
		name: "refresh token",
		add: func(c *storage.Changes, id, grantID string) {
			c.RefreshTokens = append(c.RefreshTokens, newRefreshToken(id, grantID))
		},
		spend: func(c *storage.Changes, id string) { c.RotateRefreshToken = storage.DigestOf(id) },
		usedAt: func(f *fixture, id string) time.Time {
			f.Helper()
			got, _, err := f.store.RefreshToken(f.Context(), storage.DigestOf(id))
			f.equal("RefreshToken", err, nil)
			return got.UsedAt
		},
	}
)

// of returns changes that spend.
func (s spendable) of(at time.Time, id string) storage.Changes {
	c := storage.Changes{At: at}
	s.spend(&c, id)
	return c
}

// given puts a grant and one spendable that comes of it into the store.
func (s spendable) given(f *fixture, id, grantID string) {
	f.Helper()
	c := storage.Changes{Grants: []storage.Grant{newGrant(grantID)}}
	s.add(&c, id, grantID)
	f.commit(c)
}

var spendRules = append(forBoth([]spendRule{
	{"is spent at the time of the request", spendOnce},
	{"that is spent does not change otherwise", spendChangesNothingElse},
	{"that is missing is ErrNotFound", spendMissing},
	{"that was spent is ErrUsed and ends its grant", spendTwice},
	{"that was spent and whose grant was revoked is ErrUsed", spendTwiceRevoked},
	{"whose grant was revoked is ErrRevoked", spendRevoked},
	{"that comes back ends no other grant", spendTwiceOthers},
	{"that comes back is seen behind any other refusal", spendTwiceHidden},
	{"that is inserted by the same changes is ErrNotFound", spendInserted},
	{"is not spent without a time", spendTimeless},
}), rule{"both are spent in one", spendBoth})

type spendRule struct {
	name string
	test func(f *fixture, s spendable)
}

func forBoth(each []spendRule) []rule {
	var rules []rule
	for _, s := range []spendable{aCode, aRefreshToken} {
		for _, r := range each {
			rules = append(rules, rule{"a " + s.name + " " + r.name, func(f *fixture) { r.test(f, s) }})
		}
	}
	return rules
}

func spendOnce(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.equal("before", s.usedAt(f, "it"), time.Time{})
	f.commit(s.of(start.Add(7), "it"))
	f.equal("after", s.usedAt(f, "it"), start.Add(7))
	f.revokedAt("grant", time.Time{})
}

func spendChangesNothingElse(f *fixture, s spendable) {
	f.commit(oneOfEach())
	f.commit(s.of(start.Add(7), map[string]string{"code": "code", "refresh token": "refresh"}[s.name]))

	want := oneOfEach()
	if s.name == "code" {
		want.Codes[0].UsedAt = start.Add(7)
	} else {
		want.RefreshTokens[0].UsedAt = start.Add(7)
	}
	f.holds(want)
}

func spendMissing(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.refuse(s.of(start, "another"), storage.ErrNotFound)
	f.equal("UsedAt", s.usedAt(f, "it"), time.Time{})
}

func spendTwice(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.commit(s.of(start, "it"))
	f.refuse(s.of(start.Add(5), "it"), storage.ErrUsed)
	f.revokedAt("grant", start.Add(5))
	f.refuse(s.of(start.Add(9), "it"), storage.ErrUsed)
	f.revokedAt("grant", start.Add(5)) // the first time stays
	f.equal("UsedAt", s.usedAt(f, "it"), start)
}

func spendTwiceRevoked(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.commit(s.of(start, "it"))
	f.commit(storage.Changes{At: start.Add(1), RevokeGrants: []string{"grant"}})
	f.refuse(s.of(start.Add(2), "it"), storage.ErrUsed)
	f.revokedAt("grant", start.Add(1))
}

func spendRevoked(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	f.commit(storage.Changes{RevokeGrants: []string{"grant"}})
	f.refuse(s.of(start.Add(1), "it"), storage.ErrRevoked)
	f.equal("UsedAt", s.usedAt(f, "it"), time.Time{})
	f.revokedAt("grant", start)
}

func spendTwiceOthers(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	s.given(f, "other", "other")
	f.commit(s.of(start, "it"))
	f.refuse(s.of(start, "it"), storage.ErrUsed)
	f.revokedAt("other", time.Time{})
	f.commit(s.of(start, "other"))
}

func spendTwiceHidden(f *fixture, s spendable) {
	f.commit(oneOfEach())
	givenRefusals(f)
	for _, r := range refusals() {
		s.given(f, r.name, r.name)
		f.commit(s.of(start, r.name))
		c := storage.Changes{At: start.Add(3)}
		r.add(&c)
		s.spend(&c, r.name)
		f.refuse(c, storage.ErrUsed)
		f.revokedAt(r.name, start.Add(3))
	}
}

func spendInserted(f *fixture, s spendable) {
	c := s.of(start, "it")
	c.Grants = []storage.Grant{newGrant("grant")}
	s.add(&c, "it", "grant")
	f.refuse(c, storage.ErrNotFound)
}

func spendTimeless(f *fixture, s spendable) {
	s.given(f, "it", "grant")
	if err := f.store.Commit(f.Context(), s.of(time.Time{}, "it")); err == nil {
		f.Error("Commit without At: no error")
	}
	f.equal("UsedAt", s.usedAt(f, "it"), time.Time{})
	f.commit(s.of(start, "it"))
}

func spendBoth(f *fixture) {
	aCode.given(f, "code", "grant")
	aRefreshToken.given(f, "refresh", "other")
	f.commit(storage.Changes{
		RedeemCode:         storage.DigestOf("code"),
		RotateRefreshToken: storage.DigestOf("refresh"),
	})
	f.equal("code", aCode.usedAt(f, "code"), start)
	f.equal("refresh token", aRefreshToken.usedAt(f, "refresh"), start)
}
