package provider_test

import (
	"net/http"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

// revoke asks to revoke a token and checks the one answer that success has:
// 200 and nothing more (RFC 7009 §2.2).
func revoke(t *testing.T, op *providertest.Server, form params, auth func(*http.Request)) {
	t.Helper()
	a := postForm(t, op.URL()+"/revoke", form, auth)
	if a.Status != http.StatusOK || a.Raw != "" || a.Header.Get("Content-Length") != "0" {
		t.Errorf("revoke: %d %q, Content-Length %q", a.Status, a.Raw, a.Header.Get("Content-Length"))
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// alive reports which of alice's tokens at a public client still work. To look
// at the refresh token is to use it, so it comes last and the answer replaces it.
func alive(t *testing.T, op *providertest.Server, client string, tokens answer) (access, refresh bool) {
	t.Helper()
	access = get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))).Status == http.StatusOK
	request := refreshRequest(tokens.text("refresh_token")).with(params{"client_id": client})
	return access, postForm(t, op.URL()+"/token", request, nil).Status == http.StatusOK
}

// TestRevoke: a refresh token takes its family along, an access token only
// itself (RFC 7009 §2.1). The hint may be missing or wrong.
func TestRevoke(t *testing.T) {
	op := startWithMore(t)
	tests := []struct {
		name, token, hint string
		access, refresh   bool // what is alive afterwards
	}{
		{"control: nothing", "", "", true, true},
		{"refresh token", "refresh_token", "refresh_token", false, false},
		{"refresh token, no hint", "refresh_token", "", false, false},
		{"refresh token, wrong hint", "refresh_token", "access_token", false, false},
		{"access token", "access_token", "access_token", false, true},
		{"access token, no hint", "access_token", "", false, true},
		{"access token, unknown hint", "access_token", "unheard_of", false, true},
	}
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		for _, tt := range tests {
			t.Run(client+", "+tt.name, func(t *testing.T) {
				tokens := tokensOf(t, op, client, "openid offline_access")
				if tt.token != "" {
					form := params{"client_id": client}.with(params{"token": tokens.text(tt.token), "token_type_hint": tt.hint})
					revoke(t, op, form, nil)
					revoke(t, op, form, nil) // once more is as good
				}
				access, refresh := alive(t, op, client, tokens)
				if access != tt.access || refresh != tt.refresh {
					t.Errorf("alive: access token %v, refresh token %v; want %v, %v", access, refresh, tt.access, tt.refresh)
				}
			})
		}
	}
}

// TestRevokeEndsEveryTokenOfTheFamily: those of earlier and later refreshes too.
func TestRevokeEndsEveryTokenOfTheFamily(t *testing.T) {
	op := startWithMore(t)
	for _, spent := range []bool{false, true} {
		name := map[bool]string{false: "by the newest refresh token", true: "by a spent refresh token"}[spent]
		t.Run(name, func(t *testing.T) {
			first := tokensOf(t, op, providertest.PublicClient, "openid offline_access")
			second := postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")), nil)
			other := tokensOf(t, op, providertest.PublicClient, "openid offline_access")
			token := second.text("refresh_token")
			if spent {
				token = first.text("refresh_token")
			}
			revoke(t, op, params{"token": token, "client_id": providertest.PublicClient}, nil)
			if access := get(t, op.URL()+"/userinfo", bearer(first.text("access_token"))).Status; access != http.StatusUnauthorized {
				t.Errorf("the first access token: %d", access)
			}
			if access, refresh := alive(t, op, providertest.PublicClient, second); access || refresh {
				t.Errorf("alive: access token %v, refresh token %v", access, refresh)
			}
			if access, refresh := alive(t, op, providertest.PublicClient, other); !access || !refresh {
				t.Errorf("another family, alive: access token %v, refresh token %v", access, refresh)
			}
		})
	}
}

