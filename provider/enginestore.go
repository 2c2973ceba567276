package provider

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/oidclab/oidclab/storage"
)

// engineStore is the storage that fosite sees: it reads through the request's
// unit of work and collects what fosite writes there. Nothing is written
// before the request's end (work.go).
type engineStore struct{ p *Provider }

var (
	_ fosite.Storage                     = engineStore{}
	_ oauth2.CoreStorage                 = engineStore{}
	_ oauth2.TokenRevocationStorage      = engineStore{}
	_ openid.OpenIDConnectRequestStorage = engineStore{}
	_ pkce.PKCERequestStorage            = engineStore{}
)

// errNotSupported answers what only those parts of fosite ask that are not used: its
// client authentication, introspection and revocation.
var errNotSupported = errors.New("the engine is not asked for this")

func (s engineStore) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	c, err := s.client(ctx, id)
	if err != nil {
		return nil, err // not c: a nil *client is no nil interface
	}
	return c, nil
}

// client returns the client of the request's grant, read once.
func (s engineStore) client(ctx context.Context, id string) (*client, error) {
	work := workFrom(ctx)
	if work.client == nil || work.client.ID != id {
		c, err := s.p.namedClient(ctx, id, fosite.ErrNotFound)
		if err != nil {
			return nil, err
		}
		work.client = c
	}
	return work.client, nil
}

// remainingParty returns the grant's client if it and the user are still registered.
func (s engineStore) remainingParty(ctx context.Context, grant storage.Grant) (*client, error) {
	if !s.p.userRemains(grant) {
		return nil, fosite.ErrNotFound
	}
	return s.client(ctx, grant.ClientID)
}

func (engineStore) ClientAssertionJWTValid(context.Context, string) error { return errNotSupported }

func (engineStore) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return errNotSupported
}

// --- Authorization codes ---

func (s engineStore) CreateAuthorizeCodeSession(ctx context.Context, signature string, req fosite.Requester) error {
	w := workFrom(ctx)
	s.addGrant(w, req)
	w.onSuccess.Codes = append(w.onSuccess.Codes, storage.Code{
		ID:        recordID(signature),
		GrantID:   req.GetID(),
		JKT:       w.codeJKT,
		ExpiresAt: w.now.Add(time.Duration(clientOf(req).lifetimes.Code)),
	})
	return nil
}

// GetAuthorizeCodeSession returns ErrNotFound for whatever the caller must not
// know of: an expired code (fosite itself would say invalid_request), that of a
// revoked grant, and the code of another client (fosite would revoke that
// client's tokens). What it was, whyRefused finds out.
func (s engineStore) GetAuthorizeCodeSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	req, code, err := s.codeRequest(ctx, signature)
	if err != nil {
		return nil, err
	}
	if !code.UsedAt.IsZero() {
		return req, fosite.ErrInvalidatedAuthorizeCode
	}
	if revoked := !sessionOf(req).grant.RevokedAt.IsZero(); revoked || !workFrom(ctx).now.Before(code.ExpiresAt) {
		return nil, fosite.ErrNotFound
	}
	if uri := sessionOf(req).grant.RedirectURI; uri != "" {
		req.Form = url.Values{"redirect_uri": {uri}}
	}
	return req, checkGrantKey("The code", code.JKT, workFrom(ctx).jkt, rfc("9449", "10"))
}

func (engineStore) InvalidateAuthorizeCodeSession(ctx context.Context, signature string) error {
	workFrom(ctx).onSuccess.RedeemCode = recordID(signature)
	return nil
}

// --- PKCE, RFC 7636 ---

func (engineStore) CreatePKCERequestSession(ctx context.Context, signature string, req fosite.Requester) error {
	w, id := workFrom(ctx), recordID(signature)
	for i := range w.onSuccess.Codes {
		if code := &w.onSuccess.Codes[i]; code.ID == id {
			code.CodeChallenge = req.GetRequestForm().Get("code_challenge")
			code.CodeChallengeMethod = req.GetRequestForm().Get("code_challenge_method")
			return nil
		}
	}
	return fosite.ErrNotFound
}

