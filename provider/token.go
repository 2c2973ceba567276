package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// handleToken serves POST /token (RFC 6749 §3.2, OIDC Core §3.1.3).
func (p *Provider) handleToken(w http.ResponseWriter, r *http.Request) {
	ctx, work := p.begin(r.Context())
	// 1. Read the parameters. RFC 6749 §3.2.
	form, err := bodyForm(w, r)
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 2. A grant type that is offered, and the grant itself. RFC 6749 §5.2.
	if err := checkGrant(form); err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. Whose key will the tokens be bound to, if any? RFC 9449 §5.
	proof, err := p.checkProof(w, r, "")
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	work.jkt = proof.thumbprint()
	// 4. Authenticate the client (clientauth.go) and check the grant: RFC 6749
	//    §4.1.3, §4.4.2, §6 (fosite: handler/oauth2/flow_*.go); PKCE: RFC 7636
	//    §4.6 (fosite: handler/pkce/handler.go).
	oauth := p.oauth.grants[form.Get("grant_type")]
	req, err := oauth.NewAccessRequest(ctx, engineRequest(ctx, r, form), newGrantSession(storage.Grant{}, ""))
	if err != nil {
		p.tokenFailed(ctx, w, r, work, p.whyRefused(ctx, req, err)) // grantrefusal.go
		return
	}
	// 5. The proof comes once, and where it is a must it comes. RFC 9449 §5.2.
	if err := p.settleProof(ctx, clientOf(req), proof); err != nil {
		p.tokenFailed(ctx, w, r, work, err)
		return
	}
	// 6. What each grant adds to fosite's checks.
	if err := p.refine(req, form, work); err != nil {
		p.tokenFailed(ctx, w, r, work, err)
		return
	}
	// 7. Mint the tokens. fosite collects what is to be stored in the unit of work.
	response, err := oauth.NewAccessResponse(ctx, &wholeAccessRequest{req})
	if err != nil {
		p.tokenFailed(ctx, w, r, work, err)
		return
	}
	// 8. Spend the code or rotate the refresh token and store what is new, in
	//    one transaction. Whoever comes second is refused here.
	if err := work.commit(ctx); err != nil {
		// Who polls for a device may ask twice at once: nothing is revoked then.
		if errors.Is(err, storage.ErrUsed) && form.Get("grant_type") != grantDevice {
			p.logReuse(ctx)
		}
		p.tokenError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "tokens issued", "client", req.GetClient().GetID(), "grant_type", form.Get("grant_type"))
	p.writeJSON(w, http.StatusOK, newTokenResponse(response, tokenType(work.jkt), sessionOf(req).expiresIn(work.now)))
}

// tokenFailed answers an error, after writing what must survive it.
func (p *Provider) tokenFailed(ctx context.Context, w http.ResponseWriter, r *http.Request, work *work, err error) {
	if writeErr := work.abort(ctx); writeErr != nil {
		err = writeErr
	} else if len(work.always.revokeGrants) > 0 {
		p.logReuse(ctx)
	}
	p.tokenError(w, r, err)
}

// logReuse notes that a code or refresh token came a second time, which is how
// a theft shows (RFC 9700 §4.14.2).
func (p *Provider) logReuse(ctx context.Context) {
	p.log.WarnContext(ctx, "a used code or refresh token was presented again; its grant is revoked")
}

// grantTypes are the grants that the token endpoint accepts.
var grantTypes = []string{grantCode, grantRefresh, grantClientCredentials, grantDevice}

func checkGrant(form url.Values) error {
	missing := func(name, sec string) error {
		return refuse(fosite.ErrInvalidRequest, check{What: name + " is missing.", Section: rfc6749(sec)})
	}
	switch grantType := form.Get("grant_type"); {
	case grantType == "":
		return missing("grant_type", "5.2")
	case !slices.Contains(grantTypes, grantType):
		return refuse(fosite.ErrUnsupportedGrantType, check{
			What: "grant_type is not supported.", Expected: strings.Join(grantTypes, ", "), Arrived: grantType, Section: rfc6749("5.2"),
		})
	case grantType == grantCode && form.Get("code") == "":
		return missing("code", "4.1.3")
	case grantType == grantRefresh && form.Get("refresh_token") == "":
		return missing("refresh_token", "6")
	case grantType == grantDevice && form.Get("device_code") == "":
		return refuse(fosite.ErrInvalidRequest, check{What: "device_code is missing.", Section: rfc("8628", "3.4")})
	}
	return nil
}

