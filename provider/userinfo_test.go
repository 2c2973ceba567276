package provider_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// userinfoRequest sends a request to /userinfo with form as its body.
func userinfoRequest(t *testing.T, op *providertest.Server, method string, form params, change func(*http.Request)) answer {
	t.Helper()
	if method == http.MethodPost {
		return postForm(t, op.URL()+"/userinfo", form, change)
	}
	return get(t, op.URL()+"/userinfo", change)
}

// TestUserInfoTakesTheToken: the ways of RFC 6750 §2.1 and §2.2, in both formats.
func TestUserInfoTakesTheToken(t *testing.T) {
	op := startWithMore(t)
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		token := tokensOf(t, op, client, "openid").text("access_token")
		tests := []struct {
			name, method string
			form         params
			change       func(*http.Request)
		}{
			{"GET, header", http.MethodGet, nil, bearer(token)},
			{"POST, header", http.MethodPost, nil, bearer(token)},
			{"POST, body", http.MethodPost, params{"access_token": token}, nil},
			{"scheme in lower case", http.MethodGet, nil, func(r *http.Request) { r.Header.Set("Authorization", "bearer "+token) }},
			{"POST, header, other parameters", http.MethodPost, params{"schema": "openid"}, bearer(token)},
		}
		for _, tt := range tests {
			t.Run(client+", "+tt.name, func(t *testing.T) {
				a := userinfoRequest(t, op, tt.method, tt.form, tt.change)
				want := map[string]any{"sub": provider.SeedUsers()[0].Claims["sub"]}
				if diff := cmp.Diff(want, a.Body); a.Status != http.StatusOK || diff != "" {
					t.Errorf("status %d, claims (-want +got):\n%s", a.Status, diff)
				}
				if got := a.Header.Get("Content-Type"); got != "application/json" {
					t.Errorf("Content-Type %q", got)
				}
				if got := a.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
			})
		}
	}
}

// claimsOfScope is OIDC Core §5.4, and "groups".
var claimsOfScope = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
	"groups":  {"groups"},
}

// TestUserInfoClaims: all claims of the scopes that were granted, and no others.
func TestUserInfoClaims(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, scope := range []string{
		"openid", "openid profile", "openid email", "openid address", "openid phone", "openid groups", "openid offline_access",
		"openid profile email address phone groups",
	} {
		t.Run(scope, func(t *testing.T) {
			token := tokensOf(t, op, providertest.PublicClient, scope).text("access_token")
			a := get(t, op.URL()+"/userinfo", bearer(token))
			if diff := cmp.Diff(expectedClaims(t, provider.SeedUsers()[0], scope), a.Body); a.Status != http.StatusOK || diff != "" {
				t.Errorf("status %d, claims (-want +got):\n%s", a.Status, diff)
			}
		})
	}
}

