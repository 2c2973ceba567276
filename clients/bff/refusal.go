package bff

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
)

// refusal is one reason for which the backend says no. Its fields are fixed, so
// that nothing secret can get into them; what differs from case to case is in
// failure.
type refusal struct {
	Status  int
	Code    string // for machines: the JSON member "error" and body[data-error]
	Title   string // what happened
	Section string // the specification that asks for the check
	Advice  string // what to do
}

func (r *refusal) Error() string { return r.Code }

// The reasons, in the order of the flow.
var (
	errProviderDown = &refusal{
		503, "provider_unavailable", "The provider gave no usable answer",
		"RFC 6749 §5.2; RFC 9110 §15.6.4", "Nothing is wrong with your account. Try again in a moment.",
	}
	errRepeated = &refusal{
		400, "parameter_repeated", "A parameter of the response came more than once",
		"RFC 6749 §3.1", "Begin again at the start page.",
	}
	errNoLoginCookie = &refusal{
		400, "login_not_begun_here", "This browser did not begin this login",
		"RFC 6749 §10.12; RFC 9700 §4.7", "Begin again at the start page. If you did begin here, the browser did not keep the " +
			"cookie: some browsers refuse Secure cookies over plain http, and then the lab needs --tls.",
	}
	errState = &refusal{
		400, "state_unknown", "This login is already completed, has expired or was never begun",
		"RFC 6749 §10.12; OpenID Connect Core §3.1.2.7", "If you came here with the Back or Reload button, you may well be signed in: go to the start page.",
	}
	errOtherBrowser = &refusal{
		400, "login_of_another_browser", "Another browser began this login",
		"RFC 9700 §4.7.1", "Begin again at the start page, in this browser.",
	}
	errResponseIssuer = &refusal{
		400, "iss_mismatch", "The response is not from the provider that was asked",
		"RFC 9207 §2.4", "Begin again at the start page.",
	}
	errAuthorization = &refusal{
		403, "authorization_error", "The provider did not sign you in",
		"RFC 6749 §4.1.2.1; OpenID Connect Core §3.1.2.6", "Begin again at the start page.",
	}
	errDenied = &refusal{
		403, "access_denied", "Consent was denied",
		"RFC 6749 §4.1.2.1", "You, or the provider's policy, did not allow this client. Nothing was issued. Begin again at the start page to be asked again.",
	}
	errNoCode = &refusal{
		400, "code_missing", "The response holds neither a code nor an error",
		"RFC 6749 §4.1.2", "Begin again at the start page.",
	}
	errRedeem = &refusal{
		502, "code_refused", "The provider refused to redeem the code",
		"RFC 6749 §4.1.3, §5.2; RFC 7636 §4.6", "Begin again at the start page.",
	}
	errNoIDToken = &refusal{
		502, "id_token_missing", "The token response holds no ID token",
		"OpenID Connect Core §3.1.3.3", "Begin again at the start page.",
	}
	errIDToken = &refusal{
		502, "id_token_invalid", "The ID token is not valid",
		"OpenID Connect Core §3.1.3.7", "Begin again at the start page.",
	}
	errNonce = &refusal{
		502, "nonce_mismatch", "The ID token was not made for this login",
		"OpenID Connect Core §3.1.3.7 step 11", "Begin again at the start page.",
	}
	errAccessTokenHash = &refusal{
		502, "at_hash_mismatch", "The ID token and the access token do not belong together",
		"OpenID Connect Core §3.1.3.8", "Begin again at the start page.",
	}
	errUserInfo = &refusal{
		502, "userinfo_failed", "The provider did not tell who the user is",
		"OpenID Connect Core §5.3", "Begin again at the start page.",
	}
	errUserInfoSubject = &refusal{
		502, "userinfo_sub_mismatch", "UserInfo and the ID token are about different users",
		"OpenID Connect Core §5.3.2", "Begin again at the start page.",
	}
	errStore = &refusal{
		500, "store_failed", "The backend could not use its session store",
		"", "Look at the server's log.",
	}

	errNoSession = &refusal{
		401, "no_session", "Nobody is signed in here",
		"RFC 10017 §6.1", "Sign in.",
	}
	errSessionEnded = &refusal{
		401, "session_ended", "The provider ended this session",
		"RFC 6749 §5.2 (invalid_grant)", "Sign in again.",
	}
	errSignedOutThere = &refusal{
		401, "signed_out_at_provider", "You were signed out at the provider",
		"OpenID Connect Back-Channel Logout §2.7", "The provider told this backend that your session there is over, so this one is over too. Sign in again.",
	}
	errRenewal = &refusal{
		502, "renewal_refused", "The provider refused this backend's request for new tokens",
		"RFC 6749 §5.2", "This is an error of configuration; the session is kept.",
	}
	errNotProxied = &refusal{
		404, "not_on_the_list", "The backend does not forward this call",
		"RFC 10017 §6.1.3.6", "Only the calls on the backend's list are forwarded.",
	}
	errMediaType = &refusal{
		415, "not_json", "The body is not JSON",
		"RFC 9110 §15.5.16", "Send Content-Type: application/json.",
	}
	errTooLarge = &refusal{
		413, "body_too_large", "The body is too large",
		"RFC 9110 §15.5.14", "",
	}
	errAPI = &refusal{
		502, "api_unavailable", "The API gave no usable answer",
		"RFC 9110 §15.6.3", "Try again in a moment.",
	}

	errCrossOrigin = &refusal{
		403, "cross_origin", "The request comes from another origin",
		"RFC 10017 §6.1.3.3; Fetch Metadata (Sec-Fetch-Site)", "Only this backend's own page may change anything here.",
	}
	errNoCSRFHeader = &refusal{
		403, "csrf_header_missing", "The request lacks the header that another site cannot send",
		"RFC 10017 §6.1.3.3.2", "Send " + csrfHeader + ": 1.",
	}
	errLogoutState = &refusal{
		400, "logout_state_mismatch", "This sign-out was not begun in this browser",
		"OpenID Connect RP-Initiated Logout §3", "If you meant to sign out, go to the start page and press the button.",
	}
)

