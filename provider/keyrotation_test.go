package provider_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// The times of keys in these tests: the defaults of the configuration, and how
// late the provider may notice that a time has come.
const (
	lead    = 10 * time.Minute
	overlap = 12 * time.Minute // the lifetime of tokens, and slack
	notice  = time.Minute
)

func (op *inProcess) provider() *provider.Provider { return op.handler.(*provider.Provider) }

// states are the keys of one algorithm by their state.
func states(t *testing.T, op *inProcess, alg string) map[provider.KeyState][]string {
	t.Helper()
	keys, err := op.provider().SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byState := map[provider.KeyState][]string{}
	for _, key := range keys {
		if key.Algorithm == alg {
			byState[key.State] = append(byState[key.State], key.ID)
		}
	}
	if len(byState[provider.KeyCurrent]) != 1 {
		t.Fatalf("%s: %v sign", alg, byState[provider.KeyCurrent])
	}
	return byState
}

// current is the key that signs with an algorithm.
func current(t *testing.T, op *inProcess, alg string) string {
	t.Helper()
	return states(t, op, alg)[provider.KeyCurrent][0]
}

// wantKeys checks how many keys of each algorithm there are in each state.
func wantKeys(t *testing.T, op *inProcess, next, retiring int) {
	t.Helper()
	published := jwksOf(t, op)
	for _, alg := range everyAlgorithm {
		byState := states(t, op, alg)
		if len(byState[provider.KeyNext]) != next || len(byState[provider.KeyRetiring]) != retiring {
			t.Fatalf("%s: %v; want %d next and %d retiring", alg, byState, next, retiring)
		}
		for _, ids := range byState {
			for _, id := range ids {
				if published[id] != alg {
					t.Errorf("%s key %s is not published", alg, id)
				}
			}
		}
	}
	if want := len(everyAlgorithm) * (1 + next + retiring); len(published) != want {
		t.Errorf("%d keys are published, want %d", len(published), want)
	}
}

func rotate(t *testing.T, op *inProcess) {
	t.Helper()
	if err := op.provider().RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func rotateNow(t *testing.T, op *inProcess) {
	t.Helper()
	if err := op.provider().RotateKeysNow(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// pass lets time pass, and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestLifeOfAKey by the schedule: made, published, signs, retired, removed.
func TestLifeOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 24 * time.Hour
		store := storagetest.NewModel()
		op := serving(t, provider.Config{Store: store, KeyRotation: provider.Duration(every)})
		wantKeys(t, op, 0, 0)
		first := current(t, op, "RS256")

		pass(every - lead - notice)
		wantKeys(t, op, 0, 0)
		pass(2 * notice) // published
		wantKeys(t, op, 1, 0)
		next := states(t, op, "RS256")[provider.KeyNext][0]
		pass(lead - 2*notice)
		if got := current(t, op, "RS256"); got != first {
			t.Errorf("%s signs before its time, want %s", got, first)
		}
		pass(2 * notice) // signs
		wantKeys(t, op, 0, 1)
		if got := current(t, op, "RS256"); got != next {
			t.Errorf("%s signs, want %s", got, next)
		}
		pass(overlap - 2*notice)
		wantKeys(t, op, 0, 1)
		pass(3 * notice) // removed
		wantKeys(t, op, 0, 0)
		stored, err := store.Keys(t.Context())
		if err != nil || slices.ContainsFunc(stored, func(k storage.Key) bool { return k.ID == first }) {
			t.Errorf("the key is still stored: %v", err)
		}

		pass(2 * every) // and so on
		if got := current(t, op, "RS256"); got == next {
			t.Error("the schedule has ended")
		}
	})
}

