package providertest

import (
	"context"
	"slices"
	"testing"
)

// kids are those of a server's keys for an algorithm, once all are there.
func kids(t *testing.T, s *Server, alg string) (ids []string) {
	t.Helper()
	keys, err := s.Provider.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if key.Algorithm == alg {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

// TestKeysAreHandedOn: servers at the same time have keys of their own, and one that
// comes later has those of one before, whoever made them.
func TestKeysAreHandedOn(t *testing.T) {
	lender.free = nil
	f := &fixture{TB: t}
	one, two := Start(f, nil), Start(f, nil)
	used := map[string][]string{}
	for _, alg := range rsaAlgorithms {
		used[alg] = append(kids(t, one, alg), kids(t, two, alg)...)
		if slices.Sort(used[alg]); len(slices.Compact(used[alg])) != 2 {
			t.Errorf("%s: %v", alg, used[alg])
		}
	}
	f.end()
	if len(lender.free) != 2 {
		t.Fatalf("keys for %d servers are free, want 2", len(lender.free))
	}
	later := Start(t, nil)
	for _, alg := range rsaAlgorithms {
		if got := kids(t, later, alg); len(got) != 1 || !slices.Contains(used[alg], got[0]) {
			t.Errorf("%s: made anew: %v", alg, got)
		}
	}
	if len(lender.free) != 1 {
		t.Errorf("keys for %d servers are free, want 1", len(lender.free))
	}
}

// TestNoKeysToHandOn: a store that has none, or cannot be read, leaves none behind.
func TestNoKeysToHandOn(t *testing.T) {
	lender.free = nil
	f := &fixture{TB: t}
	s := Start(f, nil)
	if err := s.Provider.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.end()
	lender.free = nil
	takeOver(context.Background(), s.Store) // closed
	if len(lender.free) != 0 {
		t.Errorf("keys for %d servers are free", len(lender.free))
	}
}
