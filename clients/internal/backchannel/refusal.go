package backchannel

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is a reason for which a logout request fails. Its text is fixed, so
// that nothing secret can get into it.
type refusal struct {
	status int
	code   string // "error", §2.8
	text   string
	cause  error // for the log only
}

// invalid is the refusal of a request. §2.8 asks for 400 whatever is wrong, also
// where the fault is the backend's own.
func invalid(text string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", text: text}
}

func failed(text string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "server_error", text: text}
}

var (
	errMethod = &refusal{status: http.StatusMethodNotAllowed, code: "invalid_request", text: "The logout token is posted. (Back-Channel Logout §2.5)"}
	errForm   = invalid("The body is no form (application/x-www-form-urlencoded) of at most 64 KiB. (Back-Channel Logout §2.5)")
	errOne    = invalid("The form holds no logout_token, or more than one. (Back-Channel Logout §2.5)")

	errMalformed = invalid("The logout token is no JWT with an asymmetric signature, or a claim is not of its type. (Back-Channel Logout §2.6 step 3)")
	errType      = invalid("The JWT is not a logout token: its typ is not logout+jwt. (Back-Channel Logout §2.4)")
	errSignature = invalid("No key of the provider verifies the logout token. (Back-Channel Logout §2.6 step 3)")
	errIssuer    = invalid("The logout token is not from this client's provider: iss. (Back-Channel Logout §2.6 step 4)")
	errAudience  = invalid("The logout token is for another client: aud. (Back-Channel Logout §2.6 step 4)")
	errIssuedAt  = invalid("The logout token has no iat, or one in the future. (Back-Channel Logout §2.6 step 4)")
	errExpired   = invalid("The logout token has no exp, or has expired. (Back-Channel Logout §2.6 step 4)")
	errNobody    = invalid("The logout token names neither a session nor a user: sid, sub. (Back-Channel Logout §2.6 step 5)")
	errEvents    = invalid("The logout token's events do not say that there was a logout, and nothing else. (Back-Channel Logout §2.6 step 6)")
	errNonce     = invalid("The logout token has a nonce. (Back-Channel Logout §2.6 step 7)")
	errNoID      = invalid("The logout token has no jti. (Back-Channel Logout §2.4)")
	errUsed      = invalid("This logout token has come before: jti. (Back-Channel Logout §2.6 step 8)")

	errKeys  = failed("The provider's keys cannot be fetched at the moment.")
	errStore = failed("The sign-ins could not be ended; the log says why.")
)

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.cause }

// Is makes errors.Is find a reason, whatever the cause.
func (r *refusal) Is(target error) bool {
	other, ok := target.(*refusal)
	return ok && other.text == r.text
}

// after adds the cause for the log.
func (r *refusal) after(cause error) *refusal {
	added := *r
	added.cause = cause
	return &added
}

// refuse is the one writer of errors.
func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, err error) {
	var why *refusal
	if !errors.As(err, &why) {
		why = errStore.after(err)
	}
	r.log.WarnContext(req.Context(), "logout token refused", "reason", why.text, "cause", why.cause)
	body, err := json.Marshal(map[string]string{"error": why.code, "error_description": why.text})
	if err != nil {
		body = []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if why.status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	w.WriteHeader(why.status)
	w.Write(append(body, '\n'))
}