func (s engineStore) GetPKCERequestSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	req, code, err := s.codeRequest(ctx, signature)
	if err != nil {
		return nil, err
	}
	if code.CodeChallenge == "" {
		return nil, fosite.ErrNotFound
	}
	req.Form = url.Values{"code_challenge": {code.CodeChallenge}, "code_challenge_method": {code.CodeChallengeMethod}}
	return req, nil
}

// DeletePKCERequestSession does nothing: fosite calls it before it checks the
// verifier, so that a second try without a verifier would pass. The challenge
// stays with the code.
func (engineStore) DeletePKCERequestSession(context.Context, string) error { return nil }

// --- OpenID Connect: the grant holds what the ID token needs ---

func (engineStore) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error {
	return nil
}

// GetOpenIDConnectSession is given the whole code, not its signature.
func (s engineStore) GetOpenIDConnectSession(ctx context.Context, code string, _ fosite.Requester) (fosite.Requester, error) {
	req, _, err := s.codeRequest(ctx, s.p.tokens.AuthorizeCodeSignature(ctx, code))
	if err != nil || !slices.Contains(req.GrantedScope, "openid") {
		return nil, openid.ErrNoSessionFound
	}
	return req, nil
}

func (engineStore) DeleteOpenIDConnectSession(context.Context, string) error { return nil }

// --- Access tokens ---

func (s engineStore) CreateAccessTokenSession(ctx context.Context, signature string, req fosite.Requester) error {
	w, session := workFrom(ctx), sessionOf(req)
	s.addGrant(w, req)
	w.onSuccess.AccessTokens = append(w.onSuccess.AccessTokens, storage.AccessToken{
		ID:        recordID(signature),
		GrantID:   req.GetID(),
		JTI:       session.jti,
		Scopes:    req.GetGrantedScopes(),
		Audience:  req.GetGrantedAudience(),
		JKT:       w.jkt,
		IssuedAt:  w.now,
		ExpiresAt: session.GetExpiresAt(fosite.AccessToken),
	})
	return nil
}

func (engineStore) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotSupported
}

func (engineStore) DeleteAccessTokenSession(context.Context, string) error { return errNotSupported }

func (engineStore) RevokeAccessToken(ctx context.Context, grantID string) error {
	workFrom(ctx).revoke(grantID)
	return nil
}

// --- Refresh tokens ---

func (s engineStore) CreateRefreshTokenSession(ctx context.Context, signature, _ string, req fosite.Requester) error {
	w, session := workFrom(ctx), sessionOf(req)
	s.addGrant(w, req)
	w.onSuccess.RefreshTokens = append(w.onSuccess.RefreshTokens, storage.RefreshToken{
		ID:        recordID(signature),
		GrantID:   req.GetID(),
		JKT:       refreshKey(req, w.jkt),
		IssuedAt:  w.now,
		ExpiresAt: session.GetExpiresAt(fosite.RefreshToken),
	})
	return nil
}

// GetRefreshTokenSession hides other clients' tokens, those of a revoked grant,
// and those of a client that may no longer have any. For a rotated one it
// returns ErrInactiveToken: fosite then revokes the grant (RFC 9700 §4.14.2).
func (s engineStore) GetRefreshTokenSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	if signature == "" {
		return nil, fosite.ErrNotFound
	}
	token, grant, err := workFrom(ctx).refreshToken(ctx, signature)
	if err != nil {
		return nil, engineError(err)
	}
	if grant.ClientID != requestingClient(ctx) || !grant.RevokedAt.IsZero() {
		return nil, fosite.ErrNotFound
	}
	req, err := s.request(ctx, grant)
	if err != nil {
		return nil, err
	}
	sessionOf(req).SetExpiresAt(fosite.RefreshToken, token.ExpiresAt)
	if !token.UsedAt.IsZero() {
		return req, fosite.ErrInactiveToken
	}
	if !req.GetGrantedScopes().Has(scopeOfflineAccess) {
		return nil, fosite.ErrNotFound
	}
	return req, checkGrantKey("The refresh token", token.JKT, workFrom(ctx).jkt, rfc("9449", "5"))
}

