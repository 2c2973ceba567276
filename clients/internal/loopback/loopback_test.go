package loopback_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/loopback"
)

// TestNamesBelowLocalhost: every spelling of a name below localhost reaches
// loopback with its own Host.
func TestNamesBelowLocalhost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := loopback.Client()
	t.Cleanup(client.CloseIdleConnections)
	for _, host := range []string{"localhost", "op.lab.localhost", "OP.Lab.LocalHost", "op.lab.localhost.", "127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(host, u.Port()), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("X-Host"); got != net.JoinHostPort(host, u.Port()) {
				t.Errorf("Host %q, want %q", got, host)
			}
		})
	}
}

// TestProxy: what stays on this machine goes through no proxy, the rest
// through that of the environment, which net/http reads once.
func TestProxy(t *testing.T) {
	for target, proxied := range map[string]bool{
		"http://op.lab.localhost:8080/token": false, "http://localhost/": false, "http://op.example/": true,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		got, err := loopback.Transport().Proxy(req)
		if err != nil || (got != nil) != proxied {
			t.Errorf("%s: proxy %v (%v), want one: %v", target, got, err, proxied)
		}
	}
}

// TestMain sets the proxy before anything asks for it.
func TestMain(m *testing.M) {
	if err := os.Setenv("HTTP_PROXY", "http://proxy.invalid:1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
