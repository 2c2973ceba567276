package provider_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// oneConnection is a listener that hands out one connection.
type oneConnection struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l oneConnection) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l oneConnection) Close() error { close(l.closed); return nil }

func (l oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

// connect returns a connection to a server.
func connect(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	server := provider.NewServer(handler, nil, slog.New(slog.DiscardHandler))
	ln := oneConnection{make(chan net.Conn, 1), make(chan struct{})}
	here, there := net.Pipe()
	ln.conn <- there
	go server.Serve(ln) //nolint:errcheck // ends with the test
	t.Cleanup(func() {
		_ = here.Close()
		_ = server.Close()
	})
	return here
}

// TestSlowRequests: neither a head nor a body that does not come to its end holds
// a connection for long.
func TestSlowRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		most time.Duration
	}{
		"head": {"POST /token HTTP/1.1\r\nHost: localhost\r\n", 11 * time.Second},
		"body": {"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\ng", 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here := connect(t, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						http.Error(w, "too slow", http.StatusRequestTimeout)
					}
				})
				began := time.Now()
				if _, err := fmt.Fprint(here, tt.sent); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, here); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tt.most {
					t.Errorf("held for %s", took)
				}
			})
		})
	}
}

// TestSlowReader: nor does an answer that nobody takes.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		here := connect(t, func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			done <- err
		})
		began := time.Now()
		if _, err := fmt.Fprint(here, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
