package native

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// clockSkew is how far the issuer's clock may be ahead of ours.
const clockSkew = time.Minute

// verifyIDToken is step 7: OIDC Core §3.1.3.7, in its order where it matters.
func (d *direct) verifyIDToken(ctx context.Context, token *oauth2.Token, nonce string) (*oidc.IDToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, fmt.Errorf("%w: there is none", ErrIDToken)
	}
	// go-oidc checks the signature with the issuer's keys, the algorithm
	// against the issuer's metadata, "iss", that "aud" holds our client_id, and
	// "exp". It checks neither of the claims below.
	id, err := d.provider.Verifier(&oidc.Config{ClientID: d.meta.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIDToken, err)
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIDToken, err)
	}
	now := time.Now()
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1: // step 11
		return nil, fmt.Errorf("%w: nonce is not the one of this login", ErrIDToken)
	case id.Subject == "": // §2
		return nil, fmt.Errorf("%w: sub is missing", ErrIDToken)
	case id.IssuedAt.Unix() <= 0: // §2; go-oidc gives 1970 for "missing"
		return nil, fmt.Errorf("%w: iat is missing", ErrIDToken)
	case id.IssuedAt.After(now.Add(clockSkew)):
		return nil, fmt.Errorf("%w: iat is in the future", ErrIDToken)
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != d.meta.ClientID: // step 5
		return nil, fmt.Errorf("%w: azp is %q, not this client", ErrIDToken, claims.AuthorizedParty)
	}
	// at_hash is optional in the code flow (§3.1.3.6), and checked when there.
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: at_hash: %w", ErrIDToken, err)
		}
	}
	return id, nil
}

// userInfo is step 8. It returns the claims of the ID token and, over them,
// those of the userinfo endpoint.
func (d *direct) userInfo(ctx context.Context, token *oauth2.Token, id *oidc.IDToken) (map[string]any, error) {
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIDToken, err)
	}
	if d.provider.UserInfoEndpoint() == "" {
		return claims, nil // it is optional (OIDC Discovery §3)
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	// "The sub Claim in the UserInfo Response MUST be verified to exactly match
	// the sub Claim in the ID Token" (OIDC Core §5.3.2).
	if info.Subject != id.Subject {
		return nil, fmt.Errorf("%w: sub is %q, the ID token says %q", ErrUserInfo, info.Subject, id.Subject)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUserInfo, err)
	}
	maps.Copy(claims, more)
	return claims, nil
}

// AuthorizationError is the authorization server's refusal in the front
// channel (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6), or that of a device (RFC 8628
// §3.1, §3.5).
type AuthorizationError struct {
	Code        string // "access_denied", say
	Description string // may be empty
}

// Error quotes both parts: they come from outside and end up on a terminal.
func (e *AuthorizationError) Error() string {
	if e.Description == "" {
		return fmt.Sprintf("the provider refused: %q", e.Code)
	}
	return fmt.Sprintf("the provider refused: %q (%q)", e.Code, e.Description)
}

// TokenError is a refusal of the token endpoint (RFC 6749 §5.2), or of a
// backend that stands for it.
type TokenError struct {
	Status      int    // HTTP
	Code        string // "invalid_grant", say; empty if the answer was no OAuth error
	Description string // may be empty
}

// Error tells the status too, so that a provider which is down (5xx) and one
// that refuses (4xx) can be told apart.
func (e *TokenError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the code could not be redeemed: status %d", e.Status)
	}
	return fmt.Sprintf("the code could not be redeemed: status %d, %q (%q)", e.Status, e.Code, e.Description)
}

// tokenError reduces x/oauth2's error, which may hold a whole response body.
func tokenError(err error) error {
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status := 0
		if r.Response != nil {
			status = r.Response.StatusCode
		}
		return &TokenError{Status: status, Code: r.ErrorCode, Description: r.ErrorDescription}
	}
	return fmt.Errorf("the code could not be redeemed: %w", err)
}
