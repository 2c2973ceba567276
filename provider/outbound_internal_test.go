package provider

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage/storagetest"
)

func certificates(server *httptest.Server) func() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return func() *x509.CertPool { return pool }
}

func TestOutboundGet(t *testing.T) {
	var got *http.Request
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		w.Write([]byte("hello"))
	}))
	defer server.Close()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	o := newTestOutbound(t, Config{InsecurePrivateAddresses: true, RootCAs: certificates(server)})
	for range 2 { // the second has no cookie of the first
		body, err := o.get(t.Context(), server.URL+"/jwks?x=y#fragment", "application/jwk-set+json")
		if err != nil || string(body) != "hello" {
			t.Fatalf("%q, %v", body, err)
		}
		want := http.Header{"Accept": {"application/jwk-set+json"}, "Connection": {"close"}, "User-Agent": {"oidclab"}}
		if fmt.Sprint(got.Header) != fmt.Sprint(want) || got.RequestURI != "/jwks?x=y" {
			t.Errorf("sent %s %v", got.RequestURI, got.Header)
		}
	}
	untrusting := newTestOutbound(t, Config{InsecurePrivateAddresses: true})
	if _, err := untrusting.get(t.Context(), server.URL, ""); !errors.Is(err, errNotFetched) {
		t.Errorf("an unknown certificate: %v", err)
	}
}

// TestOutboundRoots: whom to believe is asked for when it matters, and then it is
// that.
func TestOutboundRoots(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	for roots, want := range map[*x509.CertPool]error{certificates(server)(): nil, x509.NewCertPool(): errNotFetched} {
		asked := false
		o := newTestOutbound(t, Config{
			InsecurePrivateAddresses: true, RootCAs: func() *x509.CertPool { asked = true; return roots },
		})
		if asked {
			t.Error("asked for before the first call")
		}
		if _, err := o.get(t.Context(), server.URL, ""); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// TestOutboundTLS: 1.2 at least.
func TestOutboundTLS(t *testing.T) {
	for version, want := range map[uint16]error{tls.VersionTLS11: errNotFetched, tls.VersionTLS12: nil, tls.VersionTLS13: nil} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		o := newTestOutbound(t, Config{InsecurePrivateAddresses: true, RootCAs: certificates(server)})
		if _, err := o.get(t.Context(), server.URL, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestOutboundPostForm(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.PostFormValue("logout_token") == "a b&c" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer server.Close()
	o := newTestOutbound(t, Config{InsecurePrivateAddresses: true})
	for form, want := range map[string]int{"a b&c": http.StatusNoContent, "d": http.StatusBadRequest} {
		status, err := o.postForm(t.Context(), server.URL, url.Values{"logout_token": {form}})
		if err != nil || status != want {
			t.Errorf("%d, %v", status, err)
		}
	}
}

// TestOutboundRefuses: what a server may not answer. All of it reads the same
// but for a redirect.
func TestOutboundRefuses(t *testing.T) {
	filler := bytes.Repeat([]byte("x"), maxDocumentBody+1)
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := zip.Write(bytes.Repeat(filler, 20)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter)
		want   error
	}{
		"a body at the limit":      {func(w http.ResponseWriter) { w.Write(filler[1:]) }, nil},
		"a body beyond it":         {func(w http.ResponseWriter) { w.Write(filler) }, errNotFetched},
		"a body far beyond it":     {func(w http.ResponseWriter) { w.Write(bytes.Repeat(filler, 20)) }, errNotFetched},
		"identity":                 {func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "identity") }, nil},
		"a compressed body":        {func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "gzip"); w.Write(bomb.Bytes()) }, errNotFetched},
		"too many headers":         {func(w http.ResponseWriter) { w.Header().Set("X", string(filler[:2*maxAnswerHeaders])) }, errNotFetched},
		"a cut body":               {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "9"); w.Write(filler[:8]) }, errNotFetched},
		"201":                      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) }, errNotFetched},
		"404":                      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, errNotFetched},
		"500":                      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, errNotFetched},
		"304":                      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotModified) }, errNotFetched},
		"no answer":                {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, errNotFetched},
		"a redirect":               {func(w http.ResponseWriter) { redirectTo(w, "/ok", 302) }, errRedirected},
		"a redirect to loopback":   {func(w http.ResponseWriter) { redirectTo(w, "http://127.0.0.1:1/", 307) }, errRedirected},
		"a redirect to a document": {func(w http.ResponseWriter) { redirectTo(w, "data:,x", 308) }, errRedirected},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ok" {
					t.Error("the redirect was followed")
				}
				tt.answer(w)
			}))
			defer server.Close()
			o := newTestOutbound(t, Config{InsecurePrivateAddresses: true})
			body, err := o.get(t.Context(), server.URL, "")
			if !errors.Is(err, tt.want) || err != nil && body != nil {
				t.Errorf("%d bytes, %v", len(body), err)
			}
			if err != nil && err.Error() != tt.want.Error() {
				t.Errorf("says more than it may: %v", err)
			}
			if errors.Is(tt.want, errRedirected) {
				if _, err := o.postForm(t.Context(), server.URL, nil); !errors.Is(err, errRedirected) {
					t.Errorf("POST: %v", err)
				}
			}
		})
	}
}

func redirectTo(w http.ResponseWriter, location string, status int) {
	w.Header().Set("Location", location)
	w.WriteHeader(status)
}

