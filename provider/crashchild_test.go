package provider_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// What the crash test tells its child in the environment.
const (
	crashPath  = "PROVIDER_TEST_CRASH"       // the store's file
	crashStore = "PROVIDER_TEST_CRASH_STORE" // crashHasty, or "" for one that keeps its word
	crashHasty = "hasty"
	// crashUsers is how many people use the provider at once.
	crashUsers = 8
)

// crashChild signs users in, redeems codes and refreshes tokens, until it is
// killed. It says on standard output what it is about to spend, and what it got.
func crashChild(t *testing.T) {
	t.Helper()
	file, err := bolt.Open(os.Getenv(crashPath), nil)
	if err != nil {
		t.Fatal(err)
	}
	var store storage.Store = file
	hasty := os.Getenv(crashStore) == crashHasty
	if hasty {
		store = &hastyStore{Store: file}
	}
	op := serving(t, crashConfig(store))
	if err := op.provider().Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range crashUsers {
		users.Go(func() {
			for t.Context().Err() == nil {
				visit := &inProcess{handler: op.handler, cookies: map[string]string{}}
				for range 1 + rand.IntN(8) { // with one sign-in
					if !visit.flow(t) && !hasty { // that one does not know its own tokens at once
						t.Error("a flow failed")
						return
					}
				}
			}
		})
	}
	users.Wait()
}

// flow takes one code, and mostly what comes of it.
func (op *inProcess) flow(t *testing.T) bool {
	t.Helper()
	code := op.code(t)
	say("code", code)
	if rand.IntN(8) == 0 {
		return true // nobody redeems it
	}
	say("redeeming", code)
	a := op.token(t, redeem(code))
	if a.Status != http.StatusOK {
		return false
	}
	refresh := a.text("refresh_token")
	say("redeemed", code, a.text("access_token"), refresh)
	for range rand.IntN(3) {
		say("refreshing", refresh)
		a := op.token(t, refreshRequest(refresh))
		if a.Status != http.StatusOK {
			return false
		}
		say("refreshed", refresh, a.text("access_token"), a.text("refresh_token"))
		refresh = a.text("refresh_token")
	}
	return true
}

var saying sync.Mutex

// say writes a line at once.
func say(words ...any) {
	saying.Lock()
	defer saying.Unlock()
	fmt.Fprintln(os.Stdout, words...)
}

// hastyStore answers what spends something before it has written it: as a store
// would that flushes later. The last few such commits are always outstanding.
type hastyStore struct {
	storage.Store
	mu          sync.Mutex
	outstanding []storage.Changes
}

// Commit implements storage.Store, badly.
func (s *hastyStore) Commit(ctx context.Context, c storage.Changes) error {
	if c.RedeemCode.IsZero() && c.RotateRefreshToken.IsZero() {
		return s.Store.Commit(ctx, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outstanding = append(s.outstanding, c)
	if len(s.outstanding) <= crashUsers {
		return nil
	}
	first := s.outstanding[0]
	s.outstanding = s.outstanding[1:]
	return s.Store.Commit(ctx, first)
}