// TestRotateKeys: the next keys are published before they sign.
func TestRotateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{})
		first := current(t, op, "ES256")
		etag := func() string { return op.answer(t, http.MethodGet, "/jwks", nil, nil).Header.Get("ETag") }
		before := etag()
		rotate(t, op)
		wantKeys(t, op, 1, 0)
		published := etag()
		if published == before {
			t.Error("the ETag is the same with the next keys")
		}
		if err := op.provider().RotateKeys(t.Context()); !errors.Is(err, provider.ErrRotationPending) {
			t.Errorf("again: %v", err)
		}
		wantKeys(t, op, 1, 0)
		pass(lead - time.Nanosecond)
		if got := current(t, op, "ES256"); got != first {
			t.Errorf("%s signs too early", got)
		}
		pass(time.Nanosecond) // at once, not when the keys are looked at
		wantKeys(t, op, 0, 1)
		if etag() != published {
			t.Error("the ETag changed without the document")
		}
		pass(overlap + notice)
		wantKeys(t, op, 0, 0)
		if last := etag(); last == published || last == before {
			t.Error("the ETag is an old one")
		}
		pass(30 * 24 * time.Hour) // there is no schedule
		wantKeys(t, op, 0, 0)
	})
}

// TestRotateKeysNow: new keys sign at once, or those that are published.
func TestRotateKeysNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{})
		first := current(t, op, "ES256")
		rotateNow(t, op)
		wantKeys(t, op, 0, 1)
		second := current(t, op, "ES256")
		if second == first {
			t.Error("the old key signs")
		}
		rotate(t, op)
		wantKeys(t, op, 1, 1)
		next := states(t, op, "ES256")[provider.KeyNext][0]
		rotateNow(t, op)
		wantKeys(t, op, 0, 2)
		if got := current(t, op, "ES256"); got != next {
			t.Errorf("%s signs, want the one that was published", got)
		}
		pass(lead + overlap + notice)
		wantKeys(t, op, 0, 0)
	})
}

// TestOverlapFollowsTheLongestLifetime, of whichever client and kind of token.
func TestOverlapFollowsTheLongestLifetime(t *testing.T) {
	hours := provider.Duration(3 * time.Hour)
	for name, change := range map[string]func(*provider.Config){
		"ID tokens":                   func(c *provider.Config) { c.Lifetimes.IDToken = hours },
		"access tokens":               func(c *provider.Config) { c.Lifetimes.AccessToken = hours },
		"ID tokens of one client":     func(c *provider.Config) { c.Clients[1].Lifetimes = &provider.Lifetimes{IDToken: hours} },
		"access tokens of one client": func(c *provider.Config) { c.Clients[1].Lifetimes = &provider.Lifetimes{AccessToken: hours} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := provider.Config{Clients: providertest.DefaultClients()}
				change(&config)
				op := serving(t, config)
				rotateNow(t, op)
				pass(3 * time.Hour)
				wantKeys(t, op, 0, 1)
				pass(4 * notice)
				wantKeys(t, op, 0, 0)
			})
		})
	}
}

// TestRestartInMidRotation: the store has all that there is to know.
func TestRestartInMidRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := provider.Config{Store: storagetest.NewModel()}
		op := serving(t, config)
		restart := func() {
			if err := op.provider().Close(); err != nil {
				t.Fatal(err)
			}
			before := op.answer(t, http.MethodGet, "/jwks", nil, nil)
			op = serving(t, config)
			if after := op.answer(t, http.MethodGet, "/jwks", nil, nil); after.Raw != before.Raw {
				t.Errorf("other keys after the restart:\n%s\n%s", before.Raw, after.Raw)
			}
		}
		first := current(t, op, "EdDSA")
		rotate(t, op)
		next := states(t, op, "EdDSA")[provider.KeyNext][0]
		pass(lead / 2)
		restart() // while the next keys wait
		if got := current(t, op, "EdDSA"); got != first {
			t.Errorf("%s signs too early", got)
		}
		pass(lead/2 + time.Second)
		restart() // while the old keys retire
		wantKeys(t, op, 0, 1)
		if got := current(t, op, "EdDSA"); got != next {
			t.Errorf("%s signs, want %s", got, next)
		}
		if err := op.provider().Close(); err != nil {
			t.Fatal(err)
		}
		pass(overlap) // while nothing runs
		op = serving(t, config)
		wantKeys(t, op, 0, 0)
	})
}

