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

// problem is an answer that refuses a request.
type problem struct {
	status      int
	code        string // "error", as in RFC 6750 §3.1 where it has one
	description string
	scope       string // the scope that would be needed
}

func insufficientScope(needed, had string) *problem {
	return &problem{
		status: http.StatusForbidden, code: "insufficient_scope", scope: needed,
		description: fmt.Sprintf("This call needs the scope %s; the token has %q. (RFC 6750 §3.1)", needed, had),
	}
}

// problemOf says which check a token failed. What the descriptions quote is the
// caller's own token, never a key or another token.
func problemOf(err error) *problem {
	if errors.Is(err, ErrKeysUnavailable) {
		return &problem{
			status: http.StatusServiceUnavailable, code: "temporarily_unavailable",
			description: "The issuer's keys cannot be fetched at the moment, so the token can be neither accepted nor refused. Try again in a few seconds.",
		}
	}
	description := err.Error()
	if len(description) > maxDescription { // it quotes what the caller wrote
		description = strings.ToValidUTF8(description[:maxDescription], "") + "…"
	}
	return &problem{status: http.StatusUnauthorized, code: "invalid_token", description: description}
}

// bearer takes the token from the Authorization header (RFC 6750 §2.1), and
// from nowhere else: in a URL it would end up in histories and logs, and in a
// form a page of another origin could send it.
func bearer(r *http.Request) (string, *problem) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", &problem{status: http.StatusBadRequest, code: "invalid_request", description: "There is more than one Authorization header. (RFC 6750 §2)"}
	}
	scheme, token, _ := strings.Cut(strings.Join(values, ""), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &problem{
			status: http.StatusUnauthorized, code: "missing_token",
			description: "Send an access token in the Authorization header: Bearer, a space, the token. (RFC 6750 §2.1)",
		}
	}
	return token, nil
}

// refuse is the one writer of errors.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	a.logger.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "status", p.status, "error", p.code, "reason", p.description)
	h := w.Header()
	switch p.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		h.Set("WWW-Authenticate", p.challenge())
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "3")
	}
	writeJSON(w, p.status, struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{p.code, p.description})
}

// challenge is the WWW-Authenticate header. "If the request lacks any
// authentication information … the resource server SHOULD NOT include an error
// code" (RFC 6750 §3.1).
func (p *problem) challenge() string {
	if p.code == "missing_token" {
		return `Bearer realm="oidclab"`
	}
	challenge := fmt.Sprintf(`Bearer realm="oidclab", error="%s", error_description="%s"`, p.code, headerText(p.description))
	if p.scope != "" {
		challenge += fmt.Sprintf(`, scope="%s"`, p.scope)
	}
	return challenge
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
