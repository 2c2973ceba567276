package provider

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
)

// interaction is a request to one of the pages that an authorization request
// leads to.
type interaction struct {
	form   url.Values
	sealed string
	a      *authorization
}

// openInteraction reads the page's parameters and the pending authorization
// request in them, or answers an error.
func (p *Provider) openInteraction(ctx context.Context, w http.ResponseWriter, r *http.Request) (*interaction, bool) {
	form, err := requestForm(w, r)
	if err != nil {
		p.pageError(w, r, err)
		return nil, false
	}
	return p.openForm(ctx, w, r, form)
}

// openForm is openInteraction for parameters that are read already.
func (p *Provider) openForm(ctx context.Context, w http.ResponseWriter, r *http.Request, form url.Values) (*interaction, bool) {
	pending, sealed, ok := p.openSealed(w, r, form)
	if !ok {
		return nil, false
	}
	// The client may have changed since the request was sealed.
	a, err := p.reopen(ctx, pending)
	if err != nil {
		p.authorizeError(w, r, a, err)
		return nil, false
	}
	return &interaction{form: form, sealed: sealed, a: a}, true
}

// reopen checks a pending request again.
func (p *Provider) reopen(ctx context.Context, pending pendingRequest) (*authorization, error) {
	if pending.UserCode != "" {
		return p.deviceRequest(ctx, pending)
	}
	return p.newAuthorization(ctx, pending)
}

// handleLogin serves GET and POST /login, the page that an authorization
// request leads to when the user must sign in.
func (p *Provider) handleLogin(w http.ResponseWriter, r *http.Request) {
	// 1. The page belongs to a pending authorization request.
	in, ok := p.openInteraction(r.Context(), w, r)
	if !ok {
		return
	}
	if r.Method != http.MethodPost {
		p.showLogin(w, r, in, http.StatusOK, "")
		return
	}
	// 2. The form was sent from our own page in this browser.
	if !p.checkCSRF(r, in.form.Get("csrf")) {
		p.showLogin(w, r, in, http.StatusForbidden, "The form was not sent from this page, or your browser keeps no cookies. Try again.")
		return
	}
	// 3. The password.
	user, err := p.users.authenticate(r.Context(), p.loginAttempt(r, in.form.Get("username"), in.form.Get("password")))
	if err != nil {
		p.refuseLogin(w, r, in, err)
		return
	}
	before, err := p.currentSession(r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 4. A new session. If the request can be answered at once, it is written with
	//    what is answered.
	ctx, work := p.begin(r.Context())
	session := p.newSession(user, work.now)
	if before == nil && p.answersAtOnce(ctx, in.a, session) {
		work.onSuccess.Sessions = append(work.onSuccess.Sessions, session.Session)
		work.committed = append(work.committed, func() { p.sessionStarted(ctx, w, r, session) })
		p.grant(ctx, w, r, in.a, session)
		return
	}
	// 5. Else it is written before anybody relies on it, and the authorization request
	//    goes on.
	if err := p.startSession(ctx, w, r, before, session); err != nil {
		p.pageError(w, r, err)
		return
	}
	p.proceed(w, r, in.a, session)
}

// answersAtOnce reports whether nothing stands between a new session and the answer. If
// that cannot be found out, it does: proceed says so.
func (p *Provider) answersAtOnce(ctx context.Context, a *authorization, session *ssoSession) bool {
	if a.device != nil || a.silent() || p.needsLogin(a, session) != "" {
		return false
	}
	ask, err := p.needsConsent(ctx, a, session)
	return err == nil && !ask
}

func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request, in *interaction, status int, problem string) {
	username := in.form.Get("username")
	if username == "" {
		username = in.a.form.Get("login_hint")
	}
	session, err := p.currentSession(r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	p.pages.login(w, status, loginPage{
		clientView: p.viewOf(in.a.client),
		Action:     p.base + pathLogin, Request: in.sealed, CSRF: p.csrfToken(w, r),
		Username: username, Error: problem, Reauthenticate: session != nil,
		FormTarget: in.a.returnURL(), DemoUsers: p.demoUsers, Warning: cmp.Or(in.a.warning(), p.users.throttle.warning()),
	})
}
