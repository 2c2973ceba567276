package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider/providertest"
)

// tokenRequest sends a token request with a new proof by key; without, if it has
// no key.
func tokenRequest(t *testing.T, op *providertest.Server, key dpopKey, p params, auth func(*http.Request)) answer {
	t.Helper()
	change := auth
	if key.key != nil {
		change = withProof(key.proof(t, http.MethodPost, op.URL()+"/token", "", nil))
		if auth != nil {
			change = both(change, auth)
		}
	}
	return postForm(t, op.URL()+"/token", p, change)
}

// TestCodeIsBoundByItsThumbprint: RFC 9449 §10. What is refused leaves the code
// as it is.
func TestCodeIsBoundByItsThumbprint(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	code := signIn(t, op, codeRequest().with(params{"dpop_jkt": key.thumbprint(t)})).Get("code")
	for name, wrong := range map[string]dpopKey{"no proof": {}, "another key": newDPoPKey(t)} {
		t.Run(name, func(t *testing.T) {
			a := tokenRequest(t, op, wrong, redeem(code), nil)
			wantError(t, a, 400, "invalid_grant")
			if !strings.Contains(a.Raw, "The code is bound to a key") {
				t.Errorf("answer %s", a.Raw)
			}
		})
	}
	wantBound(t, tokenRequest(t, op, key, redeem(code), nil), key)
}

// TestUnboundCodeTakesAnyKey: the key may first be seen at the token endpoint.
func TestUnboundCodeTakesAnyKey(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	wantBound(t, tokenRequest(t, op, key, redeem(signIn(t, op, codeRequest()).Get("code")), nil), key)
}

// TestReuseOfABoundCode: a code that comes back ends its tokens, whoever sends it.
func TestReuseOfABoundCode(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	code := signIn(t, op, codeRequest().with(params{"dpop_jkt": key.thumbprint(t)})).Get("code")
	tokens := tokenRequest(t, op, key, redeem(code), nil)
	wantError(t, tokenRequest(t, op, newDPoPKey(t), redeem(code), nil), 400, "invalid_grant")
	wantError(t, tokenRequest(t, op, key, refreshRequest(tokens.text("refresh_token")), nil), 400, "invalid_grant")
}

func TestMalformedThumbprint(t *testing.T) {
	op := providertest.Start(t, nil)
	good := newDPoPKey(t).thumbprint(t)
	for name, jkt := range map[string]string{
		"short": good[1:], "long": good + "A", "padded": good + "=", "base64, not base64url": strings.Repeat("+", 43), "hex": strings.Repeat("ab", 32),
	} {
		t.Run(name, func(t *testing.T) {
			callback := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"dpop_jkt": jkt}))).Callback
			if callback == nil || callback.Query().Get("error") != "invalid_request" {
				t.Errorf("answer: %v", callback)
			}
		})
	}
}

// TestFrontChannelTokenIsABearerToken: no proof comes to the authorization
// endpoint, so what it issues is not bound; the code that comes with it is.
func TestFrontChannelTokenIsABearerToken(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	got := signIn(t, op, codeRequest().with(params{"response_type": "code token", "dpop_jkt": key.thumbprint(t)}))
	if got.Get("token_type") != "Bearer" || claimsOf(t, got.Get("access_token"))["cnf"] != nil {
		t.Errorf("response %v", got)
	}
	if a := get(t, op.URL()+"/userinfo", bearer(got.Get("access_token"))); a.Status != http.StatusOK {
		t.Errorf("userinfo: %d %s", a.Status, a.Raw)
	}
	wantError(t, tokenRequest(t, op, dpopKey{}, redeem(got.Get("code")), nil), 400, "invalid_grant")
	wantBound(t, tokenRequest(t, op, key, redeem(got.Get("code")), nil), key)
}

