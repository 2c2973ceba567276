package provider

import (
	"context"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
)

// idTokens makes ID tokens, OIDC Core §2.
type idTokens struct {
	issuer   string
	keys     *keyring
	users    *directory
	subjects *subjects
	unsigned bool // Config.InsecureUnsignedIDTokens
}

var _ openid.OpenIDConnectTokenStrategy = (*idTokens)(nil)

// GenerateIDToken signs an ID token for the grant in the request's session.
// fosite's handlers have put at_hash and c_hash into the session.
func (s *idTokens) GenerateIDToken(ctx context.Context, lifetime time.Duration, req fosite.Requester) (string, error) {
	session := sessionOf(req)
	grant, c := &session.grant, clientOf(req)
	now := workFrom(ctx).now
	claims, err := s.userClaims(req)
	if err != nil {
		return "", err
	}
	claims["iss"] = s.issuer
	claims["sub"] = s.subjects.of(c, grant.Subject)
	claims["aud"] = c.ID
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(lifetime).Unix()
	claims["auth_time"] = grant.AuthTime.Unix()
	optional := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	optional("acr", grant.ACR)
	optional("sid", s.subjects.sid(c, grant.SessionID))
	optional("at_hash", session.claims.AccessTokenHash)
	optional("c_hash", session.claims.CodeHash)
	if !isRefresh(req) {
		// OIDC Core §12.2: a refreshed ID token should not carry the nonce.
		optional("nonce", grant.Nonce)
	}
	if len(grant.AMR) > 0 {
		claims["amr"] = grant.AMR
	}
	switch {
	case c.IDTokenSignedResponseAlg != algNone:
		return s.keys.sign(ctx, jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg), typeJWT, claims)
	case !s.unsigned:
		return "", errUnsigned
	}
	delete(claims, "at_hash") // no algorithm says with which hash (OIDC Core §3.1.3.6)
	return unsignedJWT(typeJWT, claims)
}

// userClaims are what the ID token says of the user beyond "sub": the claims
// asked for by name (OIDC Core §5.5), and those of the scopes if no access token
// will fetch them at userinfo (§5.4).
func (s *idTokens) userClaims(req fosite.Requester) (map[string]any, error) {
	grant, claims := &sessionOf(req).grant, make(map[string]any, 16)
	user := s.users.bySubject(grant.Subject)
	if user == nil {
		return claims, nil
	}
	if onlyIDToken(req) {
		claims = user.claimsFor(req.GetGrantedScopes())
	}
	named, err := s.users.claimsOf(grant.Claims, clientOf(req))
	user.addClaims(claims, named.IDToken)
	return claims, err
}

// onlyIDToken reports whether the request is for response_type=id_token.
func onlyIDToken(req fosite.Requester) bool {
	ar, ok := req.(fosite.AuthorizeRequester)
	return ok && ar.GetResponseTypes().ExactOne("id_token")
}

func isRefresh(req fosite.Requester) bool {
	ar, ok := req.(fosite.AccessRequester)
	return ok && ar.GetGrantTypes().ExactOne("refresh_token")
}
