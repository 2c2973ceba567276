package provider_test

import (
	"encoding/base64"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

func introspect(t *testing.T, op *providertest.Server, token string, auth func(*http.Request)) answer {
	t.Helper()
	return postForm(t, op.URL()+"/introspect", params{"token": token}, auth)
}

// wantInactive checks that an answer says "inactive" and nothing more, RFC 7662 §2.2.
func wantInactive(t *testing.T, a answer) {
	t.Helper()
	if a.Status != http.StatusOK || a.Raw != `{"active":false}` {
		t.Errorf("answer: %d %s", a.Status, a.Raw)
	}
}

// TestIntrospectDescribes: exactly the members of RFC 7662 §2.2 that apply.
func TestIntrospectDescribes(t *testing.T) {
	op := startWithMore(t)
	web := tokensOf(t, op, providertest.ConfidentialClient, "openid email offline_access")
	opaque := tokensOf(t, op, opaqueClient, "openid")
	machine := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, asWeb).text("access_token")
	alice := provider.SeedUsers()[0].Claims["sub"]
	jwtClaims, machineClaims := claimsOf(t, web.text("access_token")), claimsOf(t, machine)
	tests := []struct {
		name, token string
		auth        func(*http.Request)
		want        map[string]any
	}{
		{"JWT, by the client that holds it", web.text("access_token"), asWeb, map[string]any{
			"active": true, "iss": op.URL(), "client_id": "web", "sub": alice, "username": "alice", "token_type": "Bearer",
			"scope": "openid email offline_access", "aud": []any{op.URL()},
			"iat": jwtClaims["iat"], "exp": jwtClaims["exp"], "jti": jwtClaims["jti"],
		}},
		{"opaque, by the resource server it is for", opaque.text("access_token"), asResourceServer, map[string]any{
			"active": true, "iss": op.URL(), "client_id": "opaque", "sub": alice, "username": "alice", "token_type": "Bearer",
			"scope": "openid", "aud": []any{resourceAudience},
		}},
		{"refresh token", web.text("refresh_token"), asWeb, map[string]any{
			"active": true, "iss": op.URL(), "client_id": "web", "sub": alice, "username": "alice",
			"scope": "openid email offline_access",
		}},
		{"of a client for itself", machine, asWeb, map[string]any{
			"active": true, "iss": op.URL(), "client_id": "web", "sub": "web", "token_type": "Bearer",
			"aud": []any{op.URL()},
			"iat": machineClaims["iat"], "exp": machineClaims["exp"], "jti": machineClaims["jti"],
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := introspect(t, op, tt.token, tt.auth)
			if tt.want["iat"] == nil { // not a JWT: the times stand nowhere else
				wantFresh(t, a)
				tt.want["iat"], tt.want["exp"] = a.Body["iat"], a.Body["exp"]
			}
			if diff := cmp.Diff(tt.want, a.Body); a.Status != http.StatusOK || diff != "" {
				t.Errorf("status %d, members (-want +got):\n%s", a.Status, diff)
			}
			if got := a.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q", got)
			}
		})
	}
}

// wantFresh checks that a token was issued just now and expires later.
func wantFresh(t *testing.T, a answer) {
	t.Helper()
	iat, _ := a.Body["iat"].(float64)
	exp, _ := a.Body["exp"].(float64)
	if age := time.Since(time.Unix(int64(iat), 0)); age < 0 || age > time.Minute || exp <= iat {
		t.Errorf("iat %v, exp %v", a.Body["iat"], a.Body["exp"])
	}
}

// TestIntrospectRefreshTokenHasItsOwnExpiry: fosite would tell the access token's.
func TestIntrospectRefreshTokenHasItsOwnExpiry(t *testing.T) {
	op := startWithMore(t)
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	for name, want := range map[string]time.Duration{"access_token": 10 * time.Minute, "refresh_token": 24 * time.Hour} {
		a := introspect(t, op, tokens.text(name), asWeb)
		iat, _ := a.Body["iat"].(float64)
		exp, _ := a.Body["exp"].(float64)
		if got := time.Duration(exp-iat) * time.Second; got < want-time.Second || got > want+time.Second {
			t.Errorf("%s lives %v, want %v", name, got, want)
		}
	}
}

