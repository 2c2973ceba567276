package provider_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/oidclab/oidclab/provider"
)

// testCertificate is one that nobody checks here.
func testCertificate(t *testing.T) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

// connectHTTP2 returns a connection to a server of https, on which HTTP/2 is spoken.
func connectHTTP2(t *testing.T, certificate *tls.Config, handler http.HandlerFunc) *tls.Conn {
	t.Helper()
	server := provider.NewServer(handler, certificate, slog.New(slog.DiscardHandler))
	ln := oneConnection{make(chan net.Conn, 1), make(chan struct{})}
	here, there := net.Pipe()
	ln.conn <- there
	go server.ServeTLS(ln, "", "") //nolint:errcheck // ends with the test
	t.Cleanup(func() {
		_ = here.Close()
		_ = server.Close()
	})
	conn := tls.Client(here, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // its own certificate
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Fatalf("protocol %q", got)
	}
	return conn
}

// TestStreamsOfAConnection: RFC 9113 §6.5.2. One connection has a part of the requests
// under way, and not all.
func TestStreamsOfAConnection(t *testing.T) {
	certificate := testCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		conn := connectHTTP2(t, certificate, http.NotFound)
		go io.WriteString(conn, http2.ClientPreface) //nolint:errcheck // the answer tells
		frame, err := http2.NewFramer(conn, conn).ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		settings, ok := frame.(*http2.SettingsFrame)
		if !ok {
			t.Fatalf("the first frame is a %T", frame)
		}
		if got, _ := settings.Value(http2.SettingMaxConcurrentStreams); got != 100 {
			t.Errorf("%d streams", got)
		}
	})
}

// TestSlowHTTP2: a request that does not come to its end, and an answer that nobody
// takes, end on their own.
func TestSlowHTTP2(t *testing.T) {
	certificate := testCertificate(t)
	for name, tt := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request) error // until it is cut
		most   time.Duration
	}{
		"body": {func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		}, 31 * time.Second},
		"reader": {func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write(make([]byte, 8<<20))
			return err
		}, 61 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cut := make(chan error, 1)
				conn := connectHTTP2(t, certificate, func(w http.ResponseWriter, r *http.Request) { cut <- tt.handle(w, r) })
				client := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
				defer client.CloseIdleConnections()
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				body, never := io.Pipe()
				defer never.Close()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://localhost/token", body)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if resp, err := client.RoundTrip(req); err == nil { // whose body is not read
						defer resp.Body.Close()
						<-ctx.Done()
					}
				}()
				began := time.Now()
				if err := <-cut; err == nil || time.Since(began) > tt.most {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		})
	}
}
