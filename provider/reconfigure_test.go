package provider_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// The tests of this file restart a provider over the same store with another
// configuration, while codes and tokens live.

// TestRevocationOutlivesTheUsersAbsence: a token whose user is not registered at
// the moment is dead, and what is revoked meanwhile stays dead when the user
// comes back.
func TestRevocationOutlivesTheUsersAbsence(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, kind := range []string{"access_token", "refresh_token"} {
		tokens := tokensFor(t, op, codeRequest())
		without := sameStore(t, op, nil, provider.SeedUsers()[1:])
		form := url.Values{"token": {tokens.text(kind)}, "client_id": {providertest.PublicClient}}
		if a := without.answer(t, http.MethodPost, "/revoke", form, nil); a.Status != http.StatusOK {
			t.Errorf("revoke: %d %s", a.Status, a.Raw)
		}
		if a := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))); a.Status != http.StatusUnauthorized {
			t.Errorf("after revocation by %s: %d", kind, a.Status)
		}
	}
}

// publicClientWith is the default public client, registered for fewer scopes.
func publicClientWith(scope string) []provider.Client {
	clients := providertest.DefaultClients()
	clients[0].Scope = scope
	return clients
}

// TestRemovedScopeIsInNoToken: a client that may no longer ask for a scope loses
// it in what it holds, and keeps the rest.
func TestRemovedScopeIsInNoToken(t *testing.T) {
	op := providertest.Start(t, nil)
	tokens := tokensFor(t, op, codeRequest())
	code := signIn(t, op, codeRequest()).Get("code")
	const left = "openid profile offline_access"
	after := sameStore(t, op, publicClientWith(left), nil)
	info := after.answer(t, http.MethodGet, "/userinfo", nil, bearer(tokens.text("access_token")))
	if info.Status != http.StatusOK || info.Body["name"] == nil || info.Body["email"] != nil {
		t.Errorf("userinfo: %d %s", info.Status, info.Raw)
	}
	for name, request := range map[string]params{"refresh": refreshRequest(tokens.text("refresh_token")), "redeem": redeem(code)} {
		a := after.token(t, request)
		if a.Status != http.StatusOK || a.text("scope") != left || claimsOf(t, a.text("access_token"))["scope"] != left {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
	}
}

// TestRemovedOfflineAccessEndsRefreshing: as if the refresh token were revoked.
func TestRemovedOfflineAccessEndsRefreshing(t *testing.T) {
	op := providertest.Start(t, nil)
	request := codeRequest().with(params{"client_id": providertest.ConfidentialClient})
	redemption := redeem(signIn(t, op, request).Get("code")).with(params{"client_id": ""})
	refreshToken := postForm(t, op.URL()+"/token", redemption, asWeb).text("refresh_token")
	clients := providertest.DefaultClients()
	clients[1].Scope = "openid profile email"
	after := sameStore(t, op, clients, nil)
	refresh := params{"grant_type": "refresh_token", "refresh_token": refreshToken}
	wantError(t, after.answer(t, http.MethodPost, "/token", refresh.values(), asWeb), 400, "invalid_grant")
	wantInactive(t, after.answer(t, http.MethodPost, "/introspect", url.Values{"token": {refreshToken}}, asWeb))
	if a := postForm(t, op.URL()+"/introspect", params{"token": refreshToken}, asWeb); a.Body["active"] != true {
		t.Errorf("control: %s", a.Raw)
	}
}
