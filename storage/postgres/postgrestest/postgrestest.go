package postgrestest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared is the server of all tests of a process that need none of their own.
// It is kept whole: were its pipe to be collected as garbage, it would end.
var shared = sync.OnceValues(func() (*Server, error) {
	if given := os.Getenv("OIDCLAB_POSTGRES"); given != "" {
		u, err := url.Parse(given)
		return &Server{url: u}, err
	}
	return launch(options + noSync)
})

// URL returns the address of an empty schema on a server that tests share. The
// schema is removed after the test.
func URL(tb testing.TB) string {
	tb.Helper()
	server, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	schema := "test_" + strings.ToLower(rand.Text())
	Exec(tb, server.URL(), "CREATE SCHEMA "+schema)
	tb.Cleanup(func() { Exec(tb, server.URL(), "DROP SCHEMA "+schema+" CASCADE") })
	own := *server.url
	query := own.Query()
	query.Set("search_path", schema)
	own.RawQuery = query.Encode()
	return own.String()
}

// New starts a durable server for one test, which may end and start it.
func New(tb testing.TB) *Server {
	tb.Helper()
	s, err := launch(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.end(); err != nil {
			tb.Errorf("end PostgreSQL: %v", err)
		}
	})
	return s
}

// Exec runs one statement on a connection of its own.
func Exec(tb testing.TB, url, statement string, args ...any) {
	tb.Helper()
	// Not the test's context: that has ended when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
