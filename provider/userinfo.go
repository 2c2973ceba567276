package provider

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// handleUserInfo serves GET and POST /userinfo (OIDC Core §5.3).
func (p *Provider) handleUserInfo(w http.ResponseWriter, r *http.Request) {
	// 1. Exactly one access token, in the header or the body. RFC 6750 §2.
	raw, problem := p.bearerToken(w, r)
	if problem.Status != 0 {
		p.bearerError(w, r, problem)
		return
	}
	// 2. It is live: the store decides, so a revoked one is dead at once.
	token, err := p.accessToken(r.Context(), raw)
	if tokenIsDead(err) {
		p.bearerError(w, r, protocolError{Status: http.StatusUnauthorized, Code: "invalid_token", Description: deadToken(err)})
		return
	}
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. It was granted openid. OIDC Core §5.3.1, RFC 6750 §3.1.
	if !slices.Contains(token.Scopes, scopeOpenID) {
		p.bearerError(w, r, protocolError{
			Status: http.StatusForbidden, Code: "insufficient_scope", Description: "The access token was not granted the scope openid.",
		})
		return
	}
	// 4. The claims that its scopes ask for, and those asked for by name. OIDC
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
	// 5. Plain, or signed for the client that registered so. OIDC Core §5.3.2.
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

// bearerToken reads the access token, RFC 6750 §2.1 and §2.2. The query (§2.3)
// is refused: it ends in logs and histories.
func (p *Provider) bearerToken(w http.ResponseWriter, r *http.Request) (string, protocolError) {
	bad := func(what string) (string, protocolError) {
		return "", protocolError{Status: http.StatusBadRequest, Code: "invalid_request", Description: what}
	}
	if r.URL.Query().Has("access_token") {
		return bad("The access token must not be in the query (RFC 6750 section 2.3).")
	}
	var body string
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		form, err := bodyForm(w, r)
		if err != nil {
			return "", p.protocolError(err)
		}
		body = form.Get("access_token")
	}
	scheme, header, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case len(r.Header.Values("Authorization")) > 1, header != "" && body != "":
		return bad("The request carries more than one access token (RFC 6750 section 2).")
	case body != "":
		return body, protocolError{}
	case !strings.EqualFold(scheme, "Bearer"):
		// No token, or a scheme that is not known here: RFC 6750 §3.1.
		return "", protocolError{Status: http.StatusUnauthorized}
	case strings.TrimSpace(header) == "":
		return bad("The Authorization header must be: Bearer and the access token.")
	}
	return strings.TrimSpace(header), protocolError{}
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
