// Package loopback reaches the lab's host names. Browsers resolve *.localhost
// to loopback by themselves (RFC 6761 §6.3); the system's resolver often does
// not, so a client on the server's side dials loopback for those names.
package loopback

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// Transport returns an HTTP transport that dials loopback for "localhost" and
// every name below it, and resolves all others as usual.
func Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http documents its type
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if name := strings.TrimSuffix(strings.ToLower(host), "."); name == "localhost" || strings.HasSuffix(name, ".localhost") {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return dialer.DialContext(ctx, network, addr)
	}
	return t
}

// Client returns an HTTP client over Transport with a time limit for the whole
// exchange.
func Client() *http.Client {
	return &http.Client{Transport: Transport(), Timeout: 10 * time.Second}
}
