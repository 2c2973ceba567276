package provider

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// logoutRequest is a validated request to end the session, OpenID Connect
// RP-Initiated Logout 1.0 §2.
type logoutRequest struct {
	client *client // who asks, if it said so provably or by client_id
	// subject is the "sub" of id_token_hint; "" without one.
	subject string
	// returnURI is where to send the browser afterwards; nil: to our own page.
	returnURI *url.URL
	state     string
}

// logoutParameters are those of §2 that are read. They travel through the
// confirmation page. logout_hint and ui_locales change nothing here: a hint
// that anybody can write is no proof, and the pages speak one language.
var logoutParameters = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}

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

func logoutSection() section {
	return section{document: "OpenID Connect RP-Initiated Logout", url: "https://openid.net/specs/openid-connect-rpinitiated-1_0.html", part: "2", anchor: "RPLogout"}
}

// newLogoutRequest validates the parameters.
func (p *Provider) newLogoutRequest(ctx context.Context, form url.Values) (*logoutRequest, error) {
	req := &logoutRequest{state: form.Get("state")}
	for _, step := range []func(context.Context, *logoutRequest, url.Values) error{
		p.readLogoutHint, p.readLogoutClient, readReturnURI,
	} {
		if err := step(ctx, req, form); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// readLogoutHint takes the client and the user from the hint.
func (p *Provider) readLogoutHint(ctx context.Context, req *logoutRequest, form url.Values) error {
	raw := form.Get("id_token_hint")
	if raw == "" {
		return nil
	}
	claims, err := p.idTokenHint(ctx, raw)
	if err != nil {
		return err
	}
	req.subject, _ = claims["sub"].(string)
	req.client, err = p.namedClient(ctx, hintClient(claims), refuse(fosite.ErrInvalidRequest, check{
		What: "id_token_hint was issued to a client that is not registered.", Section: logoutSection(),
	}))
	return err
}

// readLogoutClient takes the client from client_id, which must not contradict
// the hint.
func (p *Provider) readLogoutClient(ctx context.Context, req *logoutRequest, form url.Values) error {
	id := form.Get("client_id")
	if id == "" {
		return nil
	}
	asking, err := p.namedClient(ctx, id, refuse(fosite.ErrInvalidRequest, check{
		What: "client_id names no registered client.", Expected: "a client_id that is registered", Arrived: printable(id), Section: logoutSection(),
	}))
	if err != nil {
		return err
	}
	if req.client != nil && req.client.ID != asking.ID {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "client_id is not the client of id_token_hint.", Expected: req.client.ID, Arrived: printable(id), Section: logoutSection(),
		})
	}
	req.client = asking
	return nil
}

// readReturnURI compares with the registration of the client, which the hint
// or client_id has named: exactly (§3).
func readReturnURI(_ context.Context, req *logoutRequest, form url.Values) (err error) {
	raw := form.Get("post_logout_redirect_uri")
	if raw == "" {
		return nil
	}
	if req.client == nil {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "post_logout_redirect_uri needs an id_token_hint.", Expected: "id_token_hint, or client_id", Section: logoutSection(),
		})
	}
	if !slices.Contains(req.client.PostLogoutRedirectURIs, raw) {
		return refuse(fosite.ErrInvalidRequest, check{
			What:     "post_logout_redirect_uri is not one that the client registered.",
			Expected: cmp.Or(strings.Join(req.client.PostLogoutRedirectURIs, " or "), "none, since the client registered none"), Arrived: raw, Section: logoutSection(),
		})
	}
	req.returnURI, err = url.Parse(raw)
	return err
}

// returnURL is where the browser goes in the end, with state and nothing else
// (§3); "" for our own page.
func (req *logoutRequest) returnURL() string {
	if req.returnURI == nil {
		return ""
	}
	state := url.Values{}
	if req.state != "" {
		state.Set("state", req.state)
	}
	return withQuery(req.returnURI, state)
}

// declined is the page for a user who stays signed in. Its link has no state:
// nothing came of the request.
func (req *logoutRequest) declined() signedOutPage {
	page := signedOutPage{StillSignedIn: true}
	if req.returnURI != nil {
		page.ClientName, page.ReturnURL = req.clientName(), req.returnURI.String()
	}
	return page
}

// startAfter is where a login begins anew at a client that shows an ID token:
// anybody can name another's client_id.
func (p *Provider) startAfter(req *logoutRequest) string {
	if req.subject == "" {
		return ""
	}
	return p.startURL(req.client)
}

// isConfirmed reports whether the end of a session, or of none, was asked for
// by somebody who may send the browser on: a client that shows an ID token, or
// the user, who said yes on our page (§2). Whoever else comes by when nobody is
// signed in gets a page with a link.
func (req *logoutRequest) isConfirmed(session *ssoSession) bool {
	return req.subject != "" || session != nil
}

// proves reports whether the hint names the session's user. The session itself
// ("sid") may be another by now, after a new login.
func (p *Provider) proves(req *logoutRequest, session *ssoSession) bool {
	return req.subject != "" && req.subject == p.subjectFor(req.client, session.Subject)
}

// clientName is what pages call the client that asks; "" if none is known.
func (req *logoutRequest) clientName() string {
	if req.client == nil {
		return ""
	}
	return req.client.displayName()
}