// TestIntrospectHint: token_type_hint may be wrong, RFC 7662 §2.1.
func TestIntrospectHint(t *testing.T) {
	op := startWithMore(t)
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	for _, name := range []string{"access_token", "refresh_token"} {
		for _, hint := range []string{"access_token", "refresh_token", "unheard_of"} {
			a := postForm(t, op.URL()+"/introspect", params{"token": tokens.text(name), "token_type_hint": hint}, asWeb)
			if a.Body["active"] != true {
				t.Errorf("%s with hint %s: %d %s", name, hint, a.Status, a.Raw)
			}
		}
	}
}

// TestIntrospectInactive: what is no good, or none of the caller's business,
// looks the same.
func TestIntrospectInactive(t *testing.T) {
	op, other := startWithMore(t), startWithMore(t)
	web := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	token, refresh := web.text("access_token"), web.text("refresh_token")
	spa := tokensOf(t, op, providertest.PublicClient, "openid offline_access")
	opaque := tokensOf(t, op, opaqueClient, "openid offline_access")
	tests := []struct {
		name, token string
		auth        func(*http.Request)
		active      bool
	}{
		{"control: own access token", token, asWeb, true},
		{"control: own refresh token", refresh, asWeb, true},
		{"control: for the resource server", opaque.text("access_token"), asResourceServer, true},
		{"another client's access token", spa.text("access_token"), asWeb, false},
		{"another client's refresh token", spa.text("refresh_token"), asWeb, false},
		{"access token for another resource", token, asResourceServer, false},
		{"refresh token, asked by the resource server", opaque.text("refresh_token"), asResourceServer, false},
		{"of another provider", tokensOf(t, other, providertest.ConfidentialClient, "openid").text("access_token"), asWeb, false},
		{"other content before a known signature", tamper(token, 1), asWeb, false},
		{"refresh token with another key part", tamper(refresh, 0), asWeb, false},
		{"ID token", web.text("id_token"), asWeb, false},
		{"nonsense", "nonsense", asWeb, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := introspect(t, op, tt.token, tt.auth)
			if tt.active {
				if a.Body["active"] != true {
					t.Errorf("%d %s", a.Status, a.Raw)
				}
				return
			}
			wantInactive(t, a)
		})
	}
}

