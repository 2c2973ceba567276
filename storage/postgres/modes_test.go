package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// A pooler that gives each transaction another connection knows no prepared
// statements, unless it is told to.
func TestModes(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			testBriefly(t, func(t *testing.T) *postgres.Store {
				t.Helper()
				return openStore(t, "&default_query_exec_mode="+mode)
			})
		})
	}
}

// In CockroachDB transactions are SERIALIZABLE: one that others have made
// impossible is tried again.
func TestSerializable(t *testing.T) {
	testBriefly(t, func(t *testing.T) *postgres.Store {
		t.Helper()
		s := openStore(t, "")
		s.SetSerializable()
		return s
	})
}

// testBriefly tests a little of everything, and a race.
func testBriefly(t *testing.T, open func(t *testing.T) *postgres.Store) {
	t.Helper()
	storagetest.RunRandom(t, func(t *testing.T) storage.Store { t.Helper(); return open(t) }, 1)
	s := open(t)
	for round := range 5 {
		grant := storage.Grant{ID: fmt.Sprint(round)}
		code := storage.Code{ID: storage.DigestOf(grant.ID), GrantID: grant.ID}
		if err := s.Commit(t.Context(), storage.Changes{Grants: []storage.Grant{grant}, Codes: []storage.Code{code}}); err != nil {
			t.Fatal(err)
		}
		var racers sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			racers.Go(func() {
				errs[i] = s.Commit(t.Context(), storage.Changes{At: start, RedeemCode: code.ID})
			})
		}
		racers.Wait()
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
			}
		}
		got, err := s.Grant(t.Context(), grant.ID)
		if winners != 1 || err != nil || got.RevokedAt.IsZero() {
			t.Errorf("round %d: %d winners, %v; grant revoked at %s, %v", round, winners, errs, got.RevokedAt, err)
		}
	}
}

// Where prepared statements get lost, the error says what to do.
func TestPoolerHint(t *testing.T) {
	for name, call := range map[string]func(s *postgres.Store) error{
		"Code": func(s *postgres.Store) error {
			_, _, err := s.Code(t.Context(), redeem.RedeemCode)
			return err
		},
		"Commit": func(s *postgres.Store) error {
			return s.Commit(t.Context(), storage.Changes{EndSessions: []storage.Digest{redeem.RedeemCode}})
		},
	} {
		s := openStore(t, "&pool_max_conns=1")
		issue(t, s)
		if err := call(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, _ = s.Query(t.Context(), "DEALLOCATE ALL") // which answers nothing
		if err := call(s); err == nil || !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
