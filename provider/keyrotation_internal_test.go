package provider

import (
	"fmt"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// TestRetirement simulates fifty rotations, one a minute, and checks after each
// that there is every key that may still be needed, and no other one.
func TestRetirement(t *testing.T) {
	const overlap = 12 * time.Minute
	policy := keyPolicy{overlap: overlap}
	start := time.Now().UTC()
	var keys []storage.Key
	for i := range 50 {
		now := start.Add(time.Duration(i) * time.Minute)
		for _, alg := range []string{"RS256", "EdDSA"} {
			keys = append(keys, storage.Key{ID: fmt.Sprint(alg, i), Use: useSignature, Algorithm: alg, CreatedAt: now, ActiveFrom: now})
		}
		keys = policy.retire(keys, now)
		var want []string
		for j := range i + 1 {
			if successor := start.Add(time.Duration(j+1) * time.Minute); j == i || successor.Add(overlap).After(now) {
				want = append(want, fmt.Sprint("RS256", j), fmt.Sprint("EdDSA", j))
			}
		}
		got := map[string]bool{}
		for _, key := range keys {
			got[key.ID] = true
		}
		for _, id := range want {
			if !got[id] {
				t.Errorf("minute %d: %s is gone", i, id)
			}
		}
		if len(keys) != len(want) || len(want) > 2*13 {
			t.Errorf("minute %d: %d keys, want %d", i, len(keys), len(want))
		}
	}
}

// TestRetirementKeepsWhatSigns: whatever times the store says, the last key of an
// algorithm stays.
func TestRetirementKeepsWhatSigns(t *testing.T) {
	now := time.Now().UTC()
	long := now.Add(-time.Hour)
	only := storage.Key{ID: "a", Use: useSignature, Algorithm: "ES256", CreatedAt: long, ExpiresAt: long}
	got := keyPolicy{overlap: time.Minute}.retire([]storage.Key{only}, now)
	if len(got) != 1 || !got[0].ExpiresAt.IsZero() {
		t.Errorf("got %+v", got)
	}
}
