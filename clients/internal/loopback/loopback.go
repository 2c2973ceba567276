// Package loopback reaches the lab's host names. Browsers resolve *.localhost
// to loopback by themselves (RFC 6761 §6.3); the system's resolver often does
// not, so a client on the server's side dials loopback for those names.
package loopback

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Transport returns an HTTP transport that dials loopback for "localhost" and
// every name below it, and resolves all others as usual.
func Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http documents its type
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if isLocal(r.URL.Hostname()) {
			return nil, nil //nolint:nilnil // net/http's way to say: no proxy
		}
		return http.ProxyFromEnvironment(r)
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if isLocal(host) {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return dialer.DialContext(ctx, network, addr)
	}
	return t
}

// Trusting is Transport for servers whom these authorities certify; nil means
// the system's.
func Trusting(roots *x509.CertPool) *http.Transport {
	t := Transport()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t
}

// isLocal reports whether host is "localhost" or a name below it.
func isLocal(host string) bool {
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// Client returns an HTTP client over Transport with a time limit for the whole
// exchange.
func Client() *http.Client {
	return &http.Client{Transport: Transport(), Timeout: 10 * time.Second}
}