// engineRequest is the request as fosite reads it: from the parameters that we
// parsed, without audience or resource parameters of its own reading.
func engineRequest(ctx context.Context, r *http.Request, form url.Values) *http.Request {
	form = cloneWithout(form, "audience", "resource")
	// fosite reads "scope" of a refresh only to ignore it; see refine.
	return (&http.Request{
		Method: http.MethodPost, URL: r.URL, Header: r.Header, Body: http.NoBody, Form: form, PostForm: form,
	}).WithContext(ctx)
}

func cloneWithout(form url.Values, names ...string) url.Values {
	clone := url.Values{}
	for name, values := range form {
		if !slices.Contains(names, name) {
			clone[name] = values
		}
	}
	return clone
}

// refine completes what fosite accepted, grant by grant.
func (p *Provider) refine(req fosite.AccessRequester, form url.Values, work *work) (err error) {
	switch form.Get("grant_type") {
	case grantCode:
		granted := req.GetRequestedAudience()
		work.audience, err = narrowedAudience(form, granted, granted)
	case grantClientCredentials:
		err = p.grantToClient(req, form, work.now)
	case grantDevice:
		err = narrowAudience(req, form)
	case grantRefresh:
		if err = narrowAudience(req, form); err == nil {
			err = narrowScope(req, form)
		}
	}
	sessionOf(req).expire(work.now, clientOf(req).lifetimes)
	return err
}

// accessRequest is fosite's own request, whose fields can be set.
func accessRequest(req fosite.AccessRequester) (*fosite.AccessRequest, error) {
	request, ok := req.(*fosite.AccessRequest)
	if !ok {
		return nil, fmt.Errorf("fosite made a %T, not an AccessRequest", req)
	}
	return request, nil
}

// narrowAudience applies the resource parameter to the new access token, and
// only to that. More than was granted is refused. RFC 8707 §2.2.
func narrowAudience(req fosite.AccessRequester, form url.Values) error {
	request, err := accessRequest(req)
	if err != nil {
		return err
	}
	audience, err := narrowedAudience(form, request.GrantedAudience, request.GrantedAudience)
	request.GrantedAudience = audience
	return err
}

// narrowScope does the same with the scope parameter of a refresh. RFC 6749 §6.
func narrowScope(req fosite.AccessRequester, form url.Values) error {
	wanted := splitSpaces(form.Get("scope"))
	if len(wanted) == 0 {
		return nil
	}
	granted := req.GetGrantedScopes()
	var narrowed fosite.Arguments
	for _, scope := range wanted {
		if narrowed.Has(scope) {
			continue
		}
		if !slices.Contains(granted, scope) {
			return refuse(fosite.ErrInvalidScope, check{
				What: "A refresh cannot ask for more than was granted.", Expected: scopeString(granted), Arrived: scope, Section: rfc6749("6"),
			})
		}
		narrowed = append(narrowed, scope)
	}
	request, err := accessRequest(req)
	if err != nil {
		return err
	}
	request.GrantedScope = narrowed
	return nil
}

// grantToClient makes the grant of client_credentials, RFC 6749 §4.4: the client
// acts for itself, so scopes about a user make no sense.
func (p *Provider) grantToClient(req fosite.AccessRequester, form url.Values, now time.Time) error {
	c := clientOf(req)
	for _, scope := range req.GetRequestedScopes() {
		if slices.Contains(userScopes, scope) {
			return refuse(fosite.ErrInvalidScope, check{
				What: "The scope is about a user, and this grant has none.", Expected: "scopes of a resource server", Arrived: scope, Section: rfc6749("4.4.2"),
			})
		}
		req.GrantScope(scope)
	}
	audience, err := p.targets(c, form)
	if err != nil {
		return err
	}
	for _, target := range audience {
		req.GrantAudience(target)
	}
	session := sessionOf(req)
	session.grant = storage.Grant{
		ClientID: c.ID, Subject: c.ID, RequestedAt: now, CreatedAt: now,
		ExpiresAt: now.Add(time.Duration(c.lifetimes.AccessToken)),
	}
	req.SetID(orderedID(now))
	return nil
}

// tokenResponse is the body of a successful answer, RFC 6749 §5.1, OIDC Core §3.1.3.3.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	IDToken      string `json:"id_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	TokenType    string `json:"token_type"`
}

// newTokenResponse takes what fosite issued, but for "token_type", which it writes in
// small letters, and "expires_in", which it rounds.
func newTokenResponse(issued fosite.AccessResponder, tokenType string, expiresIn int64) tokenResponse {
	extra := func(name string) string {
		value, _ := issued.GetExtra(name).(string)
		return value
	}
	return tokenResponse{
		AccessToken: issued.GetAccessToken(), TokenType: tokenType, ExpiresIn: expiresIn,
		IDToken: extra("id_token"), RefreshToken: extra("refresh_token"), Scope: extra("scope"),
	}
}