// TestLongerLifetimesKeepRetiringKeys: tokens of the old key may be issued under
// a configuration that came after the rotation.
func TestLongerLifetimesKeepRetiringKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := provider.Config{Store: storagetest.NewModel()}
		op := serving(t, config)
		rotate(t, op)
		config.Lifetimes.IDToken = provider.Duration(time.Hour)
		for _, lifetime := range []time.Duration{time.Hour, time.Minute} { // what was promised stays
			if err := op.provider().Close(); err != nil {
				t.Fatal(err)
			}
			config.Lifetimes.IDToken = provider.Duration(lifetime)
			op = serving(t, config)
			wantKeys(t, op, 1, 0)
		}
		pass(lead + time.Hour)
		wantKeys(t, op, 0, 1)
		pass(4 * notice)
		wantKeys(t, op, 0, 0)
	})
}

// TestParallelRotation: one rotates, the others hear that it was done.
func TestParallelRotation(t *testing.T) {
	op := serving(t, provider.Config{})
	var rotated, pending int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := op.provider().RotateKeys(t.Context())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				rotated++
			case errors.Is(err, provider.ErrRotationPending):
				pending++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if rotated != 1 || pending != 19 {
		t.Errorf("%d rotated, %d found it done", rotated, pending)
	}
	wantKeys(t, op, 1, 0)
}

// TestWhoGivesUpDoesNotRotate: a caller that waits for its turn may go.
func TestWhoGivesUpDoesNotRotate(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{Store: store})
	wantKeys(t, op, 0, 0)
	store.setOnCommit(func(storage.Changes) error {
		entered <- struct{}{}
		<-leave
		return nil
	})
	var all sync.WaitGroup
	all.Go(func() { rotate(t, op) })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := op.provider().RotateKeysNow(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(leave)
	all.Wait()
	wantKeys(t, op, 1, 0)
}

// TestProcessesShareKeys: what one provider does to the keys of a store, the
// others follow.
func TestProcessesShareKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := provider.Config{Store: storagetest.NewModel()}
		ops := make([]*inProcess, 3)
		var all sync.WaitGroup
		for i := range ops { // all at once, on an empty store
			all.Go(func() { ops[i] = serving(t, config) })
		}
		all.Wait()
		synctest.Wait()
		one, other := ops[0], ops[1]
		wantKeys(t, one, 0, 0)
		pass(notice)
		if diff := cmp.Diff(jwksOf(t, one), jwksOf(t, other)); diff != "" {
			t.Errorf("keys of two processes:\n%s", diff)
		}

		rotateNow(t, one)
		tokens := one.token(t, redeem(one.code(t)))
		if got := other.userinfo(t, tokens.text("access_token")); got != http.StatusOK {
			t.Errorf("a token signed with a key that the other process has just made: %d", got)
		}
		if diff := cmp.Diff(jwksOf(t, one), jwksOf(t, other)); diff != "" {
			t.Errorf("after a rotation:\n%s", diff)
		}

		rotate(t, one)
		if err := other.provider().RotateKeys(t.Context()); !errors.Is(err, provider.ErrRotationPending) {
			t.Errorf("the other rotates, too: %v", err)
		}
		pass(notice)
		wantKeys(t, ops[2], 1, 1) // by itself
	})
}

