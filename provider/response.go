package provider

import (
	"net/http"
	"net/url"

	"github.com/ory/fosite"
)

// authorizeResponse sends params to the client in the request's response mode.
func (p *Provider) authorizeResponse(w http.ResponseWriter, r *http.Request, a *authorization, params url.Values) {
	params.Del("state")
	if a.hasState {
		params.Set("state", a.state)
	}
	params.Set("iss", p.issuer) // RFC 9207 §2
	if a.sessionState != "" {
		params.Set("session_state", a.sessionState) // Session Management §2
	}
	if a.signed {
		var err error
		if params, err = p.signResponse(r.Context(), a.client, params); err != nil {
			p.pageError(w, r, err)
			return
		}
	}
	switch a.mode {
	case fosite.ResponseModeFormPost:
		// OAuth 2.0 Form Post Response Mode §2.
		p.pages.formPost(w, newFormPostPage(a.redirectURI.String(), params))
	case fosite.ResponseModeFragment:
		p.redirect(w, a.redirectURI.String()+"#"+params.Encode())
	default:
		p.redirect(w, withQuery(a.redirectURI, params))
	}
}

// withQuery adds parameters to a registered URI. Its own query is kept as it
// is: RFC 6749 §3.1.2.
func withQuery(registered *url.URL, params url.Values) string {
	u := *registered
	if u.RawQuery != "" && len(params) > 0 {
		u.RawQuery += "&"
	}
	u.RawQuery += params.Encode()
	return u.String()
}

// authorizeError sends an error to the client, or to a page as long as there is
// nowhere safe to redirect (RFC 6749 §4.1.2.1).
func (p *Provider) authorizeError(w http.ResponseWriter, r *http.Request, a *authorization, err error) {
	if a == nil || a.redirectURI == nil {
		p.pageError(w, r, err)
		return
	}
	e := p.protocolError(err)
	if e.Status < http.StatusInternalServerError {
		if err := p.answerPushedRequest(r.Context(), a); err != nil {
			p.pageError(w, r, err)
			return
		}
	}
	p.logError(r, e, err)
	params := url.Values{"error": {e.Code}, "error_description": {e.Description}}
	if link := e.Section.URL(); link != "" {
		params.Set("error_uri", link)
	}
	p.authorizeResponse(w, r, a, params)
}
