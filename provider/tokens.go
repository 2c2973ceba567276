package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/oidclab/oidclab/storage"
)

// tokens makes and recognises codes, refresh tokens and access tokens, for fosite.
// Codes, refresh tokens and opaque access tokens are random values with an HMAC
// (opaque.go); access tokens are JWTs (RFC 9068) unless the client is registered
// otherwise. What fosite calls a signature is the handle.
type tokens struct {
	opaque   opaqueTokens
	issuer   string
	keys     *keyring
	subjects *subjects
}

var _ oauth2.CoreStrategy = (*tokens)(nil)

// Reasons for which a token that was presented is refused. To the outside all
// of them are "invalid_token".
var (
	errTokenMalformed = errors.New("the token is malformed or was not issued here")
	errTokenUnknown   = errors.New("the token is not known")
	errTokenExpired   = errors.New("the token has expired")
	errTokenRevoked   = errors.New("the token was revoked")
)

// AccessTokenSignature is never asked for a JWT: fosite only makes access tokens here.
func (t *tokens) AccessTokenSignature(_ context.Context, token string) string {
	return opaqueHandle(token)
}

// GenerateAccessToken returns a new access token in its client's format.
func (t *tokens) GenerateAccessToken(ctx context.Context, req fosite.Requester) (token, handle string, err error) {
	c, now := clientOf(req), workFrom(ctx).now
	if c.AccessTokenFormat == formatOpaque {
		token, handle = t.opaque.generate(now)
		return token, handle, nil
	}
	session := sessionOf(req)
	session.jti = orderedID(now)
	token, err = t.keys.sign(ctx, jose.SignatureAlgorithm(c.AccessTokenAlg), typeAccessToken, t.accessTokenClaims(ctx, req))
	return token, jwtHandle(session.jti, ""), err
}

// ValidateAccessToken is never called: see accessToken.
func (t *tokens) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errNotSupported
}

// AuthorizeCodeSignature returns the code's handle.
func (t *tokens) AuthorizeCodeSignature(_ context.Context, code string) string {
	return opaqueHandle(code)
}

// GenerateAuthorizeCode returns a new code.
func (t *tokens) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (code, handle string, err error) {
	code, handle = t.opaque.generate(workFrom(ctx).now)
	return code, handle, nil
}

// ValidateAuthorizeCode checks that a code was made here and has not expired.
// fosite asks for it twice, so that a code may expire in between.
func (t *tokens) ValidateAuthorizeCode(_ context.Context, req fosite.Requester, code string) error {
	return t.validate(code, theCode, req, fosite.AuthorizeCode)
}

// RefreshTokenSignature returns the refresh token's handle.
func (t *tokens) RefreshTokenSignature(_ context.Context, token string) string {
	return opaqueHandle(token)
}

// GenerateRefreshToken returns a new refresh token.
func (t *tokens) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (token, handle string, err error) {
	token, handle = t.opaque.generate(workFrom(ctx).now)
	return token, handle, nil
}

// ValidateRefreshToken checks the same of a refresh token.
func (t *tokens) ValidateRefreshToken(_ context.Context, req fosite.Requester, token string) error {
	return t.validate(token, theRefreshToken, req, fosite.RefreshToken)
}

// validate refuses a code or refresh token in the words of RFC 6749 §5.2. fosite asks
// a first time before it has read when a code expires; the store it then reads from
// refuses an expired one (enginestore.go).
func (t *tokens) validate(token, what string, req fosite.Requester, kind fosite.TokenType) error {
	now, expires := time.Now(), req.GetSession().GetExpiresAt(kind)
	switch {
	case !expires.IsZero() && !now.Before(expires):
		return refuse(fosite.ErrInvalidGrant, expiredGrant(what, expires, now))
	case !t.opaque.authentic(token): // one whose HMAC is known and whose first part is another
		return refuse(fosite.ErrInvalidGrant, unknownGrant(what, req.GetClient().GetID(), neverIssued))
	}
	return nil
}

// accessTokenClaims are those of RFC 9068 §2.2, and RFC 9449 §6.1.
type accessTokenClaims struct {
	ACR          string            `json:"acr,omitempty"`
	AMR          []string          `json:"amr,omitempty"`
	Audience     []string          `json:"aud"`
	AuthTime     int64             `json:"auth_time,omitzero"`
	ClientID     string            `json:"client_id"`
	Confirmation map[string]string `json:"cnf,omitempty"`
	Expires      int64             `json:"exp"`
	IssuedAt     int64             `json:"iat"`
	Issuer       string            `json:"iss"`
	JTI          string            `json:"jti"`
	Scope        string            `json:"scope,omitempty"` // never empty: RFC 6749 §3.3
	Subject      string            `json:"sub"`
}

