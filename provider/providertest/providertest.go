// Package providertest runs the provider inside a Go test: a real server on a
// loopback port, with a real store in a temporary directory.
//
//	op := providertest.Start(t, nil)
//	callback := providertest.NewBrowser(t).SignIn(authorizeURL, "alice", "alice")
package providertest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// Clients that a server has when Options names none.
const (
	// PublicClient is a public client with PKCE, refresh and the implicit and
	// hybrid response types.
	PublicClient = "spa"
	// ConfidentialClient authenticates by client_secret_basic with
	// ConfidentialSecret, and may use every grant.
	ConfidentialClient = "web"
	ConfidentialSecret = "web-secret-web-secret-web-secret" //nolint:gosec // a fixture's secret
	// RedirectURI is registered for both. Nothing listens there.
	RedirectURI = "http://rp.localhost:1/callback"
	// PostLogoutRedirectURI is registered for both.
	PostLogoutRedirectURI = "http://rp.localhost:1/"
)

// Options change what Start makes. The zero value means the defaults.
type Options struct {
	// Clients replace the two default clients.
	Clients []provider.Client
	// Users replace alice and bob.
	Users []provider.User
	// Configure has the last word on the configuration. The issuer is set.
	Configure func(*provider.Config)
}

// Server is a running provider.
type Server struct {
	Provider *provider.Provider
	Store    storage.Store

	issuer string
	down   atomic.Bool
}

// Start runs a provider until the test ends. It answers at once; the RSA keys of the
// first one in a process may still be in the making, and what needs them waits (see
// provider.Provider.Ready).
func Start(tb testing.TB, o *Options) *Server {
	tb.Helper()
	if o == nil {
		o = &Options{}
	}
	store, err := bolt.Open(filepath.Join(tb.TempDir(), "provider.db"), &bolt.Options{NoSync: true})
	if err != nil {
		tb.Fatalf("open the store: %v", err)
	}
	// Where nobody has keys to lend, the provider makes them beside the test.
	lent := lend(tb, store)
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	s := &Server{Store: store, issuer: "http://" + listener.Addr().String()}
	config := provider.Config{Issuer: s.issuer, Store: store, Clients: o.Clients, Users: o.Users}
	if config.Clients == nil {
		config.Clients = DefaultClients()
	}
	if o.Configure != nil {
		o.Configure(&config)
	}
	if s.Provider, err = provider.New(tb.Context(), config); err != nil {
		tb.Fatalf("make the provider: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	tb.Cleanup(func() {
		server.Close()
		if err := s.Provider.Close(); err != nil {
			tb.Errorf("close the provider: %v", err)
		}
		if !lent {
			takeOver(context.WithoutCancel(tb.Context()), store)
		}
		if err := store.Close(); err != nil {
			tb.Errorf("close the store: %v", err)
		}
	})
	return s
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	s.Provider.ServeHTTP(w, r)
}

// URL is the issuer.
func (s *Server) URL() string { return s.issuer }

// SetDown makes the server answer 503 to everything, or serve again.
func (s *Server) SetDown(down bool) { s.down.Store(down) }

// DefaultClients are the clients of a server whose Options name none.
func DefaultClients() []provider.Client {
	every := []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}
	return []provider.Client{
		{
			ID: PublicClient, Name: "Single-page app", TokenEndpointAuthMethod: "none",
			RedirectURIs: []string{RedirectURI}, PostLogoutRedirectURIs: []string{PostLogoutRedirectURI},
			GrantTypes: []string{"authorization_code", "implicit", "refresh_token"}, ResponseTypes: every,
		},
		{
			ID: ConfidentialClient, Name: "Web application", Secret: ConfidentialSecret, TokenEndpointAuthMethod: "client_secret_basic",
			RedirectURIs: []string{RedirectURI}, PostLogoutRedirectURIs: []string{PostLogoutRedirectURI},
			GrantTypes: []string{"authorization_code", "implicit", "refresh_token", "client_credentials"}, ResponseTypes: every,
		},
	}
}
