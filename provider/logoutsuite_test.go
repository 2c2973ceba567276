package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

// TestRPInitiatedLogoutModules has the modules of the OpenID Foundation's plan
// "RP initiated logout", by their names without oidcc-rp-initiated-logout-.
// Where the user is asked, the user says yes.
func TestRPInitiatedLogoutModules(t *testing.T) {
	const back = providertest.PostLogoutRedirectURI
	op := providertest.Start(t, nil)
	state := strings.Repeat("aZ9-._~x", 16)
	without := func(names ...string) func(p params) params {
		return func(p params) params {
			for _, name := range names {
				p = p.with(params{name: ""})
			}
			return p
		}
	}
	tests := []struct {
		module  string
		request func(complete params) params
		// returns is where the browser must go; "": to the client never.
		returns, says string
		signedOut     bool
	}{
		{"", without(), back + "?state=" + state, "", true},
		{"no-state", without("state"), back, "", true},
		{"bad-post-logout-redirect-uri", func(p params) params {
			return p.with(params{"post_logout_redirect_uri": "http://rp.localhost:1/bad"})
		}, "", "invalid_request", false},
		{"query-added-to-post-logout-redirect-uri", func(p params) params {
			return p.with(params{"post_logout_redirect_uri": back + "?foo=bar"})
		}, "", "invalid_request", false},
		{"modified-id-token-hint", func(p params) params {
			return p.with(params{"id_token_hint": unsigned(strings.Split(p["id_token_hint"], ".")[1], "JWT")})
		}, "", "invalid_request", false},
		{"bad-id-token-hint", func(p params) params {
			return p.with(params{"id_token_hint": signedBy(t, foreignKey(t), claimsOf(t, p["id_token_hint"]))})
		}, "", "invalid_request", false},
		{"no-id-token-hint", without("id_token_hint"), "", "invalid_request", false},
		{"no-params", without("id_token_hint", "post_logout_redirect_uri", "state"), "", "signed out", true},
		{"only-state", without("id_token_hint", "post_logout_redirect_uri"), "", "signed out", true},
		{"no-post-logout-redirect-uri", without("post_logout_redirect_uri"), "", "signed out", true},
	}
	for _, tt := range tests {
		t.Run("rp-initiated-logout/"+tt.module, func(t *testing.T) {
			b, idToken := signedIn(t, op)
			page := b.Get(logoutURL(op, tt.request(goodLogout(idToken).with(params{"state": state}))))
			if strings.Contains(page.Body, "logout-yes") {
				wantSession(t, op, b, true)
				page = b.Submit(page, "logout-yes", nil)
			}
			switch {
			case tt.returns == "":
				if page.Callback != nil || !strings.Contains(page.Body, tt.says) {
					t.Errorf("%d to %v, not a page that says %q:\n%s", page.Status, page.Callback, tt.says, page.Body)
				}
			case page.Callback == nil || page.Callback.String() != tt.returns:
				t.Errorf("%d to %v, not to %s", page.Status, page.Callback, tt.returns)
			}
			if want := map[string]int{"invalid_request": http.StatusBadRequest, "signed out": http.StatusOK}[tt.says]; want != 0 && page.Status != want {
				t.Errorf("status %d, want %d", page.Status, want)
			}
			wantSession(t, op, b, !tt.signedOut)
		})
	}
}
