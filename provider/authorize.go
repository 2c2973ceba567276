package provider

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// handleAuthorize serves GET and POST /authorize (RFC 6749 §3.1, OIDC Core §3.1.2).
func (p *Provider) handleAuthorize(w http.ResponseWriter, r *http.Request) {
	// 1. Read the parameters.
	form, err := requestForm(w, r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 2. A POST from another site comes without our SameSite=Lax cookie, and
	//    the user would look signed out. A GET of our own brings it.
	pending := pendingRequest{Form: form, RequestedAt: time.Now().UTC()}
	if r.Method == http.MethodPost && p.readCookie(r, sessionCookie) == "" {
		p.redirectSealed(w, r, pathResume, pending)
		return
	}
	p.authorize(w, r, pending)
}

// handleResume serves GET /authorize/resume: the GET of our own that follows a
// POST to /authorize, or a session's end that came in between.
func (p *Provider) handleResume(w http.ResponseWriter, r *http.Request) {
	pending, _, ok := p.openSealed(w, r, r.URL.Query())
	if !ok {
		return
	}
	p.authorize(w, r, pending)
}

// authorize decides what an authorization request needs: an error, a login, a
// consent, or its answer.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, pending pendingRequest) {
	// 3. Validate the request. Until the client and its redirect URI are known
	//    to be right, errors go to a page (RFC 6749 §4.1.2.1).
	a, err := p.newAuthorization(r.Context(), pending)
	if err != nil {
		p.authorizeError(w, r, a, err)
		return
	}
	// 4. Who is signed in?
	session, err := p.currentSession(r)
	if err != nil {
		p.authorizeError(w, r, a, err)
		return
	}
	p.keepBrowserState(w, r, session)
	p.proceed(w, r, a, session)
}

// proceed continues with a known session: from /authorize, and after a login.
func (p *Provider) proceed(w http.ResponseWriter, r *http.Request, a *authorization, session *ssoSession) {
	if a.device != nil {
		p.redirectSealed(w, r, pathDevice, a.pending)
		return
	}
	if a.silent() {
		// A client that learns that nobody is signed in can watch for it to
		// change, as one that is told who is.
		a.sessionState = p.sessionState(a, session)
	}
	// 5. Does the user have to sign in? OIDC Core §3.1.2.3. Who has just signed
	//    in as another than the request names is not asked again.
	if reason := p.needsLogin(a, session); reason != "" {
		if a.silent() || session != nil && session.AuthTime.After(a.pending.RequestedAt) {
			p.authorizeError(w, r, a, refuse(fosite.ErrLoginRequired, check{
				What: reason, Section: oidcCore("3.1.2.6", "AuthError"),
			}))
			return
		}
		p.redirectSealed(w, r, pathLogin, a.pending)
		return
	}
	// 6. Does the user have to consent? OIDC Core §3.1.2.4.
	ask, err := p.needsConsent(r.Context(), a, session)
	if err != nil {
		p.authorizeError(w, r, a, err)
		return
	}
	if ask {
		if a.silent() {
			p.authorizeError(w, r, a, refuse(fosite.ErrConsentRequired, check{
				What: "The user has not allowed this yet.", Section: oidcCore("3.1.2.6", "AuthError"),
			}))
			return
		}
		p.redirectSealed(w, r, pathConsent, a.pending)
		return
	}
	// 7. Answer, in a unit of work.
	ctx, _ := p.begin(r.Context())
	p.grant(ctx, w, r, a, session)
}

// grant issues what the request asked for and sends it to the client.
func (p *Provider) grant(ctx context.Context, w http.ResponseWriter, r *http.Request, a *authorization, session *ssoSession) {
	work := workFrom(ctx)
	response, carried, err := p.issue(ctx, a, session)
	if err != nil {
		p.authorizeError(w, r, a, err)
		return
	}
	// The response leaves only after its commit.
	if err := work.commit(ctx); err != nil {
		p.grantFailed(w, r, a, err, work.begins(session.ID))
		return
	}
	params := response.GetParameters()
	if params.Has("token_type") {
		params.Set("token_type", "Bearer") // RFC 6750 §4
		params.Set("expires_in", strconv.FormatInt(carried.expiresIn(work.now), 10))
	}
	a.sessionState = p.sessionState(a, session)
	p.log.InfoContext(ctx, "authorized", "client", a.client.ID, "sub", session.Subject, "response_type", a.form.Get("response_type"))
	p.authorizeResponse(w, r, a, params)
}

