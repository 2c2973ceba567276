package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// handleIntrospect serves POST /introspect (RFC 7662).
func (p *Provider) handleIntrospect(w http.ResponseWriter, r *http.Request) {
	// 1. Who asks? RFC 7662 §2.1: the caller must authenticate.
	form, caller, ok := p.authenticatedForm(w, r)
	if !ok {
		return
	}
	if caller.IsPublic() {
		p.tokenError(w, r, refuse(fosite.ErrInvalidClient, check{
			What: "A public client cannot introspect tokens.", Section: rfc("7662", "2.1"),
		}))
		return
	}
	raw := form.Get("token")
	if raw == "" {
		p.tokenError(w, r, refuse(fosite.ErrInvalidRequest, check{What: "token is missing.", Section: rfc("7662", "2.1")}))
		return
	}
	// 2. The token, by its kind. token_type_hint may be wrong, so it only
	//    orders the search; here both kinds are told apart by their lookup.
	body, err := p.introspection(r.Context(), caller, raw)
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. What is no good, or none of the caller's business, is "inactive"
	//    without a reason. RFC 7662 §2.2.
	if body == nil {
		body = map[string]any{"active": false}
	}
	p.writeJSON(w, http.StatusOK, body)
}

// introspection describes a live token that the caller may see, or is nil.
func (p *Provider) introspection(ctx context.Context, caller *client, raw string) (map[string]any, error) {
	token, err := p.accessToken(ctx, raw)
	if err == nil {
		if !mayIntrospect(caller, token) {
			return nil, nil //nolint:nilnil // "inactive"
		}
		return p.describeAccessToken(token), nil
	}
	if !tokenIsDead(err) {
		return nil, err
	}
	refresh, grant, err := p.refreshToken(ctx, raw)
	switch {
	case tokenIsDead(err):
		return nil, nil //nolint:nilnil // "inactive"
	case err != nil:
		return nil, err
	case grant.ClientID != caller.ID:
		// A refresh token is for the provider and its client alone.
		return nil, nil //nolint:nilnil // "inactive"
	}
	grant.Scopes = caller.stillAllowed(grant.Scopes)
	if !slices.Contains(grant.Scopes, scopeOfflineAccess) {
		return nil, nil //nolint:nilnil // "inactive": the token endpoint takes it no more
	}
	return p.describeRefreshToken(caller, refresh, grant), nil
}

// mayIntrospect: the client that holds the token, and the resource server that
// it is for. RFC 7662 §4 warns of letting anybody ask about any token.
func mayIntrospect(caller *client, token presentedToken) bool {
	return token.client.ID == caller.ID ||
		caller.ResourceServer != "" && slices.Contains(token.Audience, caller.ResourceServer)
}

func (p *Provider) describeAccessToken(token presentedToken) map[string]any {
	body := p.describeGrant(token.client, token.grant)
	body["token_type"] = tokenType(token.JKT)
	if token.JKT != "" {
		body["cnf"] = confirmation(token.JKT) // RFC 9449 §6.2
	}
	if len(token.Scopes) > 0 {
		body["scope"] = scopeString(token.Scopes)
	}
	body["aud"] = token.Audience
	body["iat"], body["exp"] = token.IssuedAt.Unix(), token.ExpiresAt.Unix()
	if token.JTI != "" {
		body["jti"] = token.JTI
	}
	return body
}

// describeRefreshToken carries no token_type: that member is about access
// tokens (RFC 7662 §2.2).
func (p *Provider) describeRefreshToken(c *client, token storage.RefreshToken, grant storage.Grant) map[string]any {
	body := p.describeGrant(c, grant)
	body["scope"] = scopeString(grant.Scopes)
	body["iat"], body["exp"] = token.IssuedAt.Unix(), token.ExpiresAt.Unix()
	return body
}

// describeGrant names the user as the client of the grant knows them, also to a
// resource server: what it is told by different clients of pairwise subjects
// must not fit together (OIDC Core §8.1), so there is no username either.
func (p *Provider) describeGrant(c *client, grant storage.Grant) map[string]any {
	body := map[string]any{"active": true, "iss": p.issuer, "client_id": c.ID, "sub": p.subjectFor(c, grant.Subject)}
	if user := p.users.bySubject(grant.Subject); user != nil && c.SubjectType != subjectPairwise {
		body["username"] = user.Username
	}
	return body
}

// authenticatedForm reads the form and authenticates the client of an endpoint
// beside the token endpoint, or answers an error.
func (p *Provider) authenticatedForm(w http.ResponseWriter, r *http.Request) (url.Values, *client, bool) {
	form, err := bodyForm(w, r)
	if err == nil {
		var c *client
		if c, err = p.authenticateClient(r, form); err == nil {
			return form, c, true
		}
	}
	p.tokenError(w, r, err)
	return nil, nil, false
}
