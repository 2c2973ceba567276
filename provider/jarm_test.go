package provider_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// verified checks a JWT's signature against the published keys, as a relying
// party would, and returns its claims.
func verified(t *testing.T, op *providertest.Server, token, alg string) map[string]any {
	t.Helper()
	if got := headerOf(t, token)["alg"]; got != alg {
		t.Errorf("alg: %v, want %s", got, alg)
	}
	ctx := context.WithoutCancel(t.Context())
	payload, err := oidc.NewRemoteKeySet(ctx, op.URL()+"/jwks").VerifySignature(ctx, token)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// withSigning are the default clients with algorithms of their own.
func withSigning(userinfo, authorization string) []provider.Client {
	clients := providertest.DefaultClients()
	for i := range clients {
		clients[i].UserInfoSignedResponseAlg, clients[i].AuthorizationSignedResponseAlg = userinfo, authorization
	}
	return clients
}

// TestSignedUserInfo: OIDC Core §5.3.2.
func TestSignedUserInfo(t *testing.T) {
	for _, alg := range everyAlgorithm {
		t.Run(alg, func(t *testing.T) {
			op := providertest.Start(t, &providertest.Options{Clients: withSigning(alg, "")})
			a := get(t, op.URL()+"/userinfo", bearer(tokensFor(t, op, codeRequest()).text("access_token")))
			if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/jwt" || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d, %v", a.Status, a.Header)
			}
			claims := verified(t, op, a.Raw, alg)
			if claims["iss"] != op.URL() || claims["aud"] != providertest.PublicClient || claims["sub"] != "248289761001" || claims["email"] != "alice@example.com" {
				t.Errorf("claims: %v", claims)
			}
			if claims["nonce"] != nil {
				t.Error("a nonce belongs into ID tokens only")
			}
		})
	}
}

// TestSignedUserInfoIsNoHint: what is signed for one purpose serves no other
// (RFC 8725 §2.8).
func TestSignedUserInfoIsNoHint(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: withSigning("RS256", "")})
	info := get(t, op.URL()+"/userinfo", bearer(tokensFor(t, op, codeRequest()).text("access_token"))).Raw
	a := get(t, op.URL()+"/logout?"+url.Values{"id_token_hint": {info}}.Encode(), nil)
	if a.Status != http.StatusBadRequest || !strings.Contains(a.Raw, "invalid_request") {
		t.Errorf("userinfo as id_token_hint: %d", a.Status)
	}
}

// TestSignedResponses: each signed mode carries one JWT, where the mode says,
// with what the plain response would have had (JARM §2.1, §2.3).
func TestSignedResponses(t *testing.T) {
	for _, tt := range []struct{ mode, responseType, place, alg string }{
		{"jwt", "code", "query", ""},
		{"query.jwt", "code", "query", "ES256"},
		{"fragment.jwt", "code", "fragment", "EdDSA"},
		{"form_post.jwt", "code", "form_post", ""},
		{"jwt", "code id_token", "fragment", ""},
		{"jwt", "id_token token", "fragment", ""},
		{"form_post.jwt", "id_token", "form_post", ""},
	} {
		t.Run(tt.mode+" "+tt.responseType, func(t *testing.T) {
			op := providertest.Start(t, &providertest.Options{Clients: withSigning("", tt.alg)})
			request := codeRequest().with(params{"response_mode": tt.mode, "response_type": tt.responseType})
			got := signedResponse(t, op, request, tt.place)
			if len(got) != 1 {
				t.Errorf("parameters: %v; want response alone", keysOf(got))
			}
			alg := tt.alg
			if alg == "" {
				alg = "RS256"
			}
			claims := verified(t, op, got.Get("response"), alg)
			exp, _ := claims["exp"].(float64)
			if left := time.Until(time.Unix(int64(exp), 0)); left <= 0 || left > 10*time.Minute {
				t.Errorf("exp is %s away", left)
			}
			if claims["iss"] != op.URL() || claims["aud"] != providertest.PublicClient || claims["state"] != request["state"] {
				t.Errorf("claims: %v", claims)
			}
			for name := range strings.FieldsSeq(tt.responseType) {
				if name == "token" {
					name = "access_token"
				}
				if claims[name] == nil {
					t.Errorf("no %s", name)
				}
			}
		})
	}
}

// signedResponse signs alice in and returns the response's parameters, which
// must stand at place.
func signedResponse(t *testing.T, op *providertest.Server, request params, place string) url.Values {
	t.Helper()
	browser := providertest.NewBrowser(t)
	if place != "form_post" {
		return onlyIn(t, browser.SignIn(authorizeURL(op, request), "alice", "alice"), place)
	}
	page := browser.Get(authorizeURL(op, request))
	page = browser.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	page = browser.Submit(page, "allow", nil)
	if page.FormAction() != providertest.RedirectURI {
		t.Fatalf("no form for the client, but %d at %s", page.Status, page.URL.Path)
	}
	return url.Values{"response": {page.Field("response")}}
}

// TestSignedErrors: an error is signed like any response (JARM §2.1).
func TestSignedErrors(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, tt := range []struct {
		name   string
		change params
		place  string
		want   string
	}{
		{"prompt=none", params{"prompt": "none", "response_mode": "jwt"}, "query", "login_required"},
		{"hybrid", params{"prompt": "none", "response_mode": "jwt", "response_type": "code id_token"}, "fragment", "login_required"},
		{"a token in the query", params{"response_mode": "query.jwt", "response_type": "code id_token"}, "fragment", "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(tt.change)))
			if page.Callback == nil {
				t.Fatalf("no redirect but %d", page.Status)
			}
			claims := verified(t, op, onlyIn(t, page.Callback, tt.place).Get("response"), "RS256")
			if claims["error"] != tt.want || claims["state"] != "state-0123456789" || claims["iss"] != op.URL() {
				t.Errorf("claims: %v", claims)
			}
		})
	}
}

// TestUnknownSignedMode: what is not known cannot be signed by its rules.
func TestUnknownSignedMode(t *testing.T) {
	op := providertest.Start(t, nil)
	page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"response_mode": "pigeon.jwt"})))
	if page.Callback == nil || page.Callback.Query().Get("error") != "invalid_request" {
		t.Errorf("%d, %v; want a plain error", page.Status, page.Callback)
	}
}

// TestSignedResponseIsNoHint: see TestSignedUserInfoIsNoHint.
func TestSignedResponseIsNoHint(t *testing.T) {
	op := providertest.Start(t, nil)
	response := signedResponse(t, op, codeRequest().with(params{"response_mode": "jwt"}), "query").Get("response")
	a := get(t, op.URL()+"/logout?"+url.Values{"id_token_hint": {response}}.Encode(), nil)
	if a.Status != http.StatusBadRequest {
		t.Errorf("authorization response as id_token_hint: %d", a.Status)
	}
}
