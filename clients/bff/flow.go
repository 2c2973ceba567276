package bff

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/clients/internal/records"
)

// loginLifetime is how long a person may take at the provider.
const loginLifetime = 10 * time.Minute

// login is what the backend remembers between /login and /callback. It is kept
// under its state, one record per login, so that two tabs can each sign in; it
// is sealed with the login cookie, so that only the browser which began a login
// can complete it.
type login struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Previous string `json:"previous"` // the session that this browser had before
	Steps    []step `json:"steps"`
}

// handleLogin serves GET /login: it sends the browser to the provider.
func (b *BFF) handleLogin(w http.ResponseWriter, r *http.Request) {
	op, err := b.op.discover(r.Context())
	if err != nil {
		b.refusePage(w, r, err)
		return
	}

	// 1. Mark the browser. A browser that has the mark keeps it, since a login in
	//    another of its tabs may be under way. RFC 9700 §4.7.1.
	browser := cookie(r, loginCookie)
	if browser == "" {
		browser = newSecret()
	}

	// 2. Make what ties the response to this login: state against forged
	//    responses (RFC 6749 §10.12), nonce against injected ID tokens and codes
	//    (OpenID Connect Core §3.1.2.1, RFC 9700 §4.5.3.2), the PKCE verifier
	//    against stolen codes (RFC 7636 §4.1).
	state := newSecret()
	started := login{Nonce: newSecret(), Verifier: oauth2.GenerateVerifier(), Previous: cookie(r, sessionCookie)}
	started.Steps = []step{
		{"The backend made state, nonce and a PKCE verifier, and marked this browser with a cookie", "RFC 7636 §4.1; RFC 9700 §4.7.1", channelInside},
		{"The backend sent the browser to the provider, with state, nonce and the verifier's hash", "OpenID Connect Core §3.1.2.1", channelFront},
	}

	// 3. Remember it, sealed for this browser.
	if err := b.logins.put(state, browser, started, time.Now().Add(loginLifetime)); err != nil {
		b.refusePage(w, r, errStore.after(err))
		return
	}
	setCookie(w, loginCookie, browser, loginLifetime, http.SameSiteLaxMode)

	// 4. Redirect with the verifier's hash only. RFC 7636 §4.3. Where the browser
	//    goes after the login is fixed: there is no parameter that could send it
	//    elsewhere. RFC 9700 §4.11.
	to := b.oauth(op).AuthCodeURL(state, oidc.Nonce(started.Nonce), oauth2.S256ChallengeOption(started.Verifier))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// handleCallback serves GET /callback: the provider's response, brought by the
// browser.
func (b *BFF) handleCallback(w http.ResponseWriter, r *http.Request) {
	ctx := oidc.ClientContext(r.Context(), b.http) // go-oidc and x/oauth2 take their HTTP client from here
	op, err := b.op.discover(ctx)
	if err != nil {
		b.refusePage(w, r, err)
		return
	}
	// 1. The response belongs to a login that this browser began, once.
	started, err := b.takeLogin(r)
	if err != nil {
		b.refusePage(w, r, err)
		return
	}
	// 2. It is the provider's, and it is a success.
	code, err := b.checkResponse(op, r.URL.Query())
	if err != nil {
		b.refusePage(w, r, err)
		return
	}
	// 3. The code is redeemed, from server to server.
	token, err := b.redeem(ctx, op, code, started.Verifier)
	if err != nil {
		b.refusePage(w, r, err)
		return
	}
	// 4. The ID token says who signed in; UserInfo says more about the same user.
	signedIn, err := b.identify(ctx, op, token, started.Nonce)
	if err != nil {
		b.refusePage(w, r, err)
		return
	}
	// 5. A new session begins and the browser gets its cookie.
	signedIn.Steps = append(started.Steps, loginSteps...)
	if err := b.beginSession(w, r, signedIn, started.Previous); err != nil {
		b.refusePage(w, r, err)
		return
	}
	b.log.LogAttrs(ctx, slog.LevelInfo, "signed in", slog.String("sub", signedIn.Subject))
	// 6. On to the page, by 303 so that the code leaves the address bar and the
	//    history. RFC 9700 §4.2, §4.12. The fragment lets the page notice that
	//    the browser kept no cookie.
	http.Redirect(w, r, "/#login=done", http.StatusSeeOther)
}

var loginSteps = []step{
	{"The browser brought the code; the backend checked the cookie, state and iss", "RFC 6749 §4.1.2; RFC 9207 §2.4", channelFront},
	{"The backend redeemed the code with its secret and the verifier", "RFC 6749 §4.1.3; RFC 7636 §4.5", channelBack},
	{"The backend validated the ID token: signature, iss, aud, exp, iat, nonce, at_hash", "OpenID Connect Core §3.1.3.7", channelInside},
	{"The backend fetched UserInfo and compared its sub", "OpenID Connect Core §5.3", channelBack},
	{"The backend made a new session and set its cookie: HttpOnly, Secure, SameSite=Strict", "RFC 10017 §6.1.3.2", channelFront},
}

// takeLogin finds the login that the response belongs to and spends it.
func (b *BFF) takeLogin(r *http.Request) (login, error) {
	q := r.URL.Query()
	// 1.1 No parameter may come twice: parties that read different ones would
	//     check different things. RFC 6749 §3.1.
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(q[name]) > 1 {
			return login{}, errRepeated.because("one "+name, "more than one")
		}
	}
	// 1.2 The browser carries the mark of one that began a login. Otherwise
	//     somebody gave it the response of his own login (login CSRF). RFC 9700 §4.7.
	browser := cookie(r, loginCookie)
	if browser == "" {
		return login{}, errNoLoginCookie.because("the cookie "+loginCookie+", set when a login begins", "no such cookie")
	}
	// 1.3 The state names a login that is under way; from here on it is spent, so
	//     that a replayed response finds nothing. RFC 6749 §10.12.
	started, err := b.logins.take(q.Get("state"), browser)
	switch {
	case errors.Is(err, records.ErrNotFound):
		return login{}, errState.because("a state of this backend that is at most 10 minutes old and not used yet", "another one, or none")
	case errors.Is(err, errSealed):
		// 1.4 And it is this browser's: with another one's mark it does not open.
		return login{}, errOtherBrowser.because("the cookie of the browser that began this login", "the cookie of another browser")
	case err != nil:
		return login{}, errStore.after(err)
	}
	return started, nil
}

