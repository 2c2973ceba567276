package frontenddriven

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// idToken is an ID token that passed the checks.
type idToken struct {
	*oidc.IDToken
	raw    string
	claims idClaims
}

// idClaims are those that go-oidc does not hand out.
type idClaims struct {
	Audience        jwt.Audience     `json:"aud"`
	AuthorizedParty string           `json:"azp"`
	AuthTime        *jwt.NumericDate `json:"auth_time"`
	SID             string           `json:"sid"` // Back-Channel Logout §2.1
}

// verifyIDToken checks the ID token of a token answer, as far as every such
// token is checked alike. The nonce is the caller's to compare. OpenID Connect
// Core §3.1.3.7.
func (p *provider) verifyIDToken(ctx context.Context, op *endpoints, token *oauth2.Token) (*idToken, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, errNoIDToken
	}
	// 1. Signature with the provider's key and an algorithm of ours (steps 6 to
	//    8), iss (step 2), aud (step 3), exp (step 9). RFC 8725 §3.1.
	keys := &observedKeys{KeySet: op.keys}
	verifier := oidc.NewVerifier(p.cfg.Issuer, keys, &oidc.Config{
		ClientID: p.cfg.ClientID, SupportedSigningAlgs: []string{oidc.RS256, oidc.PS256, oidc.ES256, oidc.ES384, oidc.EdDSA},
	})
	verified, err := verifier.Verify(ctx, raw)
	if errors.Is(keys.err, errOutage) {
		return nil, errProviderDown.after(keys.err)
	}
	if err != nil {
		return nil, errIDToken.with(clip(err.Error()))
	}
	// 2. azp, where there is one, and there must be where the token is for more
	//    than this client (steps 4 and 5).
	var claims idClaims
	if err := verified.Claims(&claims); err != nil {
		return nil, errIDToken.with(clip(err.Error()))
	}
	if (claims.AuthorizedParty != "" || len(verified.Audience) > 1) && claims.AuthorizedParty != p.cfg.ClientID {
		return nil, errAZP.expected(p.cfg.ClientID, claims.AuthorizedParty)
	}
	// 3. at_hash, where there is one; in this flow it may be left out (§3.1.3.6).
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, errAtHash
		}
	}
	return &idToken{IDToken: verified, raw: raw, claims: claims}, nil
}

// sameLogin compares an ID token that came with a renewal to the login's.
// OpenID Connect Core §12.2.
func (t *idToken) sameLogin(f family) error {
	parts, err := split(f.IDToken)
	if err != nil {
		return err
	}
	var before idClaims
	if err := json.Unmarshal(parts.Payload, &before); err != nil {
		return err
	}
	after := t.claims
	switch {
	case t.Subject != f.Subject:
		return errOtherIDToken.expected("sub "+f.Subject, t.Subject)
	case t.Nonce != "" && t.Nonce != f.Nonce:
		return errOtherIDToken.with("It has another nonce.")
	case !slices.Equal(before.Audience, after.Audience):
		return errOtherIDToken.with("It has another aud.")
	case before.AuthorizedParty != after.AuthorizedParty:
		return errOtherIDToken.with("It has another azp.")
	case before.AuthTime != nil && after.AuthTime != nil && *before.AuthTime != *after.AuthTime:
		return errOtherIDToken.with("It has another auth_time.")
	}
	return nil
}

// observedKeys remembers why a key set failed: go-oidc's verifier reports it as
// text, and a provider that is down must not look like a forged signature.
type observedKeys struct {
	oidc.KeySet
	err error
}

func (k *observedKeys) VerifySignature(ctx context.Context, compact string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, compact)
	k.err = err
	return payload, err
}
