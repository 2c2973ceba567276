package provider

import (
	"context"
	"maps"
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
}

var _ openid.OpenIDConnectTokenStrategy = (*idTokens)(nil)

// GenerateIDToken signs an ID token for the grant in the request's session.
// fosite's handlers have put at_hash and c_hash into the session.
func (s *idTokens) GenerateIDToken(ctx context.Context, lifetime time.Duration, req fosite.Requester) (string, error) {
	session := sessionOf(req)
	grant, c := session.grant, clientOf(req)
	now := workFrom(ctx).now
	claims := map[string]any{}
	if onlyIDToken(req) {
		// No access token will fetch them at userinfo: OIDC Core §5.4.
		if user := s.users.bySubject(grant.Subject); user != nil {
			maps.Copy(claims, user.claimsFor(req.GetGrantedScopes()))
		}
	}
	maps.Copy(claims, map[string]any{
		"iss":       s.issuer,
		"sub":       s.subjects.of(c, grant.Subject),
		"aud":       c.ID,
		"iat":       now.Unix(),
		"exp":       now.Add(lifetime).Unix(),
		"auth_time": grant.AuthTime.Unix(),
	})
	optional := map[string]string{
		"acr":     grant.ACR,
		"sid":     grant.SessionID,
		"at_hash": session.claims.AccessTokenHash,
		"c_hash":  session.claims.CodeHash,
	}
	if !isRefresh(req) {
		// OIDC Core §12.2: a refreshed ID token should not carry the nonce.
		optional["nonce"] = grant.Nonce
	}
	for name, value := range optional {
		if value != "" {
			claims[name] = value
		}
	}
	if len(grant.AMR) > 0 {
		claims["amr"] = grant.AMR
	}
	return s.keys.sign(ctx, jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg), typeJWT, claims)
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