// checkResponse returns the code of a successful response.
func (b *BFF) checkResponse(op *provider, q url.Values) (string, error) {
	// 2.1 iss names the provider that was asked, also in an error. A provider that
	//     says it sends iss must send it (mix-up). RFC 9207 §2.4.
	iss := q.Get("iss")
	if iss != b.cfg.Issuer && (iss != "" || op.SendsIssuer) {
		return "", errResponseIssuer.because(b.cfg.Issuer, clip(iss))
	}
	// 2.2 An error ends the login here. Its text is the provider's: state and iss
	//     are checked. RFC 6749 §4.1.2.1.
	if code := q.Get("error"); code != "" {
		why := errAuthorization
		if code == "access_denied" {
			why = errDenied
		}
		return "", why.because("a code", clip(code)+": "+clip(q.Get("error_description")))
	}
	// 2.3 RFC 6749 §4.1.2.
	if q.Get("code") == "" {
		return "", errNoCode.because("code or error", "neither")
	}
	return q.Get("code"), nil
}

// redeem exchanges the code for tokens: client_secret_basic, the redirect_uri
// again, and the verifier, which only the backend knows. RFC 6749 §4.1.3,
// RFC 7636 §4.5.
func (b *BFF) redeem(ctx context.Context, op *provider, code, verifier string) (*oauth2.Token, error) {
	token, err := b.oauth(op).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		if refusal, decided := tokenError(err); decided {
			f := errRedeem.because("tokens", clip(refusal))
			f.cause = err
			return nil, f
		}
		return nil, errProviderDown.after(err)
	}
	return token, nil
}

// identify makes a session of the tokens, once they are checked.
func (b *BFF) identify(ctx context.Context, op *provider, token *oauth2.Token, nonce string) (session, error) {
	// 4.1 Signature, iss, aud, azp, exp, iat, sub.
	idToken, s, err := b.verifyIDToken(ctx, op, token)
	if err != nil {
		return session{}, err
	}
	// 4.2 The nonce is this login's: the code was not another login's.
	//     OpenID Connect Core §3.1.3.7 step 11, RFC 9700 §4.5.3.2.
	if idToken.Nonce != nonce {
		return session{}, errNonce.because("the nonce that the backend sent", presence(idToken.Nonce))
	}
	// 4.3 UserInfo, which holds the claims that the ID token leaves out.
	info, err := op.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return session{}, errUserInfo.after(outline("userinfo", err))
	}
	// 4.4 Its sub MUST be the ID token's. OpenID Connect Core §5.3.2.
	if info.Subject != idToken.Subject {
		return session{}, errUserInfoSubject.because("the sub of the ID token", "another sub, or none")
	}
	if err := info.Claims(&s.UserInfo); err != nil {
		return session{}, errUserInfo.after(err)
	}
	return s, nil
}