func (engineStore) RotateRefreshToken(ctx context.Context, _, signature string) error {
	workFrom(ctx).onSuccess.RotateRefreshToken = recordID(signature)
	return nil
}

// DeleteRefreshTokenSession does nothing: the used token stays, so that its
// reuse is recognised again.
func (engineStore) DeleteRefreshTokenSession(context.Context, string) error { return nil }

func (engineStore) RevokeRefreshToken(ctx context.Context, grantID string) error {
	workFrom(ctx).revoke(grantID)
	return nil
}

// --- Between records and fosite's requests ---

// addGrant stores the request's grant with its first code or token.
func (engineStore) addGrant(w *work, req fosite.Requester) {
	session := sessionOf(req)
	if session.stored {
		return
	}
	session.stored = true
	grant := session.grant
	grant.ID = req.GetID()
	grant.Scopes = req.GetGrantedScopes()
	grant.Audience = req.GetGrantedAudience()
	w.onSuccess.Grants = append(w.onSuccess.Grants, grant)
}

// codeRequest reads a code of the requesting client, with its grant.
func (s engineStore) codeRequest(ctx context.Context, signature string) (*fosite.Request, storage.Code, error) {
	if signature == "" {
		return nil, storage.Code{}, fosite.ErrNotFound
	}
	code, grant, err := workFrom(ctx).code(ctx, signature)
	if err != nil {
		return nil, storage.Code{}, engineError(err)
	}
	if grant.ClientID != requestingClient(ctx) {
		return nil, storage.Code{}, fosite.ErrNotFound
	}
	req, err := s.request(ctx, grant)
	if err != nil {
		return nil, storage.Code{}, err
	}
	sessionOf(req).SetExpiresAt(fosite.AuthorizeCode, code.ExpiresAt)
	if narrowed := workFrom(ctx).audience; narrowed != nil {
		req.GrantedAudience = narrowed
	}
	return req, code, nil
}

// request makes fosite's view of a stored grant, anew each time: its handlers
// change what they are given. What they append to a list does not reach the others,
// which have no room for more. A grant gives nothing more once its client or its user
// is gone, and no scope that its client has lost.
func (s engineStore) request(ctx context.Context, grant storage.Grant) (*fosite.Request, error) {
	c, err := s.remainingParty(ctx, grant)
	if err != nil {
		return nil, err
	}
	scopes, audience := slices.Clip(c.stillAllowed(grant.Scopes)), slices.Clip(grant.Audience)
	session := newGrantSession(grant, c.IDTokenSignedResponseAlg)
	session.stored = true
	return &fosite.Request{
		ID: grant.ID, Client: c, Session: session, RequestedAt: grant.RequestedAt,
		RequestedScope: scopes, GrantedScope: scopes,
		RequestedAudience: audience, GrantedAudience: audience,
	}, nil
}

// requestingClient returns the client that authenticated at the token endpoint.
func requestingClient(ctx context.Context) string {
	if req, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester); ok && req.GetClient() != nil {
		return req.GetClient().GetID()
	}
	return ""
}

func clientOf(req fosite.Requester) *client {
	return req.GetClient().(*client) // GetClient and engineClientAuth made it
}

func sessionOf(req fosite.Requester) *grantSession {
	return req.GetSession().(*grantSession) // we put it there
}

// engineError translates the store's reasons for fosite.
func engineError(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fosite.ErrNotFound
	}
	return err
}

// scopeString is the "scope" parameter's form, RFC 6749 §3.3.
func scopeString(scopes []string) string { return strings.Join(scopes, " ") }