// TestParallelProcessesRotateOnce: whoever comes later finds it done.
func TestParallelProcessesRotateOnce(t *testing.T) {
	config := provider.Config{Store: storagetest.NewModel()}
	first := serving(t, config)
	wantKeys(t, first, 0, 0)
	ops := []*inProcess{first, serving(t, config), serving(t, config)}
	var all sync.WaitGroup
	for _, op := range ops {
		all.Go(func() {
			if err := op.provider().RotateKeys(t.Context()); err != nil && !errors.Is(err, provider.ErrRotationPending) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, op := range ops {
		if err := op.provider().RotateKeys(t.Context()); !errors.Is(err, provider.ErrRotationPending) {
			t.Errorf("again: %v", err)
		}
		wantKeys(t, op, 1, 0)
	}
}

// TestManyRotations: every key that may still be needed is published, and no
// other one.
func TestManyRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rotations = 10
		clients := providertest.DefaultClients()
		clients[0].IDTokenSignedResponseAlg = "EdDSA"
		op := serving(t, provider.Config{Clients: clients})
		hints, kids := []string{}, map[string]bool{}
		for range rotations {
			rotateNow(t, op)
			tokens := op.token(t, redeem(op.code(t)))
			kid, _ := headerOf(t, tokens.text("id_token"))["kid"].(string)
			if kids[kid] {
				t.Fatalf("kid %s again", kid)
			}
			kids[kid] = true
			hints = append(hints, tokens.text("id_token"))
			pass(time.Second)
		}
		wantKeys(t, op, 0, rotations)
		for _, hint := range hints {
			silent := codeRequest().with(params{"prompt": "none", "id_token_hint": hint})
			if got := op.authorize(t, silent); !got.Has("code") {
				t.Fatalf("hint: %v", got)
			}
		}
		pass(overlap + notice)
		wantKeys(t, op, 0, 0)
	})
}

// TestTooManyKeys: a store does not grow without bound.
func TestTooManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		op := serving(t, provider.Config{Store: store})
		wantKeys(t, op, 0, 0)
		var changes storage.Changes
		for range 63 {
			key := storedKey(t, "EdDSA")
			changes.Keys = append(changes.Keys, key)
		}
		if err := store.Commit(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		for name, rotate := range map[string]func(context.Context) error{
			"next": op.provider().RotateKeys, "now": op.provider().RotateKeysNow,
		} {
			if err := rotate(t.Context()); !errors.Is(err, provider.ErrTooManyKeys) {
				t.Errorf("%s: %v", name, err)
			}
		}
		pass(overlap + notice)
		rotate(t, op)
	})
}

// TestFixedKeysDoNotRotate: neither by command nor, so New says, by schedule.
func TestFixedKeysDoNotRotate(t *testing.T) {
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	for name, rotate := range map[string]func(context.Context) error{
		"next": op.provider().RotateKeys, "now": op.provider().RotateKeysNow,
	} {
		if err := rotate(t.Context()); !errors.Is(err, provider.ErrKeysFixed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantKeys(t, op, 0, 0)
	_, err := provider.New(t.Context(), provider.Config{
		Issuer: "http://op.localhost", Store: storagetest.NewModel(), FixedKeys: fixedKeys(), KeyRotation: provider.Duration(time.Hour),
	})
	if err == nil || err.Error() != "key_rotation: fixed keys do not rotate" {
		t.Errorf("with a schedule: %v", err)
	}
}

// TestSchedulesNobodyCanFollow are refused.
func TestSchedulesNobodyCanFollow(t *testing.T) {
	minutes := func(n int) provider.Duration { return provider.Duration(time.Duration(n) * time.Minute) }
	for _, tt := range []struct {
		name        string
		every, lead provider.Duration
		want        string
	}{
		{"good", minutes(10), minutes(0), ""},
		{"good, with the shortest lead", minutes(6), minutes(6), ""},
		{"a lead that is shorter than caches", 0, minutes(5), "key_lead: 5m0s is less than 6m0s: relying parties may keep the old keys for 5m0s"},
		{"a negative lead", 0, minutes(-20), "key_lead: -20m0s is less than 6m0s: relying parties may keep the old keys for 5m0s"},
		{"a key that would sign for less than its lead", minutes(9), 0, "key_rotation: 9m0s is less than key_lead, 10m0s"},
		{"negative", minutes(-1), 0, "key_rotation: -1m0s is negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := provider.New(t.Context(), provider.Config{
				Issuer: "http://op.localhost", Store: storagetest.NewModel(), KeyRotation: tt.every, KeyLead: tt.lead,
			})
			if err == nil {
				t.Cleanup(func() { _ = p.Close() })
			}
			if got := errorText(err); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