// expectedClaims are what a user's token of some scopes brings, as JSON has them.
func expectedClaims(t *testing.T, user provider.User, scope string) map[string]any {
	t.Helper()
	claims := map[string]any{"sub": user.Claims["sub"]}
	for scope := range strings.FieldsSeq(scope) {
		for _, name := range claimsOfScope[scope] {
			claims[name] = user.Claims[name]
			if name == "groups" {
				claims[name] = user.Groups
			}
		}
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// TestUserInfoLeavesOutWhatHasNoValue: OIDC Core §5.3.2.
func TestUserInfoLeavesOutWhatHasNoValue(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Users: []provider.User{{
		Username: "alice", Password: "alice",
		Claims: map[string]any{"sub": "1", "name": "Alice", "nickname": "", "website": nil, "email_verified": false, "salary": 1},
	}}})
	token := tokensOf(t, op, providertest.PublicClient, "openid profile email groups").text("access_token")
	want := map[string]any{"sub": "1", "name": "Alice", "email_verified": false}
	if diff := cmp.Diff(want, get(t, op.URL()+"/userinfo", bearer(token)).Body); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// TestUserInfoRefusesTheRequest: RFC 6750 §2, §3.1.
func TestUserInfoRefusesTheRequest(t *testing.T) {
	op := providertest.Start(t, nil)
	token := tokensOf(t, op, providertest.PublicClient, "openid").text("access_token")
	authorization := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	inQuery := func(change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.URL.RawQuery = "access_token=" + token
			if change != nil {
				change(r)
			}
		}
	}
	tests := []struct {
		name, method string
		form         params
		change       func(*http.Request)
		status       int
		code         string
	}{
		{"control", http.MethodGet, nil, bearer(token), 200, ""},
		{"no token", http.MethodGet, nil, nil, 401, ""},
		{"no token, POST", http.MethodPost, nil, nil, 401, ""},
		{"another scheme", http.MethodGet, nil, authorization("Basic " + token), 401, ""},
		{"token without a scheme", http.MethodGet, nil, authorization(token), 401, ""},
		{"scheme without a token", http.MethodGet, nil, authorization("Bearer"), 400, "invalid_request"},
		{"scheme and a space", http.MethodGet, nil, authorization("Bearer "), 400, "invalid_request"},
		{"two headers", http.MethodGet, nil, authorization("Bearer "+token, "Bearer "+token), 400, "invalid_request"},
		{"in the query", http.MethodGet, nil, inQuery(nil), 400, "invalid_request"},
		{"in the query and the header", http.MethodGet, nil, inQuery(bearer(token)), 400, "invalid_request"},
		{"in the query, POST", http.MethodPost, nil, inQuery(nil), 400, "invalid_request"},
		{"in the header and the body", http.MethodPost, params{"access_token": token}, bearer(token), 400, "invalid_request"},
		{"body of another type", http.MethodPost, params{"access_token": token}, func(r *http.Request) {
			r.Header.Set("Content-Type", "text/plain")
		}, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := userinfoRequest(t, op, tt.method, tt.form, tt.change)
			if tt.status == 200 {
				if a.Status != 200 {
					t.Fatalf("control: %d %s", a.Status, a.Raw)
				}
				return
			}
			wantChallenge(t, op, a, tt.status, tt.code)
		})
	}
}

// wantChallenge checks an error as RFC 6750 §3 has it. Without a code the
// challenge holds nothing but the realm.
func wantChallenge(t *testing.T, op *providertest.Server, a answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.text("error") != code {
		t.Errorf("answer: %d %s; want %d %q", a.Status, a.Raw, status, code)
	}
	challenge := a.Header.Get("WWW-Authenticate")
	bare := `Bearer realm="` + op.URL() + `"`
	if code == "" && challenge != bare {
		t.Errorf("challenge %q, want %q", challenge, bare)
	}
	if code != "" && !strings.HasPrefix(challenge, bare+`, error="`+code+`", error_description="`) {
		t.Errorf("challenge %q", challenge)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// TestUserInfoRefusesTheToken: what is no live access token of this provider is
// invalid_token, RFC 6750 §3.1.
func TestUserInfoRefusesTheToken(t *testing.T) {
	op, other := startWithMore(t), startWithMore(t)
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		tokens := tokensOf(t, op, client, "openid offline_access")
		token := tokens.text("access_token")
		revoked := tokensOf(t, op, client, "openid").text("access_token")
		if a := postForm(t, op.URL()+"/revoke", params{"token": revoked, "client_id": client}, nil); a.Status != http.StatusOK {
			t.Fatalf("revoke: %d %s", a.Status, a.Raw)
		}
		stale := tokensOf(t, op, client, "openid offline_access")
		postForm(t, op.URL()+"/revoke", params{"token": stale.text("refresh_token"), "client_id": client}, nil)
		last := strings.Count(token, ".")
		tests := []struct {
			name, token string
			status      int
		}{
			{"control", token, 200},
			{"of another provider", tokensOf(t, other, client, "openid").text("access_token"), 401},
			{"other content before a known signature", tamper(token, last-1), 401},
			{"another signature", tamper(token, last), 401},
			{"only the signature", token[strings.LastIndex(token, ".")+1:], 401},
			{"nothing before the signature", token[strings.LastIndex(token, "."):], 401},
			{"cut", token[:len(token)-2], 401},
			{"revoked", revoked, 401},
			{"of a revoked family", stale.text("access_token"), 401},
			{"a refresh token", tokens.text("refresh_token"), 401},
			{"an ID token", tokens.text("id_token"), 401},
			{"nonsense", "nonsense", 401},
			{"dots", "..", 401},
		}
		for _, tt := range tests {
			t.Run(client+", "+tt.name, func(t *testing.T) {
				a := get(t, op.URL()+"/userinfo", bearer(tt.token))
				if tt.status == 200 && a.Status == 200 {
					return
				}
				wantChallenge(t, op, a, tt.status, "invalid_token")
			})
		}
	}
}

// TestUserInfoKnowsNoUnsignedToken: "alg": "none", RFC 8725 §3.1.
func TestUserInfoKnowsNoUnsignedToken(t *testing.T) {
	op := providertest.Start(t, nil)
	parts := strings.Split(tokensOf(t, op, providertest.PublicClient, "openid").text("access_token"), ".")
	wantChallenge(t, op, get(t, op.URL()+"/userinfo", bearer(unsigned(parts[1], "at+jwt"))), 401, "invalid_token")
}

func TestUserInfoNeedsOpenID(t *testing.T) {
	op := startWithMore(t)
	plain := tokensOf(t, op, opaqueClient, "profile").text("access_token")
	wantChallenge(t, op, get(t, op.URL()+"/userinfo", bearer(plain)), 403, "insufficient_scope")
	machine := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, asWeb).text("access_token")
	wantChallenge(t, op, get(t, op.URL()+"/userinfo", bearer(machine)), 403, "insufficient_scope")
}

