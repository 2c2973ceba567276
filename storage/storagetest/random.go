package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
)

// operations is how many a random run does.
const operations = 200

// RunRandom does random operations, which follow from the seed, to a new store
// and to Model, and tests that both give the same answers and hold the same.
// Names and times are few, so that operations meet.
func RunRandom(t *testing.T, open func(t *testing.T) storage.Store, seed uint64) {
	t.Helper()
	for sort, names := range universes {
		t.Run(fmt.Sprintf("%s, seed %d", sort, seed), func(t *testing.T) {
			names.compare(t, open(t), seed, 1, func(do []func()) { do[0]() })
		})
	}
}

// RunTogether is RunRandom with a new store and some operations at a time, which together
// does in their order, in one transaction if it can. Of names it takes those that sort says:
// see Sorts.
func RunTogether(t *testing.T, store storage.Store, sort string, seed uint64, together func([]func())) {
	t.Helper()
	universes[sort].compare(t, store, seed, 5, together)
}

// Sorts are the sorts of names that random operations may have.
func Sorts() []string { return slices.Sorted(maps.Keys(universes)) }

// compare does operations to a store and to Model, some at a time.
func (u *universe) compare(t *testing.T, store storage.Store, seed uint64, some int, together func([]func())) {
	t.Helper()
	r := &random{rand.New(rand.NewPCG(seed, 0)), u} //nolint:gosec // random tests must be repeatable
	model := NewModel()
	for n := 0; n < operations; n += some {
		var all []operation
		var do []func()
		got := make([]string, some)
		for i := range some {
			o := r.operation()
			all = append(all, o)
			do = append(do, func() { got[i] = o.on(t.Context(), store) })
		}
		together(do)
		for i, o := range all {
			if want := o.on(t.Context(), model); got[i] != want {
				t.Fatalf("seed %d, operation %d: %s: got %s, want %s", seed, n+i, o.name, got[i], want)
			}
		}
		if diff := cmp.Diff(u.snapshot(t.Context(), model), u.snapshot(t.Context(), store)); diff != "" {
			t.Fatalf("seed %d: store after operation %d, %s (-want +got):\n%s", seed, n+some-1, all[some-1].name, diff)
		}
	}
}

type random struct {
	*rand.Rand
	names *universe
}

// operation is done to the store and to the model. Its answer is what a caller can tell.
type operation struct {
	name string
	on   func(context.Context, storage.Store) string
}

func (r *random) operation() operation {
	if r.once(10) {
		now, limit := r.time(), r.IntN(16)
		return operation{fmt.Sprintf("Sweep(start%+v, %d)", now.Sub(start), limit), func(ctx context.Context, s storage.Store) string {
			n, err := s.Sweep(ctx, now, limit)
			return fmt.Sprintf("%d removed, %s", n, reason(err))
		}}
	}
	c := r.changes()
	return operation{fmt.Sprintf("Commit(%+v, decision %+v)", c, c.DecideDevice), func(ctx context.Context, s storage.Store) string {
		return reason(s.Commit(ctx, c))
	}}
}

// reason is what a caller can tell of an error.
func reason(err error) string {
	for _, known := range []error{
		storage.ErrNotFound, storage.ErrUsed, storage.ErrRevoked, storage.ErrExists, storage.ErrSeen, storage.ErrEnded,
		storage.ErrChanged, storage.ErrFull, storage.ErrClosed,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return "another error"
	}
	return "no error"
}

// once is true once in n times.
func (r *random) once(n int) bool { return r.IntN(n) == 0 }

func (r *random) time() time.Time {
	if r.once(20) {
		return one(r, farTimes)
	}
	return start.Add(time.Duration(r.IntN(8)-2) * time.Second / 2)
}

// timeOrNever is now and then the zero time.
func (r *random) timeOrNever() time.Time {
	if r.once(10) {
		return time.Time{}
	}
	return r.time()
}

func one[T any](r *random, from []T) T { return from[r.IntN(len(from))] }

// changes returns changes with a few of the fields set.
func (r *random) changes() storage.Changes {
	var c storage.Changes
	if !r.once(20) {
		c.At = r.time()
	}
	for range 1 + r.IntN(3) {
		one(r, []func(c *storage.Changes){
			r.spend, r.use, r.insertGrant, r.insertGrant, r.insertOfGrant, r.insertOfGrant, r.insertOfNone, r.upsert, r.remove, r.endOrPoll,
		})(&c)
	}
	return c
}

func (r *random) spend(c *storage.Changes) {
	if r.once(2) {
		c.RedeemCode = one(r, r.names.digests)
	} else {
		c.RotateRefreshToken = one(r, r.names.digests)
	}
}