func (t *tokens) accessTokenClaims(ctx context.Context, req fosite.Requester) *accessTokenClaims {
	session, work := sessionOf(req), workFrom(ctx)
	claims := &accessTokenClaims{
		Issuer: t.issuer, Subject: t.subjects.of(clientOf(req), session.grant.Subject),
		Audience: req.GetGrantedAudience(), ClientID: req.GetClient().GetID(), Scope: scopeString(req.GetGrantedScopes()),
		IssuedAt: work.now.Unix(), Expires: session.expiresAt.accessToken.Unix(), JTI: session.jti,
		ACR: session.grant.ACR, AMR: session.grant.AMR,
	}
	if work.jkt != "" {
		claims.Confirmation = confirmation(work.jkt)
	}
	if !session.grant.AuthTime.IsZero() {
		claims.AuthTime = session.grant.AuthTime.Unix()
	}
	return claims
}

// authentic checks that an access token was made here, not that it is valid: the
// store knows that, under the handle that is returned. The store is asked by the
// handle alone, so without this check anything could stand before a known one.
func (t *tokens) authentic(ctx context.Context, token string) (handle string, err error) {
	if strings.Count(token, ".") != 2 {
		if !t.opaque.authentic(token) {
			return "", errTokenMalformed
		}
		return opaqueHandle(token), nil
	}
	claims, err := t.keys.verify(ctx, token, typeAccessToken)
	if err != nil {
		if errors.Is(err, errKeysUnavailable) || ctx.Err() != nil {
			return "", err
		}
		return "", fmt.Errorf("%w: %w", errTokenMalformed, err)
	}
	jti, _ := claims["jti"].(string)
	return jwtHandle(jti, token[strings.LastIndexByte(token, '.')+1:]), nil
}

// presentedToken is an access token that somebody presented, as far as it was
// found: a live one has a grant and a client.
type presentedToken struct {
	storage.AccessToken
	grant  storage.Grant
	client *client
}

// accessToken returns a live access token. The store decides in both formats, so
// a revoked token is dead at once; and a scope that its client has lost since is
// no longer in it.
func (p *Provider) accessToken(ctx context.Context, raw string) (token presentedToken, err error) {
	handle, err := p.tokens.authentic(ctx, raw)
	if err != nil {
		return token, err
	}
	token.AccessToken, token.grant, err = p.store.AccessToken(ctx, recordID(handle))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return token, errTokenUnknown
	case err != nil:
		return token, err
	case !token.RevokedAt.IsZero() || !token.grant.RevokedAt.IsZero():
		return token, errTokenRevoked
	case !time.Now().Before(token.ExpiresAt):
		return token, errTokenExpired
	}
	token.client, err = p.remainingParty(ctx, token.grant)
	if errors.Is(err, storage.ErrNotFound) {
		return token, errTokenUnknown
	}
	if err != nil {
		return token, err
	}
	token.Scopes = token.client.stillAllowed(token.Scopes)
	return token, nil
}

// remainingParty returns the grant's client if it and the user are still
// registered: what was issued to or about those who are not is dead
// (storage.ErrNotFound).
func (p *Provider) remainingParty(ctx context.Context, grant storage.Grant) (*client, error) {
	if !p.userRemains(grant) {
		return nil, storage.ErrNotFound
	}
	return p.client(ctx, grant.ClientID)
}

// userRemains reports whether the grant's user is still registered. A client's own grant
// has no user (RFC 6749 §4.4).
func (p *Provider) userRemains(grant storage.Grant) bool {
	return grant.Subject == grant.ClientID || p.users.bySubject(grant.Subject) != nil
}

// refreshToken returns a live refresh token with its grant.
func (p *Provider) refreshToken(ctx context.Context, raw string) (storage.RefreshToken, storage.Grant, error) {
	if !p.tokens.opaque.authentic(raw) {
		return storage.RefreshToken{}, storage.Grant{}, errTokenMalformed
	}
	token, grant, err := p.store.RefreshToken(ctx, recordID(opaqueHandle(raw)))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return token, grant, errTokenUnknown
	case err != nil:
		return token, grant, err
	case !token.UsedAt.IsZero() || !grant.RevokedAt.IsZero():
		return token, grant, errTokenRevoked
	case !time.Now().Before(token.ExpiresAt):
		return token, grant, errTokenExpired
	}
	if _, err := p.remainingParty(ctx, grant); errors.Is(err, storage.ErrNotFound) {
		return token, grant, errTokenUnknown
	} else if err != nil {
		return token, grant, err
	}
	return token, grant, nil
}

// tokenIsDead reports whether err says that a presented token is no good, as
// opposed to a failure of ours.
func tokenIsDead(err error) bool {
	return slices.ContainsFunc([]error{errTokenMalformed, errTokenUnknown, errTokenExpired, errTokenRevoked},
		func(reason error) bool { return errors.Is(err, reason) })
}
