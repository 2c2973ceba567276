package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// redeem redeems the code of exchange(0).
var redeem = storage.Changes{At: start, RedeemCode: exchange(0).Codes[0].ID}

// issue writes the grant and the code of exchange(0).
func issue(t *testing.T, s *postgres.Store) {
	t.Helper()
	c := exchange(0)
	if err := s.Commit(t.Context(), storage.Changes{Grants: c.Grants, Codes: c.Codes}); err != nil {
		t.Fatal(err)
	}
}

// A store whose database goes away says so, and works again as soon as the
// database is back. Nothing that was committed is lost, whatever happened.
func TestDatabaseGone(t *testing.T) {
	server := postgrestest.New(t)
	s := reopen(t, server.URL())
	issue(t, s)
	for name, end := range map[string]func(testing.TB){"stopped": server.Stop, "killed": server.Kill} {
		t.Run(name, func(t *testing.T) {
			id := storage.DigestOf(name)
			if err := s.Commit(t.Context(), storage.Changes{Once: []storage.Once{{ID: id}}}); err != nil {
				t.Fatal(err)
			}
			end(t)
			_, _, readErr := s.Code(t.Context(), redeem.RedeemCode)
			for what, err := range map[string]error{"Ping": s.Ping(t.Context()), "Code": readErr, "Commit": s.Commit(t.Context(), redeem)} {
				if err == nil || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrUsed) {
					t.Errorf("%s without a database: %v", what, err)
				}
			}
			server.Start(t)
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			if err := s.Commit(t.Context(), storage.Changes{Once: []storage.Once{{ID: id}}}); !errors.Is(err, storage.ErrSeen) {
				t.Errorf("what was committed before: %v", err)
			}
		})
	}
	if err := s.Commit(t.Context(), redeem); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

// Connections that broke while nobody used them are replaced, and nobody hears
// of it.
func TestConnectionsBroken(t *testing.T) {
	name := "broken_" + strings.ToLower(rand.Text())
	s := openStore(t, "&pool_max_conns=4&application_name="+name)
	issue(t, s)
	cut := func() {
		t.Helper()
		postgrestest.Exec(t, postgrestest.URL(t), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
	}
	cut()
	if _, _, err := s.Code(t.Context(), redeem.RedeemCode); err != nil {
		t.Errorf("Code: %v", err)
	}
	cut()
	if err := s.Commit(t.Context(), redeem); err != nil {
		t.Errorf("Commit: %v", err)
	}
	cut()
	if n, err := s.Sweep(t.Context(), start.Add(time.Hour), 10); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v", n, err)
	}
	cut()
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

// A commit whose end is not known is reported, and not tried again: that would
// find its own code used, and end an honest client's grant.
func TestFateUnknown(t *testing.T) {
	for _, test := range []struct {
		name string
		// lost is what does not reach its end: the COMMIT, or the answer to it.
		lost string
		// want is what a second attempt of the client finds.
		want error
	}{
		{"the commit is lost", "request", nil},
		{"the answer is lost", "answer", storage.ErrUsed},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := postgrestest.URL(t)
			direct := reopen(t, address)
			issue(t, direct)
			proxy := startProxy(t, address)
			// In this mode each statement is sent as text.
			s := reopen(t, proxy.url+"&default_query_exec_mode=exec")

			proxy.lose.Store(&test.lost)
			err := s.Commit(t.Context(), redeem)
			if err == nil || !strings.Contains(err.Error(), "not known") {
				t.Errorf("Commit: %v", err)
			}
			if n := proxy.commits.Load(); n != 1 {
				t.Errorf("%d attempts to commit, want 1", n)
			}
			grant, err := direct.Grant(t.Context(), exchange(0).Grants[0].ID)
			if err != nil || !grant.RevokedAt.IsZero() {
				t.Errorf("grant: revoked at %s, %v", grant.RevokedAt, err)
			}

			proxy.lose.Store(new(string))
			if err := s.Commit(t.Context(), redeem); !errors.Is(err, test.want) {
				t.Errorf("second attempt: %v, want %v", err, test.want)
			}
		})
	}
}

// A database that has stopped to answer makes Ping give up after a while of its own,
// whatever has become of the connections, and is well again when it answers again.
func TestDatabaseFrozen(t *testing.T) {
	const tooLong = 4 * time.Second // Ping's own limit is far less, a connection's is more
	ping := func(s *postgres.Store, what string) {
		t.Helper()
		began := time.Now()
		if err := s.Ping(t.Context()); err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%s: got error %v, want that there was no answer", what, err)
		}
		if took := time.Since(began); took > tooLong {
			t.Errorf("%s: took %s", what, took)
		}
	}
	proxy := startProxy(t, postgrestest.URL(t))
	s := reopen(t, proxy.url+"&pool_max_conns=1")
	for what, spoil := range map[string]func() (repaired func()){
		"idle connections": func() func() { return func() {} },
		"no connections": func() func() {
			s.Reset()
			return func() {}
		},
		"no connection left": func() func() {
			var stuck sync.WaitGroup
			stuck.Go(func() { _, _ = s.Keys(t.Context()) }) // which may get its answer at last
			for s.Acquired() == 0 {
				runtime.Gosched()
			}
			return stuck.Wait
		},
	} {
		if err := s.Ping(t.Context()); err != nil {
			t.Fatalf("%s: Ping before: %v", what, err)
		}
		thaw := proxy.freeze()
		repaired := spoil()
		ping(s, what)
		thaw()
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: Ping afterwards: %v", what, err)
		}
		repaired()
	}

	// Who asks may have less time.
	defer proxy.freeze()()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping with less time: %v", err)
	}
}

