package storagetest

import (
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// rule is one sentence of the contract.
type rule struct {
	name string
	test func(f *fixture)
}

// Run tests that stores keep the contract of storage.Store. Each rule gets a
// new, empty store from open, which also arranges for its end; rules may close
// it before.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	t.Helper()
	for _, group := range []struct {
		name  string
		rules []rule
	}{
		{"records", recordRules},
		{"spend", spendRules},
		{"use", useRules},
		{"race", raceRules},
		{"commit", commitRules},
		{"remove", removeRules},
		{"sign-out", signOutRules},
		{"sweep", sweepRules},
		{"lifecycle", lifecycleRules},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, r := range group.rules {
				t.Run(r.name, func(t *testing.T) {
					r.test(&fixture{T: t, store: open(t)})
				})
			}
		})
	}
	t.Run("random", func(t *testing.T) {
		for seed := range uint64(2) {
			RunRandom(t, open, seed)
		}
		RunRandom(t, open, uint64(time.Now().UnixNano()))
	})
}