// issue has fosite make code, access token and ID token (handler/oauth2,
// handler/openid), and collects what is to be stored.
func (p *Provider) issue(ctx context.Context, a *authorization, session *ssoSession) (fosite.AuthorizeResponder, *grantSession, error) {
	work := workFrom(ctx)
	work.client = a.client
	request, err := p.engineAuthorizeRequest(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	for _, scope := range a.scopes {
		request.GrantScope(scope)
	}
	for _, audience := range a.audience {
		request.GrantAudience(audience)
	}
	request.SetID(orderedID(work.now))
	work.claimPushedRequest(a)
	work.codeJKT = a.form.Get("dpop_jkt")
	grant := p.newGrant(a, session, work.now)
	p.bindToSession(work, a, session, &grant)
	carried := newGrantSession(grant, a.client.IDTokenSignedResponseAlg)
	carried.expire(work.now, a.client.lifetimes)
	response, err := p.oauth.authorize.NewAuthorizeResponse(ctx, request, carried)
	return response, carried, err
}

// grantFailed answers when what was issued could not be stored. signingIn says that the
// session was to be stored with it.
func (p *Provider) grantFailed(w http.ResponseWriter, r *http.Request, a *authorization, err error, signingIn bool) {
	if errors.Is(err, storage.ErrEnded) && !a.pending.Again {
		// In another tab the user signed out or in anew, just now: what the
		// request needs is to be decided anew.
		a.pending.Again = true
		p.redirectSealed(w, r, pathResume, a.pending)
		return
	}
	err = pushedError(a, err)
	if errors.Is(err, errPushedUsed) || signingIn { // who is not signed in either can send the form again
		p.pageError(w, r, err)
		return
	}
	p.authorizeError(w, r, a, err)
}

// newGrant records what the user allows.
func (p *Provider) newGrant(a *authorization, session *ssoSession, now time.Time) storage.Grant {
	lifetimes := a.client.lifetimes
	// Without a refresh token nothing lives longer than what the code brings.
	life := time.Duration(lifetimes.Code) + max(time.Duration(lifetimes.AccessToken), time.Duration(lifetimes.IDToken))
	if slices.Contains(a.scopes, scopeOfflineAccess) {
		life = time.Duration(lifetimes.Grant)
	}
	return storage.Grant{
		ClientID: a.client.ID, Subject: session.Subject,
		RedirectURI: a.form.Get("redirect_uri"), Nonce: a.form.Get("nonce"), Claims: a.kept,
		ACR: cmp.Or(a.acr, session.ACR), AMR: session.AMR,
		AuthTime: session.AuthTime, RequestedAt: a.pending.RequestedAt,
		CreatedAt: now, ExpiresAt: now.Add(life),
	}
}

// needsConsent reports whether the user must be asked. What was allowed before
// is remembered per user and client, scope by scope, claim by claim and resource by
// resource. A request for no scope at all still tells the client who the user is,
// so the first one asks too.
func (p *Provider) needsConsent(ctx context.Context, a *authorization, session *ssoSession) (bool, error) {
	if slices.Contains(a.prompts, "consent") {
		return true, nil
	}
	if a.client.SkipConsent {
		return false, nil
	}
	consent, err := p.allowedBefore(ctx, a, session.Subject)
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(a.scopes, func(s string) bool { return !slices.Contains(consent.Scopes, s) }) ||
		slices.ContainsFunc(a.beyondScopes(), func(name string) bool { return !claimAllowed(consent, name) }) ||
		slices.ContainsFunc(p.otherResources(a), func(uri string) bool { return !slices.Contains(consent.Resources, uri) }), nil
}

// needsLogin says in a sentence why the user must sign in, or returns "".
func (p *Provider) needsLogin(a *authorization, session *ssoSession) string {
	switch {
	case session == nil:
		return "Nobody is signed in at the provider."
	case !a.allowsSubject(p.subjectFor(a.client, session.Subject)):
		return "The request is for another user than the one who is signed in."
	case session.AuthTime.After(a.pending.RequestedAt):
		return "" // the login was for this very request
	case slices.Contains(a.prompts, "login"):
		return "The client asks for a new login."
	case slices.Contains(a.prompts, "select_account"):
		return "The client asks the user to choose an account."
	case a.maxAge != nil && a.pending.RequestedAt.Sub(session.AuthTime) > *a.maxAge:
		return "The last login is longer ago than max_age allows."
	}
	return ""
}

// allowsSubject reports whether the answer may be about this user: the one of
// id_token_hint (OIDC Core §3.1.2.1) and of the claim sub (§3.1.2.2).
func (a *authorization) allowsSubject(subject string) bool {
	return !slices.ContainsFunc(a.subjects, func(allowed []string) bool { return !slices.Contains(allowed, subject) })
}

// silent reports whether no page may be shown.
func (a *authorization) silent() bool { return slices.Contains(a.prompts, "none") }

// requestForm reads the parameters from where the method has them.
func requestForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		return bodyForm(w, r)
	}
	return queryForm(r)
}

