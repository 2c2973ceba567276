package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxDescription bounds an error_description, in bytes.
const maxDescription = 400

// The schemes by which a token is presented.
const (
	schemeBearer = "Bearer" // RFC 6750
	schemeDPoP   = "DPoP"   // RFC 9449 §7.1
)

// problem is an answer that refuses a request.
type problem struct {
	status      int
	code        string // "error", as in RFC 6750 §3.1 where it has one
	description string
	scheme      string // which of the schemes it is about
	scope       string // the scope that would be needed
}

func insufficientScope(needed, had, scheme string) *problem {
	return &problem{
		status: http.StatusForbidden, code: "insufficient_scope", scope: needed, scheme: scheme,
		description: fmt.Sprintf("This call needs the scope %s; the token has %q. (RFC 6750 §3.1)", needed, had),
	}
}

// problemOf says which check a token or its proof failed. What the descriptions
// quote is the caller's own, never a key or another token.
func problemOf(err error, scheme string) *problem {
	for reason, description := range map[error]string{
		ErrKeysUnavailable: "The issuer's keys cannot be fetched at the moment, so the token can be neither accepted nor refused. Try again in a few seconds.",
		ErrBusy:            "More DPoP proofs were used within the last minute than this server can remember. Try again in a few seconds.",
	} {
		if errors.Is(err, reason) {
			return &problem{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: description}
		}
	}
	description := err.Error()
	if len(description) > maxDescription { // it quotes what the caller wrote
		description = strings.ToValidUTF8(description[:maxDescription], "") + "…"
	}
	p := &problem{status: http.StatusUnauthorized, code: "invalid_token", description: description, scheme: scheme}
	if _, ok := errors.AsType[proofError](err); ok {
		p.code = "invalid_dpop_proof" // RFC 9449 §7.1
	}
	if errors.Is(err, ErrBound) {
		p.scheme = schemeDPoP // what the caller should have used
	}
	return p
}

// credential is a token as it was presented.
type credential struct{ scheme, token string }

// readCredential takes the token from the Authorization header (RFC 6750 §2.1,
// RFC 9449 §7.1), and from nowhere else: in a URL it would end up in histories
// and logs, and in a form a page of another origin could send it.
func readCredential(r *http.Request) (credential, *problem) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return credential{}, &problem{status: http.StatusBadRequest, code: "invalid_request", description: "There is more than one Authorization header. (RFC 6750 §2)"}
	}
	scheme, token, _ := strings.Cut(strings.Join(values, ""), " ")
	token = strings.TrimSpace(token)
	for _, known := range []string{schemeBearer, schemeDPoP} {
		if strings.EqualFold(scheme, known) && token != "" {
			return credential{known, token}, nil
		}
	}
	return credential{}, &problem{
		status: http.StatusUnauthorized, code: "missing_token",
		description: "Send an access token in the Authorization header: Bearer, a space, the token (RFC 6750 §2.1); or DPoP, a space, the token, and a proof (RFC 9449 §7.1).",
	}
}

// refuse is the one writer of errors.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	a.logger.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "status", p.status, "error", p.code, "reason", p.description)
	h := w.Header()
	switch p.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		h["Www-Authenticate"] = p.challenges()
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "3")
	}
	writeJSON(w, p.status, struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{p.code, p.description})
}

// challenges are the WWW-Authenticate headers, one for each scheme that would do
// (RFC 9449 §7.2). The one that the problem is about says what is wrong; "if the
// request lacks any authentication information … the resource server SHOULD NOT
// include an error code" (RFC 6750 §3.1).
func (p *problem) challenges() []string {
	var challenges []string
	for _, scheme := range []string{schemeBearer, schemeDPoP} {
		challenge := scheme + ` realm="oidclab"`
		if scheme == p.scheme {
			challenge += fmt.Sprintf(`, error="%s", error_description="%s"`, p.code, headerText(p.description))
			if p.scope != "" {
				challenge += fmt.Sprintf(`, scope="%s"`, p.scope)
			}
		} else if p.status == http.StatusForbidden {
			continue // another scheme would not help
		}
		if scheme == schemeDPoP {
			challenge += fmt.Sprintf(`, algs="%s"`, strings.Trim(fmt.Sprint(proofAlgorithms), "[]"))
		}
		challenges = append(challenges, challenge)
	}
	return challenges
}

// headerText keeps the characters that RFC 6750 §3 allows in error_description:
// a token's own claims may stand in it, and must not break the header.
func headerText(s string) string {
	s = strings.ReplaceAll(s, "§", "section ")
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < 0x20 || c > 0x7e:
			return '?'
		}
		return c
	}, s)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