// failure is a refusal on one occasion: what the check expected and what
// arrived, in words that hold no secret, and the cause for the log.
type failure struct {
	*refusal
	expected, arrived string
	cause             error
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.Code + ": " + f.cause.Error()
	}
	return f.Code
}

func (f *failure) Unwrap() []error { return []error{f.refusal, f.cause} }

// because tells what the check saw.
func (r *refusal) because(expected, arrived string) *failure {
	return &failure{refusal: r, expected: expected, arrived: arrived}
}

// after tells which error led here. The cause is logged, not shown.
func (r *refusal) after(cause error) *failure { return &failure{refusal: r, cause: cause} }

// asFailure finds the failure in err; an error that nobody classified is the
// store's, the only party left.
func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return &failure{refusal: r}
	}
	return errStore.after(err)
}

//go:embed error.html
var errorHTML string

var errorPage = template.Must(template.New("error").Parse(errorHTML))

// refusePage answers a navigation: a page that names the check.
func (b *BFF) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	f := asFailure(err)
	b.logRefusal(r, f)
	var page bytes.Buffer
	view := map[string]any{"Home": b.cfg.HomeURL, "Refusal": f.refusal, "Expected": f.expected, "Arrived": f.arrived}
	if err := errorPage.Execute(&page, view); err != nil {
		http.Error(w, f.Title, f.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	f.retryAfter(h)
	w.WriteHeader(f.Status)
	w.Write(page.Bytes())
}

// refuseJSON answers the page's script.
func (b *BFF) refuseJSON(w http.ResponseWriter, r *http.Request, err error) {
	f := asFailure(err)
	b.logRefusal(r, f)
	f.retryAfter(w.Header())
	writeJSON(w, f.Status, struct {
		Error    string `json:"error"`
		Title    string `json:"title"`
		Detail   string `json:"detail,omitempty"`
		Expected string `json:"expected,omitempty"`
		Arrived  string `json:"arrived,omitempty"`
		Section  string `json:"section,omitempty"`
	}{f.Code, f.Title, f.Advice, f.expected, f.arrived, f.Section})
}

// retryAfter tells that the same request may succeed later (RFC 9110 §10.2.3).
func (f *failure) retryAfter(h http.Header) {
	if f.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
}

// logRefusal warns of what is wrong here or at the provider. What the browser sent
// is its own affair, and a session that ended at the provider is no trouble at all.
func (b *BFF) logRefusal(r *http.Request, f *failure) {
	level := slog.LevelInfo
	if f.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("path", r.URL.Path), slog.String("check", f.Code), slog.Int("status", f.Status)}
	if f.cause != nil {
		attrs = append(attrs, slog.String("cause", safeCause(f.cause)))
	}
	b.log.LogAttrs(r.Context(), level, "request refused", attrs...)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
