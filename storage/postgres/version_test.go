package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// setVersion is what a replica of another program does last.
func setVersion(t *testing.T, address string, version int64) {
	t.Helper()
	postgrestest.Exec(t, address, "UPDATE oidclab_schema SET version = $1", version)
}

// TestAnotherVersion: whatever tells a store that its tables have another version, it does
// nothing with them from then on, until Ping finds that they have the known one.
func TestAnotherVersion(t *testing.T) {
	once := storage.Changes{Once: []storage.Once{{ID: storage.DigestOf("once"), ExpiresAt: start}}}
	calls := map[string]func(ctx context.Context, s *postgres.Store) error{
		"Ping":   func(ctx context.Context, s *postgres.Store) error { return s.Ping(ctx) },
		"Commit": func(ctx context.Context, s *postgres.Store) error { return s.Commit(ctx, once) },
		"Sweep": func(ctx context.Context, s *postgres.Store) error {
			_, err := s.Sweep(ctx, start.Add(48*time.Hour), 10)
			return err
		},
		"KeysVersion": func(ctx context.Context, s *postgres.Store) error {
			_, err := s.KeysVersion(ctx)
			return err
		},
		"Grant": func(ctx context.Context, s *postgres.Store) error {
			_, err := s.Grant(ctx, exchange(0).Grants[0].ID)
			return err
		},
	}
	for _, test := range []struct {
		name    string
		changed string // what else the other program did to the tables
		first   string // the call that finds it out
	}{
		{"Ping", "", "Ping"},
		{"Commit", "", "Commit"},
		{"Sweep", "", "Sweep"},
		{"KeysVersion", "", "KeysVersion"},
		{"a column is gone", "ALTER TABLE grants RENAME COLUMN revoked TO ended", "Grant"},
		{"a table is gone", "ALTER TABLE grants RENAME TO families", "Grant"},
		{"a column that is written is gone", "ALTER TABLE identifiers RENAME COLUMN expires TO ends", "Commit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := postgrestest.URL(t)
			s := reopen(t, address)
			issue(t, s)
			if err := calls["Grant"](t.Context(), s); err != nil { // what it has prepared suits the tables
				t.Fatal(err)
			}
			if test.changed != "" {
				postgrestest.Exec(t, address, test.changed)
			}
			setVersion(t, address, postgres.Schema()+1)
			refused := func(what string) {
				t.Helper()
				if err := calls[what](t.Context(), s); err == nil || !strings.Contains(err.Error(), "another version of the program (2, this one knows 1)") {
					t.Errorf("%s: got error %v, want that the tables have another version", what, err)
				}
			}
			refused(test.first)
			for what := range calls {
				refused(what)
			}
			if test.changed != "" {
				return
			}

			// Nothing was written or removed.
			setVersion(t, address, postgres.Schema())
			if err := calls["Grant"](t.Context(), s); err == nil {
				t.Error("the store answers before Ping has looked")
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			seen, seenErr := s.Seen(t.Context(), once.Once[0].ID)
			_, _, codeErr := s.Code(t.Context(), redeem.RedeemCode)
			if err := errors.Join(seenErr, codeErr, s.Commit(t.Context(), redeem)); seen || err != nil {
				t.Errorf("afterwards: seen: %t, %v", seen, err)
			}
		})
	}
}

// TestSweepAnotherVersion: nor is anything removed if the version changes just after the
// sweep has looked.
func TestSweepAnotherVersion(t *testing.T) {
	address := postgrestest.URL(t)
	s := reopen(t, address)
	issue(t, s)
	setVersion(t, address, postgres.Schema()+1)
	n, err := s.RemoveExpired(t.Context(), start.Add(48*time.Hour), exchange(0).Grants[0].ID)
	if n != 0 || err != nil {
		t.Errorf("%d removed, %v; want 0", n, err)
	}
	setVersion(t, address, postgres.Schema())
	n, err = s.RemoveExpired(t.Context(), start.Add(48*time.Hour), exchange(0).Grants[0].ID)
	if n != 1 || err != nil {
		t.Errorf("%d removed, %v; want 1", n, err)
	}
}

// TestVersionLost: tables without a version are not ours.
func TestVersionLost(t *testing.T) {
	address := postgrestest.URL(t)
	s := reopen(t, address)
	postgrestest.Exec(t, address, "DELETE FROM oidclab_schema")
	for what, err := range map[string]error{"Commit": s.Commit(t.Context(), exchange(0)), "Ping": s.Ping(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "(0, this one knows 1)") {
			t.Errorf("%s: got error %v", what, err)
		}
	}
}

// TestMigrateBesideCommits: who changes the tables waits for the commits under way, and
// those that come meanwhile see what became of the version.
func TestMigrateBesideCommits(t *testing.T) {
	connect := func(address string) *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	run := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	address := postgrestest.URL(t)
	postgrestest.Exec(t, address, "CREATE TABLE oidclab_schema (id INT8 PRIMARY KEY, version INT8 NOT NULL)")
	postgrestest.Exec(t, address, "INSERT INTO oidclab_schema (id, version) VALUES (1, 0)")
	before, meanwhile, watch := connect(address), connect(address), connect(address)
	run(before, "BEGIN; SELECT version FROM oidclab_schema")

	// 1. Who migrates waits.
	opened := opening(t, address)
	waiting := func(number int) {
		t.Helper()
		const sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'oidclab_schema'::regclass"
		for n := 0; n != number; {
			if err := watch.QueryRow(t.Context(), sql).Scan(&n); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-opened:
				t.Fatalf("Open did not wait: %v", err)
			default:
			}
		}
	}
	waiting(1)

	// 2. Who comes meanwhile waits, too, and sees the new version.
	seen := make(chan int64, 1)
	go func() {
		var version int64
		_ = meanwhile.QueryRow(t.Context(), "SELECT version FROM oidclab_schema WHERE id = $1", 1).Scan(&version)
		seen <- version
	}()
	waiting(2)
	run(before, "COMMIT")
	if version := <-seen; version != postgres.Schema() {
		t.Errorf("version %d was seen, want %d", version, postgres.Schema())
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}

	// 3. A commit is one who has read the version, until its end.
	s := reopen(t, address)
	issue(t, s)
	run(before, "BEGIN; SELECT id FROM codes FOR UPDATE")
	committed := make(chan error, 1)
	go func() { committed <- s.Commit(t.Context(), redeem) }()
	for { // the commit waits for the code
		_, err := watch.Exec(t.Context(), "DO 'BEGIN LOCK TABLE oidclab_schema IN ACCESS EXCLUSIVE MODE NOWAIT; END'")
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "55P03" {
			break
		}
		select {
		case err := <-committed:
			t.Fatalf("the commit has ended: %v", err)
		default:
		}
	}
	run(before, "ROLLBACK")
	if err := <-committed; err != nil {
		t.Error(err)
	}
}
