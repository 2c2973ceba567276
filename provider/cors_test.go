package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// browserOrigins has a client for each shape of redirect URI.
func browserOrigins() []provider.Client {
	clients := providertest.DefaultClients()
	clients[0].RedirectURIs = append(clients[0].RedirectURIs,
		"https://app.example/callback?x=y", "https://Shop.Example:443/callback", "http://127.0.0.1/callback", "com.example.app:/callback")
	clients[0].PostLogoutRedirectURIs = append(clients[0].PostLogoutRedirectURIs, "https://bye.example/")
	return clients
}

// TestCORSOrigins: exactly the origins of registered redirect URIs, as browsers
// write them (RFC 6454 §6.2).
func TestCORSOrigins(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: browserOrigins()})
	tests := []struct {
		origin  string
		allowed bool
	}{
		{"http://rp.localhost:1", true},
		{"https://app.example", true},
		{"https://shop.example", true},
		{"http://127.0.0.1", true},
		{"http://rp.localhost", false},         // another port
		{"http://rp.localhost:2", false},       // another port
		{"http://rp.localhost:10", false},      // a longer port
		{"https://rp.localhost:1", false},      // another scheme
		{"http://app.example", false},          // another scheme
		{"https://app.example:443", false},     // no browser writes the default port
		{"https://sub.app.example", false},     // subdomain
		{"https://app.example.evil.io", false}, // the name as a prefix
		{"https://evilapp.example", false},     // the name as a suffix
		{"https://app.example/", false},
		{"https://app.example/callback", false},
		{"https://app.example https://evil.example", false},
		{"https://APP.example", false},
		{"https://app.example\\.evil.example", false},
		{"https://app.example@evil.example", false},
		{"http://127.0.0.1:8080", false}, // RFC 8252 §7.3 is about redirects alone
		{"http://localhost", false},
		{"com.example.app:", false},
		{"com.example.app://", false},
		{"https://bye.example", false}, // a page after logout, no client
		{op.URL(), false},
		{"null", false},
		{"*", false},
		{"", false},
	}
	for _, path := range []string{"/token", "/userinfo", "/revoke"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.origin, func(t *testing.T) {
				fromOrigin := func(r *http.Request) { r.Header.Set("Origin", tt.origin) }
				wantCORS(t, postForm(t, op.URL()+path, nil, fromOrigin).Header, tt.origin, tt.allowed)
				preflight := askFirst(t, op, path, tt.origin)
				wantCORS(t, preflight.Header, tt.origin, tt.allowed)
				if got := preflight.Header.Get("Access-Control-Allow-Methods") != ""; got != tt.allowed {
					t.Errorf("the preflight names methods: %v", got)
				}
			})
		}
	}
}

// askFirst sends a preflight request as a browser does, Fetch §4.8.
func askFirst(t *testing.T, op *providertest.Server, path, origin string) answer {
	t.Helper()
	req := request(t, http.MethodOptions, op.URL()+path)
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", "POST")
	req.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	return do(t, req)
}

// wantCORS checks the headers of an answer to one origin.
func wantCORS(t *testing.T, h http.Header, origin string, allowed bool) {
	t.Helper()
	want := ""
	if allowed {
		want = origin
	}
	if got := h.Get("Access-Control-Allow-Origin"); got != want || len(h.Values("Access-Control-Allow-Origin")) > 1 {
		t.Errorf("Access-Control-Allow-Origin %q, want %q", got, want)
	}
	if h.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
	// Without it a cache would answer one origin with another's headers.
	if !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
		t.Errorf("Vary %q", h.Values("Vary"))
	}
}

// TestCORSPreflight: what a browser's script may send.
func TestCORSPreflight(t *testing.T) {
	op := providertest.Start(t, nil)
	for path, methods := range map[string]string{
		"/token": "POST, OPTIONS", "/userinfo": "GET, POST, OPTIONS", "/revoke": "POST, OPTIONS",
		"/jwks": "GET, HEAD, OPTIONS", openIDConfiguration: "GET, HEAD, OPTIONS", oauthMetadata: "GET, HEAD, OPTIONS",
	} {
		t.Run(path, func(t *testing.T) {
			a := askFirst(t, op, path, "http://rp.localhost:1")
			if a.Status != http.StatusNoContent || a.Raw != "" {
				t.Errorf("answer %d %q", a.Status, a.Raw)
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Methods": methods, "Allow": methods,
				"Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP, If-None-Match", "Access-Control-Max-Age": "600",
			} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestCORSOnEveryAnswer: a script can read what went wrong, too.
func TestCORSOnEveryAnswer(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	tokens := tokensOf(t, op, providertest.PublicClient, "openid offline_access")
	access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
	const origin = "http://rp.localhost:1"
	long := strings.Repeat("x", 100<<10)
	tests := []struct {
		name, path string
		form       params
		change     func(*http.Request)
		status     int
	}{
		{"refresh", "/token", refreshRequest(refresh), nil, 200},
		{"no grant type", "/token", nil, nil, 400},
		{"unknown client", "/token", refreshRequest(refresh).with(params{"client_id": "nobody"}), nil, 401},
		{"body too long", "/token", params{"x": long}, nil, 413},
		{"wrong content type", "/token", nil, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400},
		{"wrong method", "/token", nil, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		{"claims", "/userinfo", nil, bearer(access), 200},
		{"no token", "/userinfo", nil, nil, 401},
		{"bad token", "/userinfo", nil, bearer("nonsense"), 401},
		{"revoked", "/revoke", params{"token": "nonsense", "client_id": "spa"}, nil, 200},
		{"nobody revokes", "/revoke", params{"token": "nonsense"}, nil, 401},
	}
	fromOrigin := func(change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Origin", origin)
			if change != nil {
				change(r)
			}
		}
	}
	check := func(t *testing.T, a answer, status int) {
		t.Helper()
		if a.Status != status {
			t.Errorf("answer %d %s, want %d", a.Status, a.Raw, status)
		}
		wantCORS(t, a.Header, origin, true)
		if got := a.Header.Get("Access-Control-Expose-Headers"); got != "WWW-Authenticate, DPoP-Nonce, Retry-After" {
			t.Errorf("exposed: %q", got)
		}
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.name, func(t *testing.T) {
			check(t, postForm(t, op.URL()+tt.path, tt.form, fromOrigin(tt.change)), tt.status)
		})
	}
	t.Run("our own fault", func(t *testing.T) {
		store.fail("AccessToken")
		defer store.repair()
		check(t, get(t, op.URL()+"/userinfo", fromOrigin(bearer(access))), 503)
	})
}

// TestNoCORSElsewhere: pages and what only servers call stay closed.
func TestNoCORSElsewhere(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, path := range []string{"/authorize", "/authorize/resume", "/login", "/consent", "/logout", "/introspect", "/", "/healthz", "/readyz", "/nowhere"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			req := request(t, method, op.URL()+path)
			req.Header.Set("Origin", "http://rp.localhost:1")
			req.Header.Set("Access-Control-Request-Method", "POST")
			a := do(t, req)
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s", method, path, name)
				}
			}
			if method == http.MethodOptions && a.Status < 400 {
				t.Errorf("OPTIONS %s: %d", path, a.Status)
			}
		}
	}
}
