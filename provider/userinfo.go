package provider

import (
	"errors"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// handleUserInfo serves GET and POST /userinfo (OIDC Core §5.3).
func (p *Provider) handleUserInfo(w http.ResponseWriter, r *http.Request) {
	// 1. Exactly one access token, in the header or the body. RFC 6750 §2.
	presented, err := p.credential(w, r)
	if err != nil {
		p.resourceError(w, r, presented.scheme, err)
		return
	}
	// 2. It is live: the store decides, so a revoked one is dead at once.
	token, err := p.accessToken(r.Context(), presented.token)
	if tokenIsDead(err) {
		p.resourceError(w, r, presented.scheme, refuse(errInvalidToken, check{What: deadToken(err), Section: rfc("6750", "3.1")}))
		return
	}
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. One that is bound to a key is used by who has the key. RFC 9449 §7.1.
	if err := p.checkPossession(w, r, presented, token); err != nil {
		p.resourceError(w, r, presented.schemeFor(token), err)
		return
	}
	// 4. It was granted openid. OIDC Core §5.3.1, RFC 6750 §3.1.
	if !slices.Contains(token.Scopes, scopeOpenID) {
		p.resourceError(w, r, presented.scheme, refuse(errInsufficientScope, check{
			What: "The access token was not granted the scope openid.", Section: oidcCore("5.3.1", "UserInfoRequest"),
		}))
		return
	}
	// 5. The claims that its scopes ask for, and those asked for by name. OIDC
	//    Core §5.4, §5.5. A live token with openid has a user.
	named, err := p.users.claimsOf(token.grant.Claims, token.client)
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	user := p.users.bySubject(token.grant.Subject)
	claims := user.claimsFor(token.Scopes)
	user.addClaims(claims, named.UserInfo)
	claims["sub"] = p.subjectFor(token.client, token.grant.Subject)
	// 6. Plain, or signed for the client that registered so. OIDC Core §5.3.2.
	if token.client.UserInfoSignedResponseAlg == "" {
		p.writeJSON(w, http.StatusOK, claims)
		return
	}
	p.signedUserInfo(w, r, token.client, claims)
}

// signedUserInfo answers with the claims in a JWT. "iss" and "aud" keep it from
// being taken for another provider's or another client's: OIDC Core §5.3.2.
func (p *Provider) signedUserInfo(w http.ResponseWriter, r *http.Request, c *client, claims map[string]any) {
	claims["iss"], claims["aud"] = p.issuer, c.ID
	signed, err := p.keys.sign(r.Context(), jose.SignatureAlgorithm(c.UserInfoSignedResponseAlg), typeJWT, claims)
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/jwt")
	h.Set("Cache-Control", "no-store")
	w.Write([]byte(signed))
}

// deadToken says why a token was refused. The store is asked only for tokens
// that were made here, so a stranger learns nothing by trying.
func deadToken(err error) string {
	for _, reason := range []error{errTokenExpired, errTokenRevoked, errTokenUnknown} {
		if errors.Is(err, reason) {
			return "Access denied: " + reason.Error() + "."
		}
	}
	return "Access denied: " + errTokenMalformed.Error() + "."
}