// beginSession starts a session under an id that nobody knew before, so that an
// id planted or seen before the login is worth nothing (session fixation,
// RFC 10017 §6.1.3.2).
func (b *BFF) beginSession(w http.ResponseWriter, r *http.Request, s session, previous string) error {
	// 5.1 The new session.
	id := newSecret()
	s.Began = time.Now()
	s.Expires = s.Began.Add(b.cfg.SessionLifetime)
	if err := b.sessions.put(id, id, s, b.idleEnd(s)); err != nil {
		return errStore.after(err)
	}
	setCookie(w, sessionCookie, id, b.cfg.SessionLifetime, http.SameSiteStrictMode)
	// 5.2 The sessions that this browser had, with their tokens. The cookie is
	//     Strict, so it comes with the callback only if the provider is on the same
	//     site; what /login saw covers the other case.
	for _, old := range []string{previous, cookie(r, sessionCookie)} {
		if old != "" {
			_, _ = b.endSession(r.Context(), old) // it logs its failure, which changes nothing here
		}
	}
	return nil
}

// signedOut is the answer to POST /logout.
type signedOut struct {
	SignedOut bool   `json:"signed_out"`
	Revoked   bool   `json:"revoked"`              // the provider ended the tokens
	LogoutURL string `json:"logout_url,omitempty"` // where the provider's session ends; none while it is down
}

// handleLogout serves POST /logout: it ends the session here and tells the page
// where to end the provider's.
func (b *BFF) handleLogout(w http.ResponseWriter, r *http.Request) {
	// 1. The session ends here, whatever happens next, and its refresh token at
	//    the provider. RFC 7009 §2.1.
	s, revocation := b.endSession(r.Context(), cookie(r, sessionCookie))
	dropCookie(w, sessionCookie, http.SameSiteStrictMode)
	answer := signedOut{SignedOut: true, Revoked: revocation == nil}

	// 2. The provider's session: the browser must go there itself.
	//    OpenID Connect RP-Initiated Logout §2. While the provider is down it
	//    would find an error page there.
	op, err := b.op.discover(r.Context())
	if err == nil && op.EndSessionEndpoint != "" && !errors.Is(revocation, errProviderDown) {
		state := newSecret()
		setCookie(w, logoutCookie, state, loginLifetime, http.SameSiteLaxMode)
		answer.LogoutURL = b.logoutURL(op, s.IDToken, state)
	}
	writeJSON(w, http.StatusOK, answer)
}

// logoutURL builds the logout request. The hint spares the person the question
// "do you want to sign out"; it is the one time that the ID token passes
// through the browser. RP-Initiated Logout §2.
func (b *BFF) logoutURL(op *provider, idToken, state string) string {
	q := url.Values{
		"client_id":                {b.cfg.ClientID},
		"post_logout_redirect_uri": {b.cfg.BaseURL + "/"},
		"state":                    {state},
	}
	if idToken != "" {
		q.Set("id_token_hint", idToken)
	}
	return op.EndSessionEndpoint + "?" + q.Encode()
}

// afterLogout serves GET / when the provider sends the browser back with the
// state of a logout: it is compared, and leaves the address bar. RP-Initiated
// Logout §3.
func (b *BFF) afterLogout(page http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		state, given := r.URL.Query()["state"]
		if !given {
			page.ServeHTTP(w, r)
			return
		}
		dropCookie(w, logoutCookie, http.SameSiteLaxMode)
		if kept := cookie(r, logoutCookie); kept == "" || len(state) != 1 || state[0] != kept {
			b.refusePage(w, r, errLogoutState.because("the state that this browser's sign-out began with", "another one, or a sign-out that is long over"))
			return
		}
		http.Redirect(w, r, "/#signed-out", http.StatusSeeOther)
	}
}

func presence(value string) string {
	if value == "" {
		return "none"
	}
	return "another one"
}
