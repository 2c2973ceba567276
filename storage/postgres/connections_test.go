package postgres_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// Of many connections that broke together, who meets one of them meets no other.
func TestManyConnectionsBroken(t *testing.T) {
	for what, call := range map[string]func(s *postgres.Store) error{
		"Code":   func(s *postgres.Store) error { _, _, err := s.Code(t.Context(), redeem.RedeemCode); return err },
		"Commit": func(s *postgres.Store) error { return s.Commit(t.Context(), redeem) },
	} {
		t.Run(what, func(t *testing.T) {
			name := "broken_" + strings.ToLower(rand.Text())
			s := openStore(t, "&pool_max_conns=8&pool_min_conns=8&application_name="+name)
			issue(t, s)
			conn, err := pgx.Connect(t.Context(), postgrestest.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			until := func(want int) {
				t.Helper()
				for n := -1; n != want; {
					if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name).Scan(&n); err != nil {
						t.Fatal(err)
					}
				}
			}
			until(8)
			if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name); err != nil {
				t.Fatal(err)
			}
			until(0)
			if err := call(s); err != nil {
				t.Error(err)
			}
		})
	}
}

// A refusal costs no connection.
func TestRefusalsKeepTheConnection(t *testing.T) {
	s := openStore(t, "&pool_max_conns=1")
	once := storage.Changes{Once: []storage.Once{{ID: redeem.RedeemCode}}}
	if err := s.Commit(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	const backend = "SELECT pg_backend_pid()::TEXT"
	before, err := s.Query(t.Context(), backend)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		changes storage.Changes
		want    error
	}{
		{"before anything is written", redeem, storage.ErrNotFound},
		{"by what is written", once, storage.ErrSeen},
	} {
		if err := s.Commit(t.Context(), tt.changes); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
		if after, err := s.Query(t.Context(), backend); after != before || err != nil {
			t.Errorf("%s: another connection (%v)", tt.name, err)
		}
	}
}

// A COMMIT that is answered otherwise is none.
func TestRolledBackInstead(t *testing.T) {
	address := postgrestest.URL(t)
	direct := reopen(t, address)
	issue(t, direct)
	proxy := startProxy(t, address)
	s := reopen(t, proxy.url+"&default_query_exec_mode=exec")
	turned := "turned"
	proxy.lose.Store(&turned)
	if err := s.Commit(t.Context(), redeem); err == nil || !strings.Contains(err.Error(), `"ROLLBACK" to COMMIT`) {
		t.Errorf("got error %v", err)
	}
	if err := direct.Commit(t.Context(), redeem); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
