package storage

import (
	"reflect"
	"slices"
	"time"
)

// InUTC is a copy of a record, or of the one that a pointer leads to, with its times in
// UTC. Stores write that as JSON, in which a time has the offset of its zone to the minute
// (RFC 3339 §5.6): of a local mean time another instant would come back.
func InUTC(record any) (pointer any) {
	from := reflect.Indirect(reflect.ValueOf(record))
	to := reflect.New(from.Type())
	to.Elem().Set(from)
	for _, field := range to.Elem().Fields() {
		if t, ok := reflect.TypeAssert[*time.Time](field.Addr()); ok {
			*t = t.UTC()
		}
	}
	return to.Interface()
}

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
	// SessionBound says that the grant ends when that session does: the user
	// did not allow access while away (OIDC Core §11).
	SessionBound bool
	Scopes       []string
	Audience     []string

	// RedirectURI is what the authorization request carried, to be compared
	// at the token endpoint (RFC 6749 §4.1.3).
	RedirectURI string
	Nonce       string
	// Claims is the request's "claims" parameter, JSON (OIDC Core §5.5).
	Claims []byte
	ACR    string
	AMR    []string
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
	// JKT is the thumbprint of the DPoP key that must redeem the code, ""
	// for none (RFC 9449 §10).
	JKT       string
	ExpiresAt time.Time
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
	Scopes   []string
	Audience []string
	// JKT is the thumbprint of the DPoP key that the token is bound to, "" for
	// a bearer token (RFC 9449 §6).
	JKT       string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// RevokedAt is zero while the token is live.
	RevokedAt time.Time
}

// RefreshToken is one refresh token of a family, live or already rotated.
type RefreshToken struct {
	ID      Digest
	GrantID string
	// JKT is the thumbprint of the DPoP key that a public client's refresh
	// token is bound to (RFC 9449 §5).
	JKT       string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// UsedAt is when the token was rotated; zero while it can be used.
	UsedAt time.Time
}

// Session is a user's single-sign-on session at the provider.
type Session struct {
	// ID is the digest of the cookie's value.
	ID Digest
	// SID is the public name of the session: the "sid" claim, or what it is made
	// of for clients that must not find each other's users by it.
	SID       string
	Subject   string
	ACR       string
	AMR       []string
	AuthTime  time.Time
	ExpiresAt time.Time
}

// SessionClient says that a session signed its user in at a client, which must
// hear of the session's end.
type SessionClient struct {
	SID, ClientID string
	// Subject is the "sub" that the client knows the user by.
	Subject string
	// ClientSID is the "sid" that the client knows the session by. "" is SID
	// itself.
	ClientSID string
	// ExpiresAt is the session's end.
	ExpiresAt time.Time
}

// ConsentID names a consent.
type ConsentID struct{ Subject, ClientID string }

// Consent is what a user allows a client without being asked again.
type Consent struct {
	ConsentID
	Scopes []string
	// Claims are those that were asked for by name, beyond the scopes.
	Claims []string
	// Resources are those that access tokens may be for, beyond the client's own
	// (RFC 8707).
	Resources []string
	UpdatedAt time.Time
}

// With is a consent after the user has allowed more: what was there, then what
// is new in more, in its order. It is as late as the later of both. Of two that
// are given at once neither is lost, whichever comes first.
func (c Consent) With(more Consent) Consent {
	c.Scopes = union(c.Scopes, more.Scopes)
	c.Claims = union(c.Claims, more.Claims)
	c.Resources = union(c.Resources, more.Resources)
	if more.UpdatedAt.After(c.UpdatedAt) {
		c.UpdatedAt = more.UpdatedAt
	}
	return c
}

// union is a and what b has beyond it, in memory of its own.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// Client is a dynamically registered client (RFC 7591).
type Client struct {
	ID string
	// Metadata is the registration as JSON, in RFC 7591's names. What it means
	// is the provider's business. It holds no secret in the clear.
	Metadata []byte
	// Origins are the web origins (RFC 6454 §4) whose scripts may call the
	// provider for the client, as browsers write them. See Store.HasOrigin.
	Origins []string
	// Version is another one after each change of the record. Whoever writes it
	// chooses it. See Changes.RequireClients.
	Version string
	// SecretHash is the digest of the client secret, zero for none.
	SecretHash Digest
	// SecretExpiresAt is zero for a secret that does not expire.
	SecretExpiresAt time.Time
	// RegistrationToken is the digest of the registration access token
	// (RFC 7592 §3).
	RegistrationToken Digest
	CreatedAt         time.Time
	UpdatedAt         time.Time
	// UsedAt is when a use of the client was last noted, zero where none is.
	UsedAt time.Time
}

// ClientVersion names a client as it was read.
type ClientVersion struct{ ID, Version string }

// Once is an identifier that may come once.
type Once struct {
	ID Digest
	// ExpiresAt is when what it identifies has expired by itself.
	ExpiresAt time.Time
}

// PushedRequest is an authorization request that a client pushed (RFC 9126).
type PushedRequest struct {
	// ID is the digest of the request_uri.
	ID       Digest
	ClientID string
	// Form are the request's parameters.
	Form map[string][]string
	// JKT is the thumbprint of the DPoP key that the code will be bound to, ""
	// for none (RFC 9449 §10.1).
	JKT       string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// DeviceCode is a device authorization (RFC 8628).
type DeviceCode struct {
	// ID is the digest of the device code.
	ID Digest
	// UserCode is the user code in its canonical form.
	UserCode string
	ClientID string
	Scopes   []string
	Audience []string
	// Interval is the least time between two polls.
	Interval   time.Duration
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastPollAt time.Time
	// DecidedAt is zero until the user has decided. GrantID is "" then if the
	// user denied.
	DecidedAt time.Time
	GrantID   string
	// UsedAt is when the tokens were issued.
	UsedAt time.Time
}

// DeviceDecision is a user's decision on a device authorization.
type DeviceDecision struct {
	ID Digest
	// GrantID is what the user allowed, "" for nothing.
	GrantID string
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
	// ActiveFrom is when the key begins to sign; it is published before. Zero:
	// at once.
	ActiveFrom time.Time
	// ExpiresAt is when a key that signs no more need not be published any
	// longer. Zero: it has no successor yet.
	ExpiresAt time.Time
}
