package provider

import (
	"context"
	"encoding/json"
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

// idTokenClaims are what every ID token may say, OIDC Core §2, §3.3.2.11.
type idTokenClaims struct {
	ACR             string   `json:"acr,omitempty"`
	AMR             []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash,omitempty"`
	Audience        string   `json:"aud"`
	AuthTime        int64    `json:"auth_time"`
	CodeHash        string   `json:"c_hash,omitempty"`
	Expires         int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	Issuer          string   `json:"iss"`
	Nonce           string   `json:"nonce,omitempty"`
	SID             string   `json:"sid,omitempty"`
	Subject         string   `json:"sub"`
}

// beside returns the claims with those of the user, which never take their places.
func (c *idTokenClaims) beside(user map[string]any) (any, error) {
	if len(user) == 0 { // most ID tokens: quicker to write as they are
		return c, nil
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return user, json.Unmarshal(encoded, &user)
}

// GenerateIDToken signs an ID token for the grant in the request's session.
// fosite's handlers have put at_hash and c_hash into the session.
func (s *idTokens) GenerateIDToken(ctx context.Context, lifetime time.Duration, req fosite.Requester) (string, error) {
	session := sessionOf(req)
	grant, c := &session.grant, clientOf(req)
	now := workFrom(ctx).now
	claims := &idTokenClaims{
		Issuer: s.issuer, Subject: s.subjects.of(c, grant.Subject), Audience: c.ID,
		IssuedAt: now.Unix(), Expires: now.Add(lifetime).Unix(),
		AuthTime: grant.AuthTime.Unix(), ACR: grant.ACR, AMR: grant.AMR, SID: s.subjects.sid(c, grant.SessionID),
		AccessTokenHash: session.claims.AccessTokenHash, CodeHash: session.claims.CodeHash,
	}
	if !isRefresh(req) {
		// OIDC Core §12.2: a refreshed ID token should not carry the nonce.
		claims.Nonce = grant.Nonce
	}
	unsigned := c.IDTokenSignedResponseAlg == algNone
	if unsigned {
		claims.AccessTokenHash = "" // no algorithm says with which hash (OIDC Core §3.1.3.6)
	}
	user, err := s.userClaims(req)
	if err != nil {
		return "", err
	}
	all, err := claims.beside(user)
	switch {
	case err != nil:
		return "", err
	case !unsigned:
		return s.keys.sign(ctx, jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg), typeJWT, all)
	case !s.unsigned:
		return "", errUnsigned
	}
	return unsignedJWT(typeJWT, all)
}

// userClaims are what the ID token says of the user beyond "sub": the claims
// asked for by name (OIDC Core §5.5), and those of the scopes if no access token
// will fetch them at userinfo (§5.4).
func (s *idTokens) userClaims(req fosite.Requester) (map[string]any, error) {
	grant, claims := &sessionOf(req).grant, map[string]any{}
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