// TestRefreshTokenOfAPublicClientIsBound: RFC 9449 §5. What is refused leaves the
// refresh token as it is.
func TestRefreshTokenOfAPublicClientIsBound(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	tokens := tokenRequest(t, op, key, redeem(signIn(t, op, codeRequest()).Get("code")), nil)
	for range 3 {
		refresh := refreshRequest(tokens.text("refresh_token"))
		for _, wrong := range []dpopKey{{}, newDPoPKey(t)} {
			a := tokenRequest(t, op, wrong, refresh, nil)
			wantError(t, a, 400, "invalid_grant")
			if !strings.Contains(a.Raw, "The refresh token is bound to a key") {
				t.Errorf("answer %s", a.Raw)
			}
		}
		tokens = tokenRequest(t, op, key, refresh, nil)
		wantBound(t, tokens, key)
	}
}

// TestRefreshTokenIsBoundLater: a public client may begin with DPoP at a refresh.
func TestRefreshTokenIsBoundLater(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	tokens := tokensFor(t, op, codeRequest())
	tokens = tokenRequest(t, op, key, refreshRequest(tokens.text("refresh_token")), nil)
	wantBound(t, tokens, key)
	wantError(t, tokenRequest(t, op, dpopKey{}, refreshRequest(tokens.text("refresh_token")), nil), 400, "invalid_grant")
}

// TestRefreshTokenOfAConfidentialClientIsNotBound: it is bound to the client,
// which may change its key (RFC 9449 §5).
func TestRefreshTokenOfAConfidentialClientIsNotBound(t *testing.T) {
	op := providertest.Start(t, nil)
	key, next := newDPoPKey(t), newDPoPKey(t)
	grant := params{"grant_type": "authorization_code", "code": signIn(t, op, webRequest()).Get("code"), "redirect_uri": providertest.RedirectURI}
	tokens := tokenRequest(t, op, key, grant, asWeb)
	wantBound(t, tokens, key)
	refresh := func(key dpopKey) answer {
		return tokenRequest(t, op, key, params{"grant_type": "refresh_token", "refresh_token": tokens.text("refresh_token")}, asWeb)
	}
	tokens = refresh(next)
	wantBound(t, tokens, next)
	if tokens = refresh(dpopKey{}); tokens.text("token_type") != "Bearer" {
		t.Errorf("without a proof: %d %s", tokens.Status, tokens.Raw)
	}
}

// TestClientWithBoundAccessTokens: a client that registered so gets no token
// without a proof, by no grant. RFC 9449 §5.2.
func TestClientWithBoundAccessTokens(t *testing.T) {
	clients := providertest.DefaultClients()
	for i := range clients {
		clients[i].DPoPBoundAccessTokens, clients[i].ResponseTypes = true, []string{"code"}
	}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	key := newDPoPKey(t)
	none := func(p params, auth func(*http.Request)) {
		t.Helper()
		a := tokenRequest(t, op, dpopKey{}, p, auth)
		wantError(t, a, 400, "invalid_dpop_proof")
		if !strings.Contains(a.Raw, "dpop_bound_access_tokens") {
			t.Errorf("answer %s", a.Raw)
		}
	}
	none(machine, asWeb)
	wantBound(t, tokenRequest(t, op, key, machine, asWeb), key)

	grant := params{"grant_type": "authorization_code", "code": signIn(t, op, webRequest()).Get("code"), "redirect_uri": providertest.RedirectURI}
	none(grant, asWeb)
	tokens := tokenRequest(t, op, key, grant, asWeb)
	wantBound(t, tokens, key)

	refresh := params{"grant_type": "refresh_token", "refresh_token": tokens.text("refresh_token")}
	none(refresh, asWeb)
	wantBound(t, tokenRequest(t, op, key, refresh, asWeb), key)

	code := signIn(t, op, codeRequest()).Get("code")
	none(redeem(code), nil)
	wantBound(t, tokenRequest(t, op, key, redeem(code), nil), key)
}

// TestIntrospectionOfABoundToken: RFC 9449 §6.2, in both formats.
func TestIntrospectionOfABoundToken(t *testing.T) {
	clients := moreClients()
	clients[0].Audience = []string{resourceAudience}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	key := newDPoPKey(t)
	for _, client := range []string{providertest.PublicClient, opaqueClient} {
		code := signIn(t, op, codeRequest().with(params{"client_id": client})).Get("code")
		tokens := tokenRequest(t, op, key, redeem(code).with(params{"client_id": client}), nil)
		a := postForm(t, op.URL()+"/introspect", params{"token": tokens.text("access_token")}, asResourceServer)
		cnf, _ := a.Body["cnf"].(map[string]any)
		if a.Body["active"] != true || a.text("token_type") != "DPoP" || cnf["jkt"] != key.thumbprint(t) {
			t.Errorf("%s: %s", client, a.Raw)
		}
	}
	unbound := tokensFor(t, op, codeRequest())
	a := postForm(t, op.URL()+"/introspect", params{"token": unbound.text("access_token")}, asResourceServer)
	if a.text("token_type") != "Bearer" || a.Body["cnf"] != nil {
		t.Errorf("a bearer token: %s", a.Raw)
	}
}

