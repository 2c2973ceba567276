package bff

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// verifyIDToken checks the ID token in a token response and begins a session
// with it. It does not check the nonce, which a renewed ID token need not have.
func (b *BFF) verifyIDToken(ctx context.Context, op *provider, token *oauth2.Token) (*oidc.IDToken, session, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return nil, session{}, errNoIDToken.because("id_token", "none")
	}
	// Signature with one of the provider's keys, iss, aud, exp. The algorithms are
	// those of the metadata; go-oidc accepts neither "none" nor an HMAC.
	// OpenID Connect Core §3.1.3.7 steps 2, 3, 6, 7, 9 (go-oidc: oidc/verify.go).
	checks := &oidc.Config{ClientID: b.cfg.ClientID, SupportedSigningAlgs: op.SigningAlgorithms}
	idToken, err := oidc.NewVerifier(b.cfg.Issuer, op.keys, checks).Verify(ctx, raw)
	if err != nil {
		f := errIDToken.because("a signature by the provider's key, iss, aud "+b.cfg.ClientID+", exp to come", clip(err.Error()))
		return nil, session{}, f
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
		SID             string `json:"sid"` // Back-Channel Logout §2.1
	}
	if err := idToken.Claims(&claims); err != nil {
		return nil, session{}, errIDToken.after(err)
	}
	// Steps 3 to 5: nobody else is meant, unless the token says that it was issued
	// to this client.
	if (len(idToken.Audience) > 1 || claims.AuthorizedParty != "") && claims.AuthorizedParty != b.cfg.ClientID {
		return nil, session{}, errIDToken.because("aud and azp "+b.cfg.ClientID, "azp "+clip(claims.AuthorizedParty))
	}
	// Step 10, and §2, which requires both claims. A minute for clocks that differ.
	if idToken.IssuedAt.IsZero() || time.Until(idToken.IssuedAt) > time.Minute {
		return nil, session{}, errIDToken.because("iat in the past", "none, or one in the future")
	}
	if idToken.Subject == "" {
		return nil, session{}, errIDToken.because("sub", "none")
	}
	// The access token is the one that came with it; at_hash is optional in this
	// flow. §3.1.3.6, §3.1.3.8.
	if idToken.AccessTokenHash != "" {
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, session{}, errAccessTokenHash.because("at_hash of the access token that came with it", "that of another one")
		}
	}
	s := session{Subject: idToken.Subject, SID: claims.SID, IDToken: raw, Header: jwtHeader(raw)}
	if err := idToken.Claims(&s.Claims); err != nil {
		return nil, session{}, errIDToken.after(err)
	}
	s.keep(token)
	return idToken, s, nil
}

// jwtHeader returns the header of a JWT that go-oidc has accepted, for the page.
func jwtHeader(jwt string) json.RawMessage {
	first, _, _ := strings.Cut(jwt, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || !json.Valid(header) {
		return json.RawMessage("{}")
	}
	return header
}
