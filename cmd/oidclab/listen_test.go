package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
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
				a := &app{logger: slog.New(slog.DiscardHandler)}
				server := a.newServer(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						http.Error(w, "too slow", http.StatusRequestTimeout)
					}
				}))
				ln := oneConnection{make(chan net.Conn, 1), make(chan struct{})}
				here, there := net.Pipe()
				ln.conn <- there
				go server.Serve(ln) //nolint:errcheck // ends with the test
				defer server.Close()
				defer here.Close()

				began := time.Now()
				if _, err := fmt.Fprint(here, tt.sent); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, bufio.NewReader(here)); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tt.most {
					t.Errorf("held for %s", took)
				}
			})
		})
	}
}
