package provider_test

import (
	"context"
	"errors"
	"net/http"
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

// The tests of this file rotate keys at the same time, in several processes, too
// often, and where they do not rotate.

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
		if a := other.token(t, refreshRequest(tokens.text("refresh_token"))); a.Status != http.StatusOK {
			t.Errorf("the processes have secrets of their own: %d %s", a.Status, a.Raw)
		}
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
		for name, rotate := range map[string]func(context.Context, ...string) error{
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

// TestRotationOfAStoreThatLacksKeys: somebody took them away.
func TestRotationOfAStoreThatLacksKeys(t *testing.T) {
	store := storagetest.NewModel()
	op := serving(t, provider.Config{Store: store})
	if err := store.Commit(t.Context(), storage.Changes{DeleteKeys: []string{current(t, op, "ES384")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Sweep(t.Context(), time.Now().Add(time.Hour), 100); err != nil { // long after the key was made
		t.Fatal(err)
	}
	rotate(t, op)
	if next := states(t, op, "ES256")[provider.KeyNext]; len(next) != 1 {
		t.Errorf("next: %v", next)
	}
	if all := states(t, op, "ES384"); len(all[provider.KeyNext])+len(all[provider.KeyRetiring]) != 0 {
		t.Errorf("the first key of an algorithm waits: %v", all)
	}
}

// TestFixedKeysDoNotRotate: neither by command nor, so New says, by schedule.
func TestFixedKeysDoNotRotate(t *testing.T) {
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	for name, rotate := range map[string]func(context.Context, ...string) error{
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
