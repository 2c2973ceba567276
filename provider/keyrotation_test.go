package provider_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
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
	memory  = 8 * time.Hour    // the length of a session
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
		pass(3 * notice) // not published
		wantKeys(t, op, 0, 0)
		remembered := func() bool {
			stored, err := store.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(stored, func(k storage.Key) bool { return k.ID == first })
		}
		pass(memory - 3*notice)
		if !remembered() {
			t.Error("the key is gone while hints may be signed with it")
		}
		pass(4 * notice) // removed
		if remembered() {
			t.Error("the key is still stored")
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

// TestRotateKeysOfOneAlgorithm: the other keys stay as they are, and follow when
// all are rotated.
func TestRotateKeysOfOneAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{})
		want := func(name string, rs256, es256 map[provider.KeyState]int) {
			t.Helper()
			for alg, want := range map[string]map[provider.KeyState]int{"RS256": rs256, "ES256": es256, "EdDSA": es256} {
				got := map[provider.KeyState]int{}
				for state, ids := range states(t, op, alg) {
					got[state] = len(ids)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", name, alg, diff)
				}
			}
		}
		type by = map[provider.KeyState]int
		const next, signs, retiring = provider.KeyNext, provider.KeyCurrent, provider.KeyRetiring
		ctx, op1 := t.Context(), op.provider()

		if err := op1.RotateKeys(ctx, "RS256"); err != nil {
			t.Fatal(err)
		}
		want("RS256 published", by{signs: 1, next: 1}, by{signs: 1})
		if err := op1.RotateKeys(ctx, "RS256"); !errors.Is(err, provider.ErrRotationPending) {
			t.Errorf("again: %v", err)
		}
		first := current(t, op, "ES256")
		if err := op1.RotateKeys(ctx, "PS256", "ES384"); err != nil {
			t.Errorf("others: %v", err)
		}
		pass(lead / 2)
		rotate(t, op)
		want("all published", by{signs: 1, next: 1}, by{signs: 1, next: 1})
		pass(lead / 2)
		want("RS256 signs", by{retiring: 1, signs: 1}, by{signs: 1, next: 1})
		if err := op1.RotateKeysNow(ctx, "ES256", "EdDSA"); err != nil {
			t.Fatal(err)
		}
		want("all sign", by{retiring: 1, signs: 1}, by{retiring: 1, signs: 1})
		if current(t, op, "ES256") == first {
			t.Error("the old key signs")
		}
		if err := op1.RotateKeys(ctx, "RS256"); err != nil {
			t.Fatal(err)
		}
		rotateNow(t, op) // one is published, the others are not
		want("all at once", by{retiring: 2, signs: 1}, by{retiring: 2, signs: 1})

		before := jwksOf(t, op)
		for _, names := range [][]string{{"HS256"}, {"none"}, {""}, {"rs256"}, {"RS256", "RS512"}} {
			for _, rotate := range []func(context.Context, ...string) error{op1.RotateKeys, op1.RotateKeysNow} {
				if err := rotate(ctx, names...); !errors.Is(err, provider.ErrUnknownAlgorithm) {
					t.Errorf("%q: %v", names, err)
				}
			}
		}
		if diff := cmp.Diff(before, jwksOf(t, op)); diff != "" {
			t.Errorf("keys after refusals (-want +got):\n%s", diff)
		}
	})
}

// TestScheduleOfOneAlgorithm: a key that was rotated by command is not rotated
// again when the others are due.
func TestScheduleOfOneAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 24 * time.Hour
		op := serving(t, provider.Config{KeyRotation: provider.Duration(every)})
		pass(every / 2)
		if err := op.provider().RotateKeysNow(t.Context(), "RS256"); err != nil {
			t.Fatal(err)
		}
		rs256, es256 := current(t, op, "RS256"), current(t, op, "ES256")
		pass(every/2 + notice)
		if current(t, op, "RS256") != rs256 || current(t, op, "ES256") == es256 {
			t.Error("at the others' time: RS256 rotated, or ES256 did not")
		}
		pass(every / 2)
		if current(t, op, "RS256") == rs256 {
			t.Error("at its own time: RS256 did not rotate")
		}
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

// TestOverlapOfShortTokens: a sign-out may be told, and an authorization response
// be signed, with a key whose ID tokens live for a second only.
func TestOverlapOfShortTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := provider.Duration(time.Second)
		op := serving(t, provider.Config{Lifetimes: provider.Lifetimes{IDToken: second, AccessToken: second}})
		rotateNow(t, op)
		pass(3 * notice)
		wantKeys(t, op, 0, 1)
		pass(2 * notice)
		wantKeys(t, op, 0, 0)
	})
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