// TestUserInfoOfANarrowedToken: the token's own scopes count, not the grant's.
func TestUserInfoOfANarrowedToken(t *testing.T) {
	op := providertest.Start(t, nil)
	refresh := tokensOf(t, op, providertest.PublicClient, "openid profile email offline_access").text("refresh_token")
	narrowed := postForm(t, op.URL()+"/token", refreshRequest(refresh).with(params{"scope": "openid email"}), nil).text("access_token")
	want := expectedClaims(t, provider.SeedUsers()[0], "openid email")
	if diff := cmp.Diff(want, get(t, op.URL()+"/userinfo", bearer(narrowed)).Body); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// TestUserInfoOfARemovedUser: whoever is no longer in the configuration has no
// claims, and no token of theirs is good.
func TestUserInfoOfARemovedUser(t *testing.T) {
	op := providertest.Start(t, nil)
	token := tokensOf(t, op, providertest.PublicClient, "openid").text("access_token")
	if a := get(t, op.URL()+"/userinfo", bearer(token)); a.Status != http.StatusOK {
		t.Fatalf("control: %d %s", a.Status, a.Raw)
	}
	later := sameStore(t, op, providertest.DefaultClients(), provider.SeedUsers()[1:])
	a := later.answer(t, http.MethodGet, "/userinfo", nil, bearer(token))
	wantChallenge(t, op, a, 401, "invalid_token")
}

// TestUserInfoLifetimeIsTheClients: a client's own lifetimes come first.
func TestUserInfoLifetimeIsTheClients(t *testing.T) {
	for _, format := range []string{"jwt", "opaque"} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clients := providertest.DefaultClients()
				clients[0].AccessTokenFormat = format
				clients[0].Lifetimes = &provider.Lifetimes{AccessToken: provider.Duration(30 * time.Second)}
				op := serving(t, provider.Config{Clients: clients})
				token := op.token(t, redeem(op.code(t))).text("access_token")
				time.Sleep(29 * time.Second)
				if got := op.userinfo(t, token); got != http.StatusOK {
					t.Errorf("after 29 s: %d", got)
				}
				time.Sleep(time.Second)
				a := op.answer(t, http.MethodGet, "/userinfo", nil, bearer(token))
				if a.Status != http.StatusUnauthorized || a.text("error") != "invalid_token" || !strings.Contains(a.Raw, "expired") {
					t.Errorf("after 30 s: %d %s", a.Status, a.Raw)
				}
			})
		})
	}
}

func TestUserInfoStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	token := tokensOf(t, op, providertest.PublicClient, "openid").text("access_token")
	store.fail("AccessToken")
	wantUnavailable(t, get(t, op.URL()+"/userinfo", bearer(token)))
	store.repair()
	if a := get(t, op.URL()+"/userinfo", bearer(token)); a.Status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.Status, a.Raw)
	}
}