// TestOutboundLogs: the log has the cause and the host, not the rest of the URL.
func TestOutboundLogs(t *testing.T) {
	var logged bytes.Buffer
	server := httptest.NewServer(http.NotFoundHandler())
	o := newTestOutbound(t, Config{InsecurePrivateAddresses: true, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for _, want := range []string{`cause="status 404"`, "connection refused"} {
		logged.Reset()
		_, err := o.get(t.Context(), server.URL+"/path?secret", "")
		if err != errNotFetched { //nolint:errorlint // it must be this very value
			t.Errorf("got %v", err)
		}
		if got := logged.String(); !strings.Contains(got, want) || !strings.Contains(got, "host="+server.Listener.Addr().String()) || strings.Contains(got, "path") {
			t.Errorf("log: %s", got)
		}
		server.Close()
	}
}

// TestPrivateAddressesAreSaid at the start.
func TestPrivateAddressesAreSaid(t *testing.T) {
	for _, on := range []bool{false, true} {
		var logged bytes.Buffer
		p, err := New(t.Context(), Config{
			Issuer: "http://op.localhost", Store: storagetest.NewModel(), InsecurePrivateAddresses: on,
			Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if said := strings.Contains(logged.String(), `level=WARN msg="insecure_private_addresses is on"`); said != on {
			t.Errorf("on is %v, the log: %s", on, logged.String())
		}
		if p.outbound.closing.Err() == nil {
			t.Error("Close left the way out open")
		}
	}
}

// slow is an outbound whose servers accept a connection and say nothing.
type slow struct {
	o     *outbound
	mu    sync.Mutex
	dials int
	there []net.Conn
}

// newSlow makes a bubble's outbound, whose dialer yields pipes.
func newSlow(t *testing.T, dial func(context.Context) error) *slow {
	t.Helper()
	s := &slow{}
	s.o = newTestOutbound(t, Config{InsecurePrivateAddresses: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		s.dials++
		s.mu.Unlock()
		if err := dial(ctx); err != nil {
			return nil, err
		}
		here, there := net.Pipe()
		s.mu.Lock()
		s.there = append(s.there, there)
		s.mu.Unlock()
		t.Cleanup(func() { there.Close() })
		go func() { _, _ = io.Copy(io.Discard, there) }()
		return here, nil
	}})
	return s
}

// TestOutboundTimesOut: wherever a server stops, the whole takes no longer than
// the timeout.
func TestOutboundTimesOut(t *testing.T) {
	ready := func(context.Context) error { return nil }
	for name, tt := range map[string]struct {
		dial   func(context.Context) error
		scheme string
		answer string
	}{
		"dialling":          {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "http", ""},
		"TLS":               {ready, "https", ""},
		"no headers":        {ready, "http", ""},
		"half the headers":  {ready, "http", "HTTP/1.1 200 OK\r\nContent-"},
		"no body":           {ready, "http", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
		"half the body":     {ready, "http", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"},
		"an unbounded body": {ready, "http", "HTTP/1.1 200 OK\r\n\r\n{"},
		"interim answers":   {ready, "http", "HTTP/1.1 103 Early Hints\r\n\r\n"},
		"half the chunks":   {ready, "http", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlow(t, tt.dial)
				go func() {
					synctest.Wait()
					for _, conn := range s.there {
						_, _ = conn.Write([]byte(tt.answer)) // it may be gone by now
					}
				}()
				begin := time.Now()
				_, err := s.o.get(t.Context(), tt.scheme+"://rp.example/", "")
				if !errors.Is(err, errNotFetched) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took != outboundTimeout {
					t.Errorf("after %s", took)
				}
			})
		})
	}
}

// TestOutboundClose ends what is under way, at whatever stage, at once; the
// bubble fails if a goroutine is left.
func TestOutboundClose(t *testing.T) {
	ready := func(context.Context) error { return nil }
	for name, tt := range map[string]struct {
		dial func(context.Context) error
		url  string
	}{
		"dialling": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "http://rp.example/"},
		"TLS":      {ready, "https://rp.example/"},
		"waiting":  {ready, "http://rp.example/"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlow(t, tt.dial)
				begin := time.Now()
				result := make(chan error, 2)
				gone, goAway := context.WithCancel(t.Context())
				for _, ctx := range []context.Context{t.Context(), gone} {
					go func() {
						_, err := s.o.get(ctx, tt.url, "")
						result <- err
					}()
				}
				synctest.Wait()
				goAway() // which does not end its dial, where that is not done
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Errorf("who went away: %v", err)
				}
				s.o.close()
				if err := <-result; !errors.Is(err, errNotFetched) {
					t.Errorf("got %v", err)
				}
				for _, conn := range s.there {
					if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("still open: %v", err)
					}
				}
				if _, err := s.o.get(t.Context(), tt.url, ""); !errors.Is(err, errNotFetched) {
					t.Errorf("after close: %v", err)
				}
				synctest.Wait()
				if time.Since(begin) > 0 {
					t.Errorf("waited %s", time.Since(begin))
				}
			})
		})
	}
}

// TestOutboundKeepsNoConnection open for the next request.
func TestOutboundKeepsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, func(context.Context) error { return nil })
		go func() {
			synctest.Wait()
			_, _ = s.there[0].Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}()
		if _, err := s.o.get(t.Context(), "http://rp.example/", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.there[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("still open: %v", err)
		}
	})
}

// TestOutboundIsWrapped: whoever records sees each request and its answer, and
// has the guard behind it.
func TestOutboundIsWrapped(t *testing.T) {
	var seen []string
	o := newTestOutbound(t, Config{WrapTransport: func(base http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			seen = append(seen, r.Method+" "+r.URL.String())
			r = r.Clone(r.Context())
			r.URL.Host = "127.0.0.1"
			return base.RoundTrip(r)
		})
	}})
	_, err := o.get(t.Context(), "https://rp.example/jwks", "")
	if !errors.Is(err, errAddressNotAllowed) || len(seen) != 1 || seen[0] != "GET https://rp.example/jwks" {
		t.Errorf("%v, saw %q", err, seen)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