// While Close waits for a call, others are told at once that the store is closed.
func TestClosing(t *testing.T) {
	address := postgrestest.URL(t)
	s := reopen(t, address)
	issue(t, s)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT id FROM codes FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() { committed <- s.Commit(t.Context(), redeem) }()
	for s.Acquired() == 0 {
		runtime.Gosched()
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for !s.Closing() {
		runtime.Gosched()
	}
	if err := s.Ping(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Ping: got error %v, want %v", err, storage.ErrClosed)
	}
	select {
	case err := <-committed:
		t.Errorf("the commit was answered before: %v", err)
	default:
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-committed, <-closed); err != nil {
		t.Error(err)
	}
}

// Who holds a lock holds others up for no longer than the limit.
func TestLocked(t *testing.T) {
	address := postgrestest.URL(t)
	s := reopen(t, address)
	issue(t, s)
	s.SetWorkLimit(200 * time.Millisecond)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT id FROM codes FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), redeem); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit: %v", err)
	}
	// A sweep passes it over, and comes back another time.
	if n, err := s.Sweep(t.Context(), start.Add(48*time.Hour), 10); n != 1 || err != nil {
		t.Errorf("Sweep: %d, %v; want the grant alone", n, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The commit that gave up may hold the lock for a moment, until the database
	// notices.
	for removed, limit := 0, time.Now().Add(time.Minute); removed == 0; {
		n, err := s.Sweep(t.Context(), start.Add(48*time.Hour), 10)
		if removed += n; removed > 1 || err != nil || time.Now().After(limit) {
			t.Fatalf("Sweep: %d, %v; want the code", removed, err)
		}
	}
}

// A machine that is gone holds locks no longer than the database is told.
func TestIdleLimit(t *testing.T) {
	for parameters, want := range map[string]string{"": "20s", "&idle_in_transaction_session_timeout=7s": "7s"} {
		got, err := openStore(t, parameters).Query(t.Context(), "SHOW idle_in_transaction_session_timeout")
		if got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", parameters, got, err, want)
		}
	}
}

// proxy stands between a store and its server.
type proxy struct {
	url     string
	commits atomic.Int64
	// lose says what is lost: the "request" or the "answer" of a COMMIT; one that is "turned"
	// gets there as its opposite.
	lose atomic.Pointer[string]
	// frozen is held for writing while nothing gets to the database.
	frozen sync.RWMutex
}

// freeze lets nothing get to the database, though connections are taken, until thaw is
// called: so is a server that has been stopped.
func (p *proxy) freeze() (thaw func()) {
	p.frozen.Lock()
	return p.frozen.Unlock
}

func startProxy(t *testing.T, address string) *proxy {
	t.Helper()
	own, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	network, to := pgconn.NetworkAddress(own.Host, own.Port)
	var config net.ListenConfig
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(own.User, own.Password), Host: ln.Addr().String(), Path: own.Database,
		RawQuery: url.Values{"sslmode": {"disable"}, "search_path": {own.RuntimeParams["search_path"]}}.Encode(),
	}
	p := &proxy{url: u.String()}
	p.lose.Store(new(string))
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			backend, err := dialer.DialContext(context.WithoutCancel(t.Context()), network, to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go p.pass(client, backend)
		}
	}()
	return p
}

// pass carries bytes both ways until either side ends, or a COMMIT is to be lost.
func (p *proxy) pass(client, backend net.Conn) {
	var lost atomic.Bool
	go func() {
		defer client.Close()
		if _, err := io.Copy(writerFunc(func(b []byte) (int, error) {
			if lost.Load() {
				return 0, io.ErrClosedPipe
			}
			return client.Write(b)
		}), backend); err != nil {
			_ = backend.Close()
		}
	}()
	defer backend.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		p.frozen.RLock()
		p.frozen.RUnlock() //nolint:staticcheck // it was waited for
		if bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			p.commits.Add(1)
			switch *p.lose.Load() {
			case "request":
				_ = client.Close()
				return
			case "answer":
				lost.Store(true)
			case "turned":
				copy(buffer, bytes.Replace(buffer[:n], []byte("COMMIT\x00"), []byte("ABORT \x00"), 1))
			}
		}
		if _, err := backend.Write(buffer[:n]); err != nil {
			return
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