// TestIntrospectDeadTokens: each was alive before.
func TestIntrospectDeadTokens(t *testing.T) {
	op := startWithMore(t)
	tests := []struct {
		name, kind string
		kill       func(t *testing.T, tokens answer)
	}{
		{"revoked access token", "access_token", func(t *testing.T, tokens answer) {
			t.Helper()
			postForm(t, op.URL()+"/revoke", params{"token": tokens.text("access_token")}, asWeb)
		}},
		{"revoked refresh token", "refresh_token", func(t *testing.T, tokens answer) {
			t.Helper()
			postForm(t, op.URL()+"/revoke", params{"token": tokens.text("refresh_token")}, asWeb)
		}},
		{"access token of a revoked family", "access_token", func(t *testing.T, tokens answer) {
			t.Helper()
			postForm(t, op.URL()+"/revoke", params{"token": tokens.text("refresh_token")}, asWeb)
		}},
		{"used refresh token", "refresh_token", func(t *testing.T, tokens answer) {
			t.Helper()
			request := refreshRequest(tokens.text("refresh_token")).with(params{"client_id": ""})
			if a := postForm(t, op.URL()+"/token", request, asWeb); a.Status != http.StatusOK {
				t.Fatalf("refresh: %d %s", a.Status, a.Raw)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
			if a := introspect(t, op, tokens.text(tt.kind), asWeb); a.Body["active"] != true {
				t.Fatalf("before: %d %s", a.Status, a.Raw)
			}
			tt.kill(t, tokens)
			wantInactive(t, introspect(t, op, tokens.text(tt.kind), asWeb))
		})
	}
}

func TestIntrospectExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := moreClients()
		clients[1].Lifetimes = &provider.Lifetimes{AccessToken: provider.Duration(time.Minute), RefreshToken: provider.Duration(2 * time.Minute)}
		op := serving(t, provider.Config{Clients: clients})
		code := op.authorize(t, webRequest()).Get("code")
		tokens := op.answer(t, http.MethodPost, "/token", redeem(code).with(params{"client_id": "", "code_verifier": ""}).values(), asWeb)
		for _, step := range []struct {
			kind   string
			active bool
		}{{"access_token", true}, {"access_token", false}, {"refresh_token", false}} {
			a := op.answer(t, http.MethodPost, "/introspect", params{"token": tokens.text(step.kind)}.values(), asWeb)
			if step.active != (a.Body["active"] == true) {
				t.Errorf("%s: %d %s, want active %v", step.kind, a.Status, a.Raw, step.active)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestIntrospectOfARemovedUser: no token of theirs is good.
func TestIntrospectOfARemovedUser(t *testing.T) {
	op := startWithMore(t)
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	machine := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, asWeb).text("access_token")
	later := sameStore(t, op, moreClients(), provider.SeedUsers()[1:])
	for _, kind := range []string{"access_token", "refresh_token"} {
		a := later.answer(t, http.MethodPost, "/introspect", params{"token": tokens.text(kind)}.values(), asWeb)
		t.Run(kind, func(t *testing.T) { wantInactive(t, a) })
	}
	if a := later.answer(t, http.MethodPost, "/introspect", params{"token": machine}.values(), asWeb); a.Body["active"] != true {
		t.Errorf("a client's own token: %d %s", a.Status, a.Raw)
	}
}

// TestIntrospectRefusesTheRequest: RFC 7662 §2.1, §2.3.
func TestIntrospectRefusesTheRequest(t *testing.T) {
	op := startWithMore(t)
	token := tokensOf(t, op, providertest.ConfidentialClient, "openid").text("access_token")
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	tests := []struct {
		name   string
		form   params
		auth   func(*http.Request)
		status int
		code   string
	}{
		{"control", params{"token": token}, asWeb, 200, ""},
		{"token missing", params{}, asWeb, 400, "invalid_request"},
		{"token empty", params{"token": "", "token_type_hint": "access_token"}, asWeb, 400, "invalid_request"},
		{"nobody asks", params{"token": token}, nil, 401, "invalid_client"},
		{"a public client asks", params{"token": token, "client_id": "spa"}, nil, 401, "invalid_client"},
		{"wrong secret", params{"token": token}, basic("web", "guess"), 401, "invalid_client"},
		{"empty secret", params{"token": token}, basic("web", ""), 401, "invalid_client"},
		{"unknown client", params{"token": token}, basic("nobody", "guess"), 401, "invalid_client"},
		{"secret in the body", params{"token": token, "client_id": "web", "client_secret": providertest.ConfidentialSecret}, nil, 401, "invalid_client"},
		{"only the id in the body", params{"token": token, "client_id": "web"}, nil, 401, "invalid_client"},
		{"an access token as credential", params{"token": token}, bearer(token), 401, "invalid_client"},
		{"broken Basic credentials", params{"token": token}, func(r *http.Request) {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("no colon")))
		}, 401, "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := postForm(t, op.URL()+"/introspect", tt.form, tt.auth)
			if tt.status == 200 {
				if a.Body["active"] != true {
					t.Fatalf("control: %d %s", a.Status, a.Raw)
				}
				return
			}
			wantError(t, a, tt.status, tt.code)
			challenge := a.Header.Get("WWW-Authenticate")
			want := `Basic realm="` + op.URL() + `", error="` + a.text("error") + `", error_description="` + a.text("error_description") + `"`
			if tt.status == 401 && challenge != want {
				t.Errorf("WWW-Authenticate %q, want %q", challenge, want)
			}
		})
	}
}

func TestIntrospectStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{Clients: moreClients()})
	tokens := tokensOf(t, op, providertest.ConfidentialClient, "openid offline_access")
	for _, tt := range []struct{ kind, method string }{{"access_token", "AccessToken"}, {"refresh_token", "RefreshToken"}} {
		t.Run(tt.kind, func(t *testing.T) {
			store.fail(tt.method)
			defer store.repair()
			wantUnavailable(t, introspect(t, op, tokens.text(tt.kind), asWeb))
		})
	}
}

// TestIntrospectWithoutTheClientsRecord: that the store does not say whose a token is does
// not make it dead.
func TestIntrospectWithoutTheClientsRecord(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{Clients: moreClients()})
	id := registered(t, op, publicDocument()).text("client_id")
	code := signIn(t, op, codeRequest().with(params{"client_id": id, "scope": "openid offline_access", "prompt": "consent"})).Get("code")
	tokens := postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": id}), nil)
	for _, kind := range []string{"access_token", "refresh_token"} {
		store.fail("Client")
		wantUnavailable(t, introspect(t, op, tokens.text(kind), asWeb))
		store.repair()
	}
}