// TestRegistrationOfBoundAccessTokens: RFC 9449 §5.2 by RFC 7591.
func TestRegistrationOfBoundAccessTokens(t *testing.T) {
	op := providertest.Start(t, nil)
	key := newDPoPKey(t)
	made := registered(t, op, map[string]any{
		"redirect_uris": []string{providertest.RedirectURI}, "token_endpoint_auth_method": "none", "dpop_bound_access_tokens": true,
	})
	if made.Body["dpop_bound_access_tokens"] != true {
		t.Errorf("registration: %d %s", made.Status, made.Raw)
	}
	client := params{"client_id": made.text("client_id")}
	code := signIn(t, op, codeRequest().with(client)).Get("code")
	wantError(t, tokenRequest(t, op, dpopKey{}, redeem(code).with(client), nil), 400, "invalid_dpop_proof")
	wantBound(t, tokenRequest(t, op, key, redeem(code).with(client), nil), key)

	a := register(t, op, map[string]any{
		"redirect_uris": []string{providertest.RedirectURI}, "grant_types": []string{"authorization_code", "implicit"},
		"response_types": []string{"code token"}, "dpop_bound_access_tokens": true,
	})
	wantError(t, a, 400, "invalid_client_metadata")
}

// TestDeviceTokensAreBound: the device grant (RFC 8628) goes the same way.
func TestDeviceTokensAreBound(t *testing.T) {
	op := startWithDevice(t)
	key := newDPoPKey(t)
	begun := beginDevice(t, op, "openid offline_access")
	wantError(t, tokenRequest(t, op, key, pollRequest(begun), nil), 400, "authorization_pending")
	decide(t, begun, "allow")
	tokens := tokenRequest(t, op, key, pollRequest(begun), nil)
	wantBound(t, tokens, key)
	refresh := refreshRequest(tokens.text("refresh_token")).with(params{"client_id": deviceClient})
	wantError(t, tokenRequest(t, op, newDPoPKey(t), refresh, nil), 400, "invalid_grant")
	wantBound(t, tokenRequest(t, op, key, refresh, nil), key)
}

// TestRequestObjectBindsTheCode: dpop_jkt in a request object is stronger than
// one beside it, also when the object is pushed.
func TestRequestObjectBindsTheCode(t *testing.T) {
	op := startWithObjects(t)
	key, other := newDPoPKey(t), newDPoPKey(t)
	raw := object(t, jose.ES256, objectMembers(op, objectClient).with(members{"dpop_jkt": key.thumbprint(t)}))
	request := byValue(objectClient, raw)
	for name, p := range map[string]params{
		"by value":            request,
		"beside another":      request.with(params{"dpop_jkt": other.thumbprint(t)}),
		"pushed":              pushed(objectClient, push(t, op, request, nil)),
		"pushed with a proof": pushed(objectClient, push(t, op, request, withProof(key.proof(t, http.MethodPost, op.URL()+"/par", "", nil)))),
	} {
		t.Run(name, func(t *testing.T) {
			code := redeem(signIn(t, op, p).Get("code")).with(params{"client_id": objectClient})
			wantError(t, tokenRequest(t, op, dpopKey{}, code, nil), 400, "invalid_grant")
			wantError(t, tokenRequest(t, op, other, code, nil), 400, "invalid_grant")
			wantBound(t, tokenRequest(t, op, key, code, nil), key)
		})
	}
	a := postForm(t, op.URL()+"/par", request, withProof(other.proof(t, http.MethodPost, op.URL()+"/par", "", nil)))
	wantError(t, a, 400, "invalid_dpop_proof")
}