func (r *random) use(c *storage.Changes) {
	switch r.IntN(7) {
	case 0:
		c.RequireSession = one(r, r.names.digests)
	case 1:
		c.Once = append(c.Once, storage.Once{ID: one(r, r.names.digests), ExpiresAt: r.timeOrNever()})
	case 2:
		c.DecideDevice = &storage.DeviceDecision{ID: one(r, r.names.digests), GrantID: one(r, append(slices.Clip(r.names.grants), ""))}
	case 3:
		c.RedeemDeviceCode = one(r, r.names.digests)
	case 4:
		c.RequireSID = one(r, r.names.sids)
	case 5:
		c.RequireClients = append(c.RequireClients, storage.ClientVersion{ID: one(r, r.names.clients), Version: one(r, r.names.sids)})
	case 6:
		c.ClientLimit = 1 + r.IntN(len(r.names.clients))
	}
}

func (r *random) insertGrant(c *storage.Changes) {
	g := newGrant(one(r, r.names.grants))
	g.ExpiresAt = r.timeOrNever()
	g.SessionID, g.SessionBound = one(r, append(slices.Clip(r.names.sids), "")), !r.once(4)
	if r.once(10) {
		g.RevokedAt = r.time()
	}
	c.Grants = append(c.Grants, g)
}

func (r *random) insertOfGrant(c *storage.Changes) {
	id, grantID := one(r, r.names.digests), one(r, r.names.grants)
	switch r.IntN(3) {
	case 0:
		code := newCode("", grantID)
		code.ID, code.ExpiresAt = id, r.time()
		c.Codes = append(c.Codes, code)
	case 1:
		access := newAccessToken("", grantID)
		access.ID, access.ExpiresAt = id, r.timeOrNever()
		c.AccessTokens = append(c.AccessTokens, access)
	case 2:
		refresh := newRefreshToken("", grantID)
		refresh.ID, refresh.ExpiresAt = id, r.time()
		c.RefreshTokens = append(c.RefreshTokens, refresh)
	}
}

func (r *random) insertOfNone(c *storage.Changes) {
	id := one(r, r.names.digests)
	switch r.IntN(3) {
	case 0:
		c.Clients = append(c.Clients, r.client())
	case 1:
		pushed := newPushedRequest("")
		pushed.ID, pushed.ExpiresAt = id, r.timeOrNever()
		c.PushedRequests = append(c.PushedRequests, pushed)
	case 2:
		device := newDeviceCode("")
		device.ID, device.UserCode, device.ExpiresAt = id, one(r, r.names.userCodes), r.timeOrNever()
		c.DeviceCodes = append(c.DeviceCodes, device)
	}
}

func (r *random) upsert(c *storage.Changes) {
	switch r.IntN(5) {
	case 0:
		s := newSession("")
		s.ID, s.SID, s.ExpiresAt = one(r, r.names.digests), one(r, append(slices.Clip(r.names.sids), "")), r.timeOrNever()
		c.Sessions = append(c.Sessions, s)
	case 1:
		consent := storage.Consent{ConsentID: one(r, r.names.consents), UpdatedAt: r.time(), Scopes: []string{one(r, r.names.grants)}, Claims: []string{one(r, r.names.sids)}}
		c.Consents = append(c.Consents, consent)
	case 2:
		k := newKey(one(r, r.names.grants))
		k.CreatedAt = r.time()
		c.Keys = append(c.Keys, k)
	case 3:
		client := newSessionClient(one(r, r.names.sids), one(r, r.names.clients))
		client.ExpiresAt = r.timeOrNever()
		c.SessionClients = append(c.SessionClients, client)
	case 4:
		c.UpdateClients = append(c.UpdateClients, r.client())
	}
}

func (r *random) client() storage.Client {
	client := newClient(one(r, r.names.clients))
	client.CreatedAt, client.Version, client.Origins = r.time(), one(r, r.names.sids), nil
	for range r.IntN(4) {
		client.Origins = append(client.Origins, one(r, r.names.origins))
	}
	return client
}

func (r *random) remove(c *storage.Changes) {
	switch r.IntN(5) {
	case 0:
		c.RevokeGrants = append(c.RevokeGrants, one(r, r.names.grants))
	case 1:
		c.RevokeAccessTokens = append(c.RevokeAccessTokens, one(r, r.names.digests))
	case 2:
		c.EndSessions = append(c.EndSessions, one(r, r.names.digests))
	case 3:
		c.DeleteConsents = append(c.DeleteConsents, one(r, r.names.consents))
	case 4:
		c.DeleteKeys = append(c.DeleteKeys, one(r, r.names.grants))
	case 5: // a removal of nothing
	}
}

func (r *random) endOrPoll(c *storage.Changes) {
	switch r.IntN(3) {
	case 0:
		c.SignOut = append(c.SignOut, one(r, append(slices.Clip(r.names.sids), "")))
	case 1:
		c.PollDeviceCodes = append(c.PollDeviceCodes, one(r, r.names.digests))
	case 2:
		c.DeleteClients = append(c.DeleteClients, one(r, r.names.clients))
	}
}
