package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"
)

// logoutRequest is a validated request to end the session, OpenID Connect
// RP-Initiated Logout 1.0 §2.
type logoutRequest struct {
	client *client // who asks, if it said so provably or by client_id
	hint   map[string]any
	// returnURI is where to send the browser afterwards; nil: to our own page.
	returnURI *url.URL
}

// logoutParameters are those of §2 that are read. They travel through the
// confirmation page.
var logoutParameters = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}

// handleLogout serves GET and POST /logout.
func (p *Provider) handleLogout(w http.ResponseWriter, r *http.Request) {
	ctx, work := p.begin(r.Context())
	// 1. Read and validate the request. RP-Initiated Logout §2.
	form, err := requestForm(w, r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	req, err := p.newLogoutRequest(ctx, form)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 2. A POST from another site comes without our SameSite=Lax cookie, and
	//    the user would look signed out. A GET of our own brings it.
	if r.Method == http.MethodPost && p.readCookie(r, sessionCookie) == "" {
		p.redirect(w, p.base+pathLogout+"?"+logoutQuery(form).Encode())
		return
	}
	// 3. Whose session would end?
	session, err := p.currentSession(r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 4. Without proof that the session's own client asks, the user is asked:
	//    another site must not sign people out (§2, §6).
	confirmed := r.Method == http.MethodPost && form.Has("logout")
	switch {
	case session == nil:
	case confirmed && !p.checkCSRF(r, form.Get("csrf")):
		p.pageError(w, r, errForeignForm)
		return
	case confirmed && form.Get("logout") != "yes":
		p.pages.signedOut(w, req.declined())
		return
	case !confirmed && !p.proves(req, session):
		p.showLogout(w, r, req, form, session)
		return
	}
	// 5. End it.
	if session != nil {
		if err := p.endSession(ctx, w, work, session); err != nil {
			p.pageError(w, r, err)
			return
		}
		p.log.InfoContext(ctx, "signed out", "sub", session.Subject)
	}
	// 6. Back to the client, with state and nothing else (§3).
	if req.returnURI == nil {
		p.pages.signedOut(w, signedOutPage{})
		return
	}
	state := url.Values{}
	if value := form.Get("state"); value != "" {
		state.Set("state", value)
	}
	p.redirect(w, withQuery(req.returnURI, state))
}

// declined is the page for a user who stays signed in.
func (req *logoutRequest) declined() signedOutPage {
	page := signedOutPage{StillSignedIn: true}
	if req.returnURI != nil {
		page.ClientName, page.ReturnURL = req.client.displayName(), req.returnURI.String()
	}
	return page
}

// logoutQuery is what of a form belongs to the logout request.
func logoutQuery(form url.Values) url.Values {
	query := url.Values{}
	for _, name := range logoutParameters {
		if value := form.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// newLogoutRequest validates the parameters. A redirect needs a valid hint and
// a registered URI.
func (p *Provider) newLogoutRequest(ctx context.Context, form url.Values) (*logoutRequest, error) {
	section := section{"OpenID Connect RP-Initiated Logout §2", "https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout"}
	req := &logoutRequest{}
	if raw := form.Get("id_token_hint"); raw != "" {
		claims, err := p.idTokenHint(ctx, raw)
		if err != nil {
			return nil, err
		}
		req.hint = claims
		audience, _ := claims["aud"].(string)
		req.client, err = p.namedClient(ctx, audience, refuse(fosite.ErrInvalidRequest, check{
			What: "id_token_hint was issued to a client that is not registered.", Section: section,
		}))
		if err != nil {
			return nil, err
		}
	}
	if id := form.Get("client_id"); id != "" {
		asking, err := p.namedClient(ctx, id, refuse(fosite.ErrInvalidRequest, check{
			What: "client_id names no registered client.", Arrived: printable(id), Section: section,
		}))
		if err != nil {
			return nil, err
		}
		if req.client != nil && req.client.ID != asking.ID {
			return nil, refuse(fosite.ErrInvalidRequest, check{
				What: "client_id is not the client of id_token_hint.", Expected: req.client.ID, Arrived: printable(id), Section: section,
			})
		}
		req.client = asking
	}
	raw := form.Get("post_logout_redirect_uri")
	if raw == "" {
		return req, nil
	}
	if req.hint == nil {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "post_logout_redirect_uri needs an id_token_hint.", Expected: "id_token_hint", Section: section,
		})
	}
	if !slices.Contains(req.client.PostLogoutRedirectURIs, raw) {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "post_logout_redirect_uri is not one that the client registered.", Arrived: raw, Section: section,
		})
	}
	var err error
	req.returnURI, err = url.Parse(raw)
	return req, err
}

// proves reports whether the hint names the session's user. The session itself
// ("sid") may be another by now, after a new login.
func (p *Provider) proves(req *logoutRequest, session *ssoSession) bool {
	return req.hint != nil && req.hint["sub"] == p.subjectFor(req.client, session.Subject)
}

func (p *Provider) showLogout(w http.ResponseWriter, r *http.Request, req *logoutRequest, form url.Values, session *ssoSession) {
	page := logoutPage{Action: p.base + pathLogout, CSRF: p.csrfToken(w, r), Username: session.user.Username}
	if req.client != nil {
		page.ClientName = req.client.displayName()
	}
	if req.returnURI != nil {
		page.FormTarget = req.returnURI.String()
	}
	for _, name := range logoutParameters {
		if value := form.Get(name); value != "" {
			page.Params = append(page.Params, field{Name: name, Value: value})
		}
	}
	p.pages.logout(w, http.StatusOK, page)
}

// idTokenHint returns the claims of an ID token that we issued, whatever its
// age (OIDC Core §3.1.2.1, RP-Initiated Logout §4).
func (p *Provider) idTokenHint(ctx context.Context, raw string) (map[string]any, error) {
	claims, err := p.keys.verify(ctx, raw, typeJWT)
	if errors.Is(err, errKeysUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	// Signed userinfo has no exp, a signed authorization response no sub:
	// neither may stand for an ID token (RFC 8725 §2.8).
	if err != nil || claims["iss"] != p.issuer || claims["exp"] == nil || claims["sub"] == nil {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "id_token_hint is not an ID token of this provider.", Expected: "an ID token signed with a key of /jwks and iss " + p.issuer,
			Arrived: "another", Section: oidcCore("3.1.2.1", "AuthRequest"),
		})
	}
	return claims, nil
}
