package provider_test

import (
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/provider/providertest"
)

// TestRelyingParty runs the code flow with the libraries that a Go relying
// party uses: discovery, PKCE, token, ID token, userinfo, refresh.
func TestRelyingParty(t *testing.T) {
	for _, tt := range []struct{ name, id, secret, alg string }{
		{"public", providertest.PublicClient, "", ""},
		{"confidential", providertest.ConfidentialClient, providertest.ConfidentialSecret, ""},
		{"PS256", providertest.PublicClient, "", "PS256"},
		{"ES256", providertest.PublicClient, "", "ES256"},
		{"ES384", providertest.PublicClient, "", "ES384"},
		{"EdDSA", providertest.PublicClient, "", "EdDSA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clients := providertest.DefaultClients()
			clients[0].IDTokenSignedResponseAlg = tt.alg
			op := providertest.Start(t, &providertest.Options{Clients: clients})
			ctx := t.Context()
			issuer, err := oidc.NewProvider(ctx, op.URL())
			if err != nil {
				t.Fatal(err)
			}
			config := oauth2.Config{
				ClientID: tt.id, ClientSecret: tt.secret, Endpoint: issuer.Endpoint(),
				RedirectURL: providertest.RedirectURI, Scopes: []string{"openid", "email", "offline_access"},
			}
			verifier := oauth2.GenerateVerifier()
			target := config.AuthCodeURL("some-state", oidc.Nonce("some-nonce"), oauth2.S256ChallengeOption(verifier))
			callback := providertest.NewBrowser(t).SignIn(target, "bob", "bob").Query()
			token, err := config.Exchange(ctx, callback.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			idToken, err := issuer.Verifier(&oidc.Config{ClientID: tt.id}).Verify(ctx, raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
				t.Error(err)
			}
			if idToken.Nonce != "some-nonce" || callback.Get("state") != "some-state" {
				t.Errorf("nonce %q, state %q", idToken.Nonce, callback.Get("state"))
			}
			info, err := issuer.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || info.Subject != idToken.Subject || info.Email != "bob@example.com" {
				t.Errorf("userinfo: %+v, %v", info, err)
			}
			token.Expiry = token.Expiry.Add(-1e15) // long ago
			renewed, err := config.TokenSource(ctx, token).Token()
			if err != nil || renewed.AccessToken == token.AccessToken {
				t.Errorf("refresh: %v", err)
			}
		})
	}
}