// TestRevokeUnknown: a token that is no good is as good as revoked, RFC 7009 §2.2.
func TestRevokeUnknown(t *testing.T) {
	op, other := startWithMore(t), startWithMore(t)
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	for name, token := range map[string]string{
		"nonsense":                               "nonsense",
		"two dots":                               "..",
		"of another provider":                    tokensOf(t, other, providertest.ConfidentialClient, "openid").text("access_token"),
		"ID token":                               tokens.text("id_token"),
		"other content before a known signature": tamper(tokens.text("access_token"), 1),
		"refresh token with another key part":    tamper(tokens.text("refresh_token"), 0),
	} {
		t.Run(name, func(t *testing.T) {
			revoke(t, op, params{"token": token}, asWeb)
			for _, kind := range []string{"access_token", "refresh_token"} {
				if a := introspect(t, op, tokens.text(kind), asWeb); a.Body["active"] != true {
					t.Errorf("%s: %s", kind, a.Raw)
				}
			}
		})
	}
}

// TestRevokeForeignToken: the token of another client is refused and lives on.
func TestRevokeForeignToken(t *testing.T) {
	op := startWithMore(t)
	spa := tokensOf(t, op, providertest.PublicClient, "openid offline_access")
	for _, kind := range []string{"access_token", "refresh_token"} {
		t.Run(kind, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/revoke", params{"token": spa.text(kind)}, asWeb), 400, "unauthorized_client")
		})
	}
	if access, refresh := alive(t, op, providertest.PublicClient, spa); !access || !refresh {
		t.Errorf("alive: access token %v, refresh token %v", access, refresh)
	}
	// The refresh token is spent now. That gives nobody else power over its family.
	wantError(t, postForm(t, op.URL()+"/revoke", params{"token": spa.text("refresh_token")}, asWeb), 400, "unauthorized_client")
	if a := get(t, op.URL()+"/userinfo", bearer(spa.text("access_token"))); a.Status != http.StatusOK {
		t.Errorf("userinfo afterwards: %d %s", a.Status, a.Raw)
	}
}

// TestRevokeRefusesTheRequest: RFC 7009 §2.1, §2.2.1.
func TestRevokeRefusesTheRequest(t *testing.T) {
	op := startWithMore(t)
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	token := tokens.text("access_token")
	tests := []struct {
		name   string
		form   params
		auth   func(*http.Request)
		status int
		code   string
	}{
		{"token missing", params{"token_type_hint": "access_token"}, asWeb, 400, "invalid_request"},
		{"token empty", params{"token": ""}, asWeb, 400, "invalid_request"},
		{"nobody asks", params{"token": token}, nil, 401, "invalid_client"},
		{"a confidential client without its secret", params{"token": token, "client_id": "web"}, nil, 401, "invalid_client"},
		{"wrong secret", params{"token": token}, func(r *http.Request) { r.SetBasicAuth("web", "guess") }, 401, "invalid_client"},
		{"unknown client", params{"token": token, "client_id": "nobody"}, nil, 401, "invalid_client"},
		{"another client's id in the body", params{"token": token, "client_id": "spa"}, asWeb, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := postForm(t, op.URL()+"/revoke", tt.form, tt.auth)
			wantError(t, a, tt.status, tt.code)
			if got := a.Header.Get("WWW-Authenticate"); (got != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if a := introspect(t, op, token, asWeb); a.Body["active"] != true {
				t.Errorf("the token is dead: %s", a.Raw)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		revoke(t, op, params{"token": token}, asWeb)
		wantInactive(t, introspect(t, op, token, asWeb))
	})
}

// TestRevokeStoreFailure: the client learns that the token lives on (RFC 7009
// §2.2.1). fosite would answer 200.
func TestRevokeStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{Clients: moreClients()})
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	for _, tt := range []struct{ kind, method string }{
		{"access_token", "AccessToken"},
		{"refresh_token", "RefreshToken"},
		{"access_token", "Commit"},
		{"refresh_token", "Commit"},
	} {
		t.Run(tt.kind+", "+tt.method+" fails", func(t *testing.T) {
			store.fail(tt.method)
			wantUnavailable(t, postForm(t, op.URL()+"/revoke", params{"token": tokens.text(tt.kind)}, asWeb))
			store.repair()
			if a := introspect(t, op, tokens.text(tt.kind), asWeb); a.Body["active"] != true {
				t.Errorf("the token is dead: %s", a.Raw)
			}
		})
	}
	revoke(t, op, params{"token": tokens.text("refresh_token")}, asWeb)
	wantInactive(t, introspect(t, op, tokens.text("access_token"), asWeb))
}
