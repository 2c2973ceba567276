package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		r := &random{rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // random tests must be repeatable
		store, model := open(t), NewModel()
		for n := range operations {
			what, got, want := r.operate(t, store, model)
			if got != want {
				t.Fatalf("seed %d, operation %d: %s: got %s, want %s", seed, n, what, got, want)
			}
			if diff := cmp.Diff(few.snapshot(t.Context(), model), few.snapshot(t.Context(), store)); diff != "" {
				t.Fatalf("seed %d: store after operation %d, %s (-want +got):\n%s", seed, n, what, diff)
			}
		}
	})
}

// few names all that random operations touch.
var few = universe{
	grants:    []string{"g0", "g1", "g2"},
	digests:   []storage.Digest{storage.DigestOf("0"), storage.DigestOf("1"), storage.DigestOf("2")},
	consents:  []storage.ConsentID{{Subject: "alice", ClientID: "c"}, {Subject: "bob", ClientID: "c"}},
	clients:   []string{"c", "d"},
	sids:      []string{"s", "sc"},
	userCodes: []string{"u0", "u1", "u2"},
	origins:   []string{"https://a.example", "https://b.example"},
}

type random struct{ *rand.Rand }

// operate does one operation to both stores and returns both answers.
func (r *random) operate(t *testing.T, store, model storage.Store) (what, got, want string) {
	t.Helper()
	if r.once(10) {
		now, limit := r.time(), r.IntN(16)
		sweep := func(s storage.Store) string {
			n, err := s.Sweep(t.Context(), now, limit)
			return fmt.Sprintf("%d removed, %s", n, reason(err))
		}
		return fmt.Sprintf("Sweep(start%+v, %d)", now.Sub(start), limit), sweep(store), sweep(model)
	}
	c := r.changes()
	return fmt.Sprintf("Commit(%+v, decision %+v)", c, c.DecideDevice), reason(store.Commit(t.Context(), c)), reason(model.Commit(t.Context(), c))
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
		c.RedeemCode = one(r, few.digests)
	} else {
		c.RotateRefreshToken = one(r, few.digests)
	}
}

func (r *random) use(c *storage.Changes) {
	switch r.IntN(7) {
	case 0:
		c.RequireSession = one(r, few.digests)
	case 1:
		c.Once = append(c.Once, storage.Once{ID: one(r, few.digests), ExpiresAt: r.timeOrNever()})
	case 2:
		c.DecideDevice = &storage.DeviceDecision{ID: one(r, few.digests), GrantID: one(r, append(few.grants, ""))}
	case 3:
		c.RedeemDeviceCode = one(r, few.digests)
	case 4:
		c.RequireSID = one(r, few.sids)
	case 5:
		c.RequireClients = append(c.RequireClients, storage.ClientVersion{ID: one(r, few.clients), Version: one(r, few.sids)})
	case 6:
		c.ClientLimit = 1 + r.IntN(len(few.clients))
	}
}

func (r *random) insertGrant(c *storage.Changes) {
	g := newGrant(one(r, few.grants))
	g.ExpiresAt = r.timeOrNever()
	g.SessionID, g.SessionBound = one(r, append(few.sids, "")), !r.once(4)
	if r.once(10) {
		g.RevokedAt = r.time()
	}
	c.Grants = append(c.Grants, g)
}

func (r *random) insertOfGrant(c *storage.Changes) {
	id, grantID := one(r, few.digests), one(r, few.grants)
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
	id := one(r, few.digests)
	switch r.IntN(3) {
	case 0:
		c.Clients = append(c.Clients, r.client())
	case 1:
		pushed := newPushedRequest("")
		pushed.ID, pushed.ExpiresAt = id, r.timeOrNever()
		c.PushedRequests = append(c.PushedRequests, pushed)
	case 2:
		device := newDeviceCode("")
		device.ID, device.UserCode, device.ExpiresAt = id, one(r, few.userCodes), r.timeOrNever()
		c.DeviceCodes = append(c.DeviceCodes, device)
	}
}

func (r *random) upsert(c *storage.Changes) {
	switch r.IntN(5) {
	case 0:
		s := newSession("")
		s.ID, s.SID, s.ExpiresAt = one(r, few.digests), one(r, append(few.sids, "")), r.timeOrNever()
		c.Sessions = append(c.Sessions, s)
	case 1:
		consent := storage.Consent{ConsentID: one(r, few.consents), UpdatedAt: r.time(), Scopes: []string{one(r, few.grants)}, Claims: []string{one(r, few.sids)}}
		c.Consents = append(c.Consents, consent)
	case 2:
		k := newKey(one(r, few.grants))
		k.CreatedAt = r.time()
		c.Keys = append(c.Keys, k)
	case 3:
		client := newSessionClient(one(r, few.sids), one(r, few.clients))
		client.ExpiresAt = r.timeOrNever()
		c.SessionClients = append(c.SessionClients, client)
	case 4:
		c.UpdateClients = append(c.UpdateClients, r.client())
	}
}

func (r *random) client() storage.Client {
	client := newClient(one(r, few.clients))
	client.CreatedAt, client.Version, client.Origins = r.time(), one(r, few.sids), nil
	for range r.IntN(4) {
		client.Origins = append(client.Origins, one(r, few.origins))
	}
	return client
}

func (r *random) remove(c *storage.Changes) {
	switch r.IntN(5) {
	case 0:
		c.RevokeGrants = append(c.RevokeGrants, one(r, few.grants))
	case 1:
		c.RevokeAccessTokens = append(c.RevokeAccessTokens, one(r, few.digests))
	case 2:
		c.EndSessions = append(c.EndSessions, one(r, few.digests))
	case 3:
		c.DeleteConsents = append(c.DeleteConsents, one(r, few.consents))
	case 4:
		c.DeleteKeys = append(c.DeleteKeys, one(r, few.grants))
	case 5: // a removal of nothing
	}
}

func (r *random) endOrPoll(c *storage.Changes) {
	switch r.IntN(3) {
	case 0:
		c.SignOut = append(c.SignOut, one(r, append(few.sids, "")))
	case 1:
		c.PollDeviceCodes = append(c.PollDeviceCodes, one(r, few.digests))
	case 2:
		c.DeleteClients = append(c.DeleteClients, one(r, few.clients))
	}
}
