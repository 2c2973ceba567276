package frontenddriven

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is a reason for which the backend refuses a request, and how it says
// so. There is one per reason.
type refusal struct {
	status int
	code   string // "error", RFC 6749 §5.2 where it has one
	text   string
	detail string // what was expected and arrived, or what the provider said
	cause  error  // for the log only
}

var (
	// The request.
	errOrigin      = &refusal{status: http.StatusForbidden, code: "invalid_request", text: "The request comes from a page of another origin. (RFC 6454)"}
	errMediaType   = &refusal{status: http.StatusUnsupportedMediaType, code: "invalid_request", text: "The Content-Type must be application/json."}
	errTooLarge    = &refusal{status: http.StatusRequestEntityTooLarge, code: "invalid_request", text: "The body is too large."}
	errBody        = &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "The body is not the JSON object that is expected."}
	errRedirectURI = &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "The redirect_uri is not one of this application. (RFC 9700 §4.1.3)"}
	errCode        = &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "The code is missing or too long. (RFC 6749 §4.1.3)"}
	errVerifier    = &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "The code_verifier is not 43 to 128 unreserved characters. (RFC 7636 §4.1)"}
	errNonce       = &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "The nonce is missing or too long. (OpenID Connect Core §3.1.2.1)"}

	// The provider.
	errProviderDown    = &refusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", text: "The provider cannot be reached at the moment. Nothing was ended: try the same again in a few seconds."}
	errProviderRefused = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The provider refused this backend's request."}
	errGrant           = &refusal{status: http.StatusBadRequest, code: "invalid_grant", text: "The provider refused the code: used before, expired, or not for this verifier and redirect_uri. (RFC 6749 §5.2)"}
	errNoRefreshToken  = &refusal{status: http.StatusBadRequest, code: "invalid_scope", text: "The provider issued no refresh token, and this application ties its own to one: offline_access must be granted. (OpenID Connect Core §11)"}

	// The ID token and UserInfo.
	errNoIDToken     = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The provider's answer holds no ID token. (OpenID Connect Core §3.1.3.3)"}
	errIDToken       = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The ID token failed a check: signature, iss, aud or exp. (OpenID Connect Core §3.1.3.7)"}
	errAZP           = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The ID token was issued to another client: azp. (OpenID Connect Core §3.1.3.7)"}
	errAtHash        = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The access token does not belong to the ID token: at_hash. (OpenID Connect Core §3.1.3.8)"}
	errNonceMismatch = &refusal{status: http.StatusBadRequest, code: "invalid_grant", text: "The ID token's nonce is not this browser's: the code may be another person's. (OpenID Connect Core §3.1.3.7, RFC 9700 §4.5.3.2)"}
	errOtherIDToken  = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The renewed ID token is not of the same sign-in. (OpenID Connect Core §12.2)"}
	errOtherUser     = &refusal{status: http.StatusBadGateway, code: "server_error", text: "UserInfo speaks of another user than the ID token. (OpenID Connect Core §5.3.2)"}
	errUserGone      = &refusal{status: http.StatusBadGateway, code: "server_error", text: "The provider does not accept its own fresh access token at UserInfo. (RFC 6750 §3.1)"}

	// The application's refresh token.
	errNoToken        = &refusal{status: http.StatusUnauthorized, code: "missing_token", text: "Send the application's refresh token in the Authorization header: Bearer, a space, the token. (RFC 6750 §2.1)"}
	errTokenMalformed = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "This is not a JWT signed with ES256. (RFC 8725 §3.1)"}
	errTokenType      = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "This is not a refresh token of the application: typ. (RFC 8725 §3.11)"}
	errTokenSignature = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "The signature is not this backend's. (RFC 7515 §5.2)"}
	errTokenIssuer    = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "The refresh token was issued by somebody else: iss. (RFC 8725 §3.8)"}
	errTokenAudience  = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "The refresh token is meant for somebody else: aud. (RFC 8725 §3.9)"}
	errTokenExpired   = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "The refresh token has expired; a renewal never extends a login. Sign in again. (RFC 10017 §6.3.2.3)"}
	errReuse          = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "This refresh token was used before. Somebody else may hold it, so the login has ended. Sign in again. (RFC 9700 §4.14.2)"}
	errEnded          = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "This login has ended: signed out, expired, or ended after a refresh token was used twice. Sign in again."}
	errSignedOutThere = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "You were signed out at the provider, so this login is over too. Sign in again. (OpenID Connect Back-Channel Logout §2.7)"}
	errProviderEnded  = &refusal{status: http.StatusUnauthorized, code: "invalid_grant", text: "The provider has ended the grant behind this login, so the login has ended too. Sign in again. (RFC 6749 §5.2)"}

	// The backend itself.
	errInternal = &refusal{status: http.StatusInternalServerError, code: "server_error", text: "The backend failed; its log says why."}
)

func (r *refusal) Error() string {
	if r.detail == "" {
		return r.text
	}
	return r.text + " " + r.detail
}

func (r *refusal) Unwrap() error { return r.cause }

// Is makes errors.Is find a reason, whatever detail was added to it.
func (r *refusal) Is(target error) bool {
	other, ok := target.(*refusal)
	return ok && other.text == r.text
}

// with adds a detail for the caller. It never holds a token or a code.
func (r *refusal) with(detail string) *refusal {
	added := *r
	added.detail = detail
	return &added
}

// after adds the cause for the log.
func (r *refusal) after(cause error) *refusal {
	added := *r
	added.cause = cause
	return &added
}

// expected says what should have come, and what came.
func (r *refusal) expected(want, got string) *refusal {
	return r.with("Expected " + clip(want) + "; arrived " + clip(got) + ".")
}

// clip bounds text that comes from outside.
func clip(s string) string {
	const most = 200
	switch {
	case s == "":
		return "nothing"
	case len(s) > most:
		return s[:most] + "…"
	}
	return s
}

// refuse is the one writer of errors.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var why *refusal
	if !errors.As(err, &why) {
		why = errInternal.after(err)
	}
	level := a.log.InfoContext
	if why.status >= http.StatusInternalServerError {
		level = a.log.WarnContext
	}
	level(r.Context(), "request refused", "path", r.URL.Path, "status", why.status, "error", why.code, "reason", why.text, "cause", why.cause)

	h := w.Header()
	switch why.status {
	case http.StatusUnauthorized:
		// RFC 9110 §15.5.2: a 401 names a way to authenticate; RFC 6750 §3.1.
		if why.code == errNoToken.code {
			h.Set("WWW-Authenticate", `Bearer realm="oidclab"`)
		} else {
			h.Set("WWW-Authenticate", `Bearer realm="oidclab", error="invalid_token"`)
		}
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	writeJSON(w, why.status, map[string]string{"error": why.code, "error_description": why.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
