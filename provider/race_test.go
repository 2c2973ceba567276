package provider_test

import (
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

func openStore(t *testing.T) storage.Store {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "provider.db"), &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// race sends the same request n times at once and returns the answers.
func race(t *testing.T, n int, target string, p params) []answer {
	t.Helper()
	answers := make([]answer, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = postForm(t, target, p, nil)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// wantOneWinner checks that one answer is 200 and the rest are invalid_grant.
func wantOneWinner(t *testing.T, answers []answer) (winner answer) {
	t.Helper()
	won := 0
	for _, a := range answers {
		if a.Status == http.StatusOK {
			won++
			winner = a
			continue
		}
		wantError(t, a, 400, "invalid_grant")
	}
	if won != 1 {
		t.Fatalf("%d of %d succeeded, want exactly one", won, len(answers))
	}
	return winner
}

// TestParallelRedemption: fifty rounds of 64 redemptions of one code, over HTTP.
// fosite alone issues twice (ory/fosite#778).
func TestParallelRedemption(t *testing.T) {
	op := providertest.Start(t, fastClients())
	b := providertest.NewBrowser(t)
	for range 50 {
		code := b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice").Query().Get("code")
		winner := wantOneWinner(t, race(t, 64, op.URL()+"/token", redeem(code)))
		// Those who lost have shown that the code is known to more than one.
		if info := get(t, op.URL()+"/userinfo", bearer(winner.text("access_token"))); info.Status != http.StatusUnauthorized {
			t.Errorf("the tokens survive the replay of their code: %d", info.Status)
		}
	}
}

func TestParallelRefresh(t *testing.T) {
	op := providertest.Start(t, fastClients())
	b := providertest.NewBrowser(t)
	for range 10 {
		code := b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice").Query().Get("code")
		tokens := postForm(t, op.URL()+"/token", redeem(code), nil)
		winner := wantOneWinner(t, race(t, 64, op.URL()+"/token", refreshRequest(tokens.text("refresh_token"))))
		wantError(t, postForm(t, op.URL()+"/token", refreshRequest(winner.text("refresh_token")), nil), 400, "invalid_grant")
	}
}

// fastClients sign ID tokens with ES256: RSA would take most of the time.
func fastClients() *providertest.Options {
	clients := providertest.DefaultClients()
	clients[0].IDTokenSignedResponseAlg = "ES256"
	return &providertest.Options{Clients: clients}
}
