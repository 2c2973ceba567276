package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// Replicas that start together lay out the tables once.
func TestOpenTogether(t *testing.T) {
	address := postgrestest.URL(t)
	var replicas sync.WaitGroup
	for range 8 {
		replicas.Go(func() {
			store, err := postgres.Open(t.Context(), address, nil)
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := errors.Join(store.Ping(t.Context()), store.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
}

// opening opens a store meanwhile, and closes it. What comes is the error.
func opening(t *testing.T, address string) <-chan error {
	t.Helper()
	opened := make(chan error, 1)
	go func() {
		store, err := postgres.Open(t.Context(), address, nil)
		if err == nil {
			err = store.Close()
		}
		opened <- err
	}()
	return opened
}

// The tables are laid out under a lock, for which whoever comes second waits.
func TestOpenWaits(t *testing.T) {
	address := postgrestest.URL(t)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; "+postgres.LockSchema); err != nil {
		t.Fatal(err)
	}
	opened := opening(t, address)
	for waiting := 0; waiting == 0; {
		select {
		case err := <-opened:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		const waiters = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
		if err := conn.QueryRow(t.Context(), waiters).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}

	// Where there is nothing to lay out, nobody waits.
	if _, err := conn.Exec(t.Context(), "BEGIN; "+postgres.LockSchema); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	store, err := postgres.Open(soon, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// Where there is no such lock, nobody goes from a version that another has left.
func TestMigrateOnce(t *testing.T) {
	s := openStore(t, "")
	if err := s.MigrateFrom(t.Context(), postgres.Schema()-1); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got error %v", err)
	}
}

// What one store has written, the next one reads.
func TestReopen(t *testing.T) {
	address := postgrestest.URL(t)
	first := reopen(t, address)
	if err := first.Commit(t.Context(), storage.Changes{Keys: []storage.Key{{ID: "key"}}}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := reopen(t, address).Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].ID != "key" {
		t.Errorf("Keys: %v, %v", keys, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, address string)
		want  string
	}{
		{"a newer version", func(t *testing.T, address string) {
			t.Helper()
			reopen(t, address)
			postgrestest.Exec(t, address, "UPDATE oidclab_schema SET version = version + 1")
		}, "written by another version of the program"},
		{"a version before all", func(t *testing.T, address string) {
			t.Helper()
			reopen(t, address)
			postgrestest.Exec(t, address, "UPDATE oidclab_schema SET version = -1")
		}, "written by another version of the program"},
		{"a version that says nothing", func(t *testing.T, address string) {
			t.Helper()
			reopen(t, address)
			postgrestest.Exec(t, address, "DELETE FROM oidclab_schema")
		}, "no version: these are not tables of this program"},
		{"somebody else's tables", func(t *testing.T, address string) {
			t.Helper()
			postgrestest.Exec(t, address, "CREATE TABLE theirs (a INT8)")
		}, "has tables, but none of this program"},
		{"a schema that is not there", func(t *testing.T, address string) {
			t.Helper()
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			postgrestest.Exec(t, address, "DROP SCHEMA "+u.Query().Get("search_path"))
			t.Cleanup(func() { postgrestest.Exec(t, address, "CREATE SCHEMA "+u.Query().Get("search_path")) })
		}, "search_path names no schema that is there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := postgrestest.URL(t)
			test.spoil(t, address)
			store, err := postgres.Open(t.Context(), address, nil)
			if err == nil {
				_ = store.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "store postgres://") {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

// A store that may not write is not ready.
func TestPingReadOnly(t *testing.T) {
	address := postgrestest.URL(t)
	reopen(t, address)
	store := reopen(t, address+"&default_transaction_read_only=on")
	if err := store.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Ping: %v", err)
	}
}

// No error tells the password, wherever the URL has it and whatever is wrong.
func TestPasswordStaysSecret(t *testing.T) {
	for _, address := range []string{
		"postgres://user:s3cret@127.0.0.1:1/database",
		"postgres://user@127.0.0.1:1/database?password=s3cret",
		"postgres://user:s3cret@127.0.0.1:port/database",
		"postgres://user:s3cret@127.0.0.1:1/%zz",
		"postgres://user:s3cret %@127.0.0.1:1/database",
		"postgres://user:s3cret@[::1/database",
		"postgres://user:s3cret@127.0.0.1:1/database?sslmode=s0me",
		"postgres://user:s3cret@127.0.0.1:1/database?pool_max_conns=many",
		"postgres://user@127.0.0.1:1/database?password=s3cret&connect_timeout=soon",
		"postgres://user:s3cret@127.0.0.1:1/database?default_query_exec_mode=unheard-of",
		"postgres://user:s3cret@127.0.0.1:1/database?sslmode=verify-full&sslrootcert=/nowhere",
		"postgres://user:s3cret/more@127.0.0.1:1/database",
		"postgres://user:s3cret#more@127.0.0.1:1/database",
		"postgres://user:1234/s3cret@127.0.0.1:1/database",
		"postgres://user:1234?s3cret@127.0.0.1:1/database",
		"postgres://user:1234#s3cret@127.0.0.1:1/database",
		"postgres://user:more@s3cret@127.0.0.1:1/database",
		"postgres//user:s3cret@127.0.0.1:1/database",
		"user=user password=s3cret",
	} {
		_, err := postgres.Open(t.Context(), address, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", address, err)
		}
		name, err := postgres.Name(address)
		if strings.Contains(name, "s3cret") || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %s, %v", address, name, err)
		}
	}
}

func TestName(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://user:secret@db.example/oidclab":                     "postgres://user@db.example:5432/oidclab",
		"postgresql://user@db.example:26257/oidclab?password=secret":    "postgres://user@db.example:26257/oidclab",
		"postgres://user@/oidclab?host=/run/postgresql&search_path=lab": "postgres://user@/run/postgresql/oidclab (schema lab)",
	} {
		if got, err := postgres.Name(address); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", address, got, err, want)
		}
	}
}