// redirectSealed sends the browser to a page of ours with the pending request.
func (p *Provider) redirectSealed(w http.ResponseWriter, r *http.Request, path string, pending pendingRequest) {
	sealed, err := p.seal(pending)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	p.redirect(w, p.base+path+"?"+sealedField+"="+sealed) // base64url
}

// seal returns a pending request as it travels, if it is not too long for that.
func (p *Provider) seal(pending pendingRequest) (string, error) {
	sealed := p.sealer.seal(pending)
	if len(sealed) > maxSealed {
		return "", refuse(fosite.ErrInvalidRequest, check{What: "The authorization request is too long.", Section: rfc6749("10.14")})
	}
	return sealed, nil
}

// redirect is a 303, so that a POST is never repeated at its target with the
// password in it (RFC 9700 §4.12).
func (p *Provider) redirect(w http.ResponseWriter, location string) {
	h := w.Header()
	h.Set("Location", location)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// openSealed reads the pending request of a page of ours, or answers an error.
func (p *Provider) openSealed(w http.ResponseWriter, r *http.Request, form url.Values) (pendingRequest, string, bool) {
	sealed := form.Get(sealedField)
	pending, err := p.sealer.open(sealed)
	if err == nil && time.Since(pending.RequestedAt) <= interactionLifetime {
		return pending, sealed, true
	}
	what := "This page belongs to an application's request to sign in. Start again at the application."
	if err == nil {
		what = "This page has been open for too long. Start again at the application."
	}
	page := p.errorPage(r, refuse(fosite.ErrInvalidRequest, check{What: what, Section: rfc6749("4.1.1")}))
	if c, unknown := p.client(r.Context(), pending.Form.Get("client_id")); err == nil && unknown == nil {
		page.ClientName, page.StartURL = c.displayName(), p.startURL(c)
	}
	p.pages.error(w, page)
	return pendingRequest{}, "", false
}

// startURL is where a login at the client begins anew, "" if it has not said:
// OIDC Core §4.
func (p *Provider) startURL(c *client) string {
	if c.InitiateLoginURI == "" {
		return ""
	}
	u, err := url.Parse(c.InitiateLoginURI)
	if err != nil {
		return ""
	}
	return withQuery(u, url.Values{"iss": {p.issuer}})
}

// splitSpaces is a space-delimited list, RFC 6749 §3.3.
func splitSpaces(s string) []string {
	if s == "" {
		return nil
	}
	return slices.DeleteFunc(strings.Split(s, " "), func(part string) bool { return part == "" })
}
