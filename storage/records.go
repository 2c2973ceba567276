package storage

import "time"

// Grant is an authorization grant (RFC 6749 §1.3): what one user allowed one
// client in one authorization, or what a client obtained for itself. Its ID
// names the family of every code and token that comes of it. Codes and refresh
// tokens are kept until the grant expires, so that reuse is recognised.
type Grant struct {
	ID       string
	ClientID string
	// Subject is the user's "sub", or the client's ID for client_credentials.
	Subject string
	// SessionID is the "sid" of the session in which the user allowed it.
	SessionID string
	Scopes    []string
	Audience  []string

	// RedirectURI is what the authorization request carried, to be compared
	// at the token endpoint (RFC 6749 §4.1.3).
	RedirectURI string
	Nonce       string
	ACR         string
	AMR         []string
	// AuthTime is when the user signed in; RequestedAt when the authorization
	// request first arrived. Both keep their nanoseconds.
	AuthTime    time.Time
	RequestedAt time.Time

	CreatedAt time.Time
	// ExpiresAt is the family's absolute end: no refresh goes beyond it.
	ExpiresAt time.Time
	// RevokedAt is zero while the grant is live.
	RevokedAt time.Time
}

// Code is an authorization code (RFC 6749 §4.1).
type Code struct {
	ID      Digest
	GrantID string
	// CodeChallenge and CodeChallengeMethod are the PKCE binding, RFC 7636.
	CodeChallenge       string
	CodeChallengeMethod string
	ExpiresAt           time.Time
	// UsedAt is zero while the code can be redeemed.
	UsedAt time.Time
}

// AccessToken is an access token, opaque or JWT.
type AccessToken struct {
	ID      Digest
	GrantID string
	// JTI is the token's "jti" when it is a JWT.
	JTI string
	// Scopes and Audience are what this token carries: a refresh may narrow
	// them below the grant's.
	Scopes    []string
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// RevokedAt is zero while the token is live.
	RevokedAt time.Time
}

// RefreshToken is one refresh token of a family, live or already rotated.
type RefreshToken struct {
	ID        Digest
	GrantID   string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// UsedAt is when the token was rotated; zero while it can be used.
	UsedAt time.Time
}

// Session is a user's single-sign-on session at the provider.
type Session struct {
	// ID is the digest of the cookie's value.
	ID Digest
	// SID is the public name of the session, the "sid" claim.
	SID       string
	Subject   string
	ACR       string
	AMR       []string
	AuthTime  time.Time
	ExpiresAt time.Time
}

// ConsentID names a consent.
type ConsentID struct{ Subject, ClientID string }

// Consent is what a user allows a client without being asked again.
type Consent struct {
	ConsentID
	Scopes    []string
	UpdatedAt time.Time
}

// Key is a key of the provider's own.
type Key struct {
	// ID is the "kid" of a signing key.
	ID string
	// Use is "sig" for a signing key, "secret" for symmetric material.
	Use string
	// Algorithm is the JWA name, "RS256" say; empty for a secret.
	Algorithm string
	// Material is the PKCS #8 DER of a signing key, or the secret's bytes.
	Material  []byte
	CreatedAt time.Time
}
