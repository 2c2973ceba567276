package bolt_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// What one request cannot do costs the others of its transaction nothing, wherever it
// stands among them: each has its own answer, and what it asked for is done once.
func TestFailsAlone(t *testing.T) {
	for at := range 4 {
		synctest.Test(t, func(t *testing.T) { failsAlone(t, at) })
	}
}

func failsAlone(t *testing.T, at int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "op.db")
	s := reopen(t, path, nil)
	spent := redemption(1)
	for _, c := range []storage.Changes{exchange(0), exchange(1), spent} {
		commit(t, s, c)
	}
	damaged := storage.DigestOf("session")
	if err := s.Damage(damaged); err != nil {
		t.Fatal(err)
	}
	others := []storage.Changes{redemption(0), spent, exchange(2)}
	all := make([]storage.Changes, 0, len(others)+1)
	all = append(all, others[:at]...)
	all = append(all, storage.Changes{Sessions: []storage.Session{{ID: damaged}}})
	all = append(all, others[at:]...)

	before := lastTransaction(t, s)
	release, results := queued(t, s, all)
	release()
	got := results()
	if err := got[at]; err == nil || !strings.Contains(err.Error(), "stored ") {
		t.Errorf("the one at %d: %v, want that a record cannot be read", at, err)
	}
	got = append(got[:at:at], got[at+1:]...)
	for i, want := range []error{nil, storage.ErrUsed, nil} {
		if !errors.Is(got[i], want) {
			t.Errorf("the one at %d; other %d: %v, want %v", at, i, got[i], want)
		}
	}
	if n := lastTransaction(t, s) - before; n != 1 {
		t.Errorf("%d transactions, want one for the others", n)
	}
	holdsExchange(t, s, 2)
	if code, _, err := s.Code(t.Context(), others[0].RedeemCode); err != nil || !code.UsedAt.Equal(start) {
		t.Errorf("the code that was redeemed: used at %s, %v", code.UsedAt, err)
	}
	if grant, err := s.Grant(t.Context(), "grant 1"); err != nil || grant.RevokedAt.IsZero() {
		t.Errorf("the grant whose code came back: revoked at %s, %v", grant.RevokedAt, err)
	}
	if err := s.Repair(damaged); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if problems := checkFile(t, path); len(problems) > 0 {
		t.Errorf("Check: %v", problems)
	}
}

// redemption redeems the code of an exchange.
func redemption(n int) storage.Changes {
	return storage.Changes{At: start, RedeemCode: exchange(n).Codes[0].ID}
}

// A sweep that has to be done again removes what it would have removed, and counts it once.
func TestSweepsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "op.db")
		s := reopen(t, path, nil)
		for n := range 3 {
			commit(t, s, exchange(n))
		}
		want := recordsOf(exchange(0)) * 3
		release, _ := s.Hold(t.Context())
		var removed int
		var swept, stumbled, late error
		var done sync.WaitGroup
		for _, f := range []func(){
			func() { removed, swept = s.Sweep(t.Context(), start.Add(2*time.Hour), 1000) },
			func() { stumbled = s.Stumble(t.Context()) },
			func() { late = s.Commit(t.Context(), exchange(3)) },
		} {
			done.Go(f)
			synctest.Wait() // in this order
		}
		release()
		done.Wait()
		if removed != want || swept != nil {
			t.Errorf("Sweep: %d, %v; want %d", removed, swept, want)
		}
		if stumbled == nil || !strings.Contains(stumbled.Error(), "stumbled") {
			t.Errorf("what panicked: %v", stumbled)
		}
		if late != nil {
			t.Errorf("the commit behind it: %v", late)
		}
		holdsExchange(t, s, 3)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if problems := checkFile(t, path); len(problems) > 0 {
			t.Errorf("Check: %v", problems)
		}
	})
}

// recordsOf is how many records of a grant there are in the Changes.
func recordsOf(c storage.Changes) int {
	return len(c.Grants) + len(c.Codes) + len(c.AccessTokens) + len(c.RefreshTokens)
}
