package bff_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/bff"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// withProvider gives the lab the real provider, over sockets, in place of the
// fake one.
func withProvider(t *testing.T) (*lab, *providertest.Server) {
	t.Helper()
	op := providertest.Start(t, &providertest.Options{
		Clients: []provider.Client{{
			ID: clientID, Secret: secret, TokenEndpointAuthMethod: "client_secret_basic",
			RedirectURIs: []string{baseURL + "/callback"}, PostLogoutRedirectURIs: []string{baseURL + "/"},
			GrantTypes: []string{"authorization_code", "refresh_token"}, Audience: []string{apiURL},
			Scope: "openid profile email offline_access notes:read notes:write",
		}},
		Configure: func(c *provider.Config) {
			c.Scopes = []provider.Scope{{Name: "notes:read"}, {Name: "notes:write"}}
		},
	})
	l := newLab(t, func(c *bff.Config) {
		c.Issuer = op.URL()
		c.HTTPClient = nil // the API is on a port of its own here
		c.APIURL = apiOf(t)
	})
	return l, op
}

// apiOf serves an API that wants a JWT and asks nobody about it.
func apiOf(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		if strings.Count(r.Header.Get("Authorization"), ".") != 2 {
			status = http.StatusUnauthorized
		}
		answer(w, status, map[string]any{"path": r.URL.Path})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestWithTheRealProvider(t *testing.T) {
	l, op := withProvider(t)
	b, person := l.browser(), providertest.NewBrowser(t)

	// Sign in.
	request := b.get("/login").Header.Get("Location")
	back := person.SignIn(request, "alice", "alice")
	if resp := b.callback(back.Query()); resp.StatusCode != http.StatusSeeOther {
		t.Fatal(text(resp))
	}
	type view struct{ Who map[string]string }
	if v := decode[view](t, b.get("/bff/session")); v.Who["preferred_username"] != "alice" || v.Who["name"] != "Alice Liddell" {
		t.Errorf("signed in as %v", v.Who)
	}
	wantPage(t, b.callback(back.Query()), 400, "state_unknown")

	// Call, renew, renew again with the rotated token, while down, and again.
	if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
		t.Error(text(resp))
	}
	for range 2 {
		if resp := b.send(http.MethodPost, "/bff/renew", ""); resp.StatusCode != http.StatusOK {
			t.Fatal(text(resp))
		}
	}
	op.SetDown(true)
	wantJSON(t, b.send(http.MethodPost, "/bff/renew", ""), 503, "provider_unavailable")
	op.SetDown(false)
	if resp := b.send(http.MethodPost, "/bff/renew", ""); resp.StatusCode != http.StatusOK {
		t.Fatal(text(resp))
	}

	// Sign out, also at the provider.
	out := decode[struct {
		Revoked   bool
		LogoutURL string `json:"logout_url"`
	}](t, b.send(http.MethodPost, "/logout", ""))
	if !out.Revoked {
		t.Error("the tokens were not revoked")
	}
	to := person.Get(out.LogoutURL).Callback
	if to == nil || to.Path != "/" {
		t.Fatalf("the provider sent the browser to %v", to)
	}
	if resp := b.get("/?" + to.RawQuery); resp.Header.Get("Location") != "/#signed-out" {
		t.Error(text(resp))
	}
	if page := person.Get(b.get("/login").Header.Get("Location")); page.Callback != nil {
		t.Errorf("the provider's session is alive: it answered without asking, at %s", page.Callback.Path)
	}
}
