package provider

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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

// TestSignerByTheClock: the last key that has begun to sign, or else the first.
func TestSignerByTheClock(t *testing.T) {
	at := func(minute int) time.Time { return time.Unix(0, 0).Add(time.Duration(minute) * time.Minute) }
	key := func(id string, from time.Time) *signingKey {
		return &signingKey{JSONWebKey: jose.JSONWebKey{KeyID: id, Algorithm: "ES256"}, from: from}
	}
	set := &signingSet{keys: []*signingKey{key("a", at(1)), key("b", at(3)), key("c", at(5))}}
	for minute, want := range []string{"a", "a", "a", "b", "b", "c", "c"} {
		if got := set.signer(jose.ES256, at(minute)); got == nil || got.KeyID != want {
			t.Errorf("minute %d: %v, want %s", minute, got, want)
		}
	}
	if set.signer(jose.RS256, at(1)) != nil || (*signingSet)(nil).signer(jose.ES256, at(1)) != nil {
		t.Error("a key that is not there")
	}
}

// TestRetirementForgets: keys that only verify are remembered for a time, and
// those of many rotations do not pile up.
func TestRetirementForgets(t *testing.T) {
	policy := keyPolicy{overlap: time.Second, memory: time.Hour}
	start := time.Now().UTC()
	rotate := func(keys []storage.Key, at time.Time) []storage.Key {
		return policy.retire(append(keys, storage.Key{ID: at.String(), Use: useSignature, Algorithm: "ES256", CreatedAt: at, ActiveFrom: at}), at)
	}
	var keys []storage.Key
	for i := range 10 {
		keys = rotate(keys, start.Add(time.Duration(i)*10*time.Minute))
	}
	if len(keys) != 8 { // the current one, and seven that were published within the hour
		t.Errorf("%d keys of ten", len(keys))
	}
	later := start.Add(24 * time.Hour)
	for i := range 2 * maxSigningKeys {
		keys = rotate(keys, later.Add(time.Duration(i)*2*time.Second))
	}
	if len(keys) != maxSigningKeys {
		t.Errorf("%d keys of many rotations", len(keys))
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
