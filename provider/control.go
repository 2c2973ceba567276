package provider

import (
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidclab/oidclab/storage"
)

// Paths of the control plane. They are not below the issuer, but on a listener
// of their own.
const (
	pathControlKeys   = "/keys"
	pathControlRotate = "/keys/rotate"
)

// maxControlBody bounds the body of a command, in bytes.
const maxControlBody = 64 << 10

// Control returns the handler of the control plane: what only an operator or a
// test may do to a running provider. Whoever reaches it may use it, if token is
// "": then its listener must be on a loopback address. Otherwise every request
// carries the token as its Bearer token (RFC 6750 §2.1).
//
// Answers are JSON, errors in the form of RFC 6749 §5.2. Commands are JSON
// objects, which no page of another site can send. more are handlers for other
// patterns of net/http.ServeMux, behind the same gate.
func (p *Provider) Control(token string, more map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range []route{
		{pathControlKeys, "GET, HEAD", p.controlKeys, nil},
		{pathControlRotate, "POST", p.controlRotateKeys, nil},
	} {
		mux.HandleFunc(rt.path, p.onlyMethods(rt.methods, rt.handler))
	}
	for pattern, handler := range more {
		mux.Handle(pattern, handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.controlError(w, r, &controlRefusal{http.StatusNotFound, "not_found", "The control plane has nothing at this address."})
	})
	return p.guard(p.controlGate(token, mux))
}

// controlRefusal is why a request to the control plane is refused.
type controlRefusal struct {
	status            int
	code, description string
}

func (e *controlRefusal) Error() string { return e.code + ": " + e.description }

// controlGate stands before every command.
func (p *Provider) controlGate(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkNoPage(r)
		switch {
		case err != nil:
		case token == "":
			err = checkOwnHost(r)
		default:
			err = checkControlToken(r, token)
		}
		if err != nil {
			p.controlError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkNoPage refuses what a page of another site sent: this machine's browsers
// reach its loopback addresses, too.
func checkNoPage(r *http.Request) *controlRefusal {
	foreign := &controlRefusal{http.StatusForbidden, "access_denied", "A web page of another site sent this. The control plane is for programs."}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return foreign
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Host != r.Host {
			return foreign
		}
	}
	return nil
}

// checkOwnHost refuses a request for another host than this machine. The name of
// an attacker's site may lead to a loopback address, and its pages are then of
// the same origin as this listener (DNS rebinding).
func checkOwnHost(r *http.Request) *controlRefusal {
	host := (&url.URL{Host: r.Host}).Hostname()
	ip := net.ParseIP(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback() {
		return nil
	}
	return &controlRefusal{http.StatusForbidden, "access_denied", "The request is for another host than this machine. Use its loopback address, or give the control plane a token."}
}

// checkControlToken compares digests, in constant time: not even the length of
// the token shows.
func checkControlToken(r *http.Request, token string) *controlRefusal {
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !sameDigest(storage.DigestOf(got), storage.DigestOf(token)) {
		return &controlRefusal{http.StatusUnauthorized, "invalid_token", "The control plane wants its token as the Bearer token."}
	}
	return nil
}

// controlKeys serves GET /keys.
func (p *Provider) controlKeys(w http.ResponseWriter, r *http.Request) { p.answerKeys(w, r, nil) }

// controlRotateKeys serves POST /keys/rotate. {"now": true} lets the next keys
// sign at once, {"algs": ["RS256"]} leaves the other algorithms' keys alone. That
// they are published already is no error: "changed" says so.
func (p *Provider) controlRotateKeys(w http.ResponseWriter, r *http.Request) {
	var command struct {
		Now  bool     `json:"now"`
		Algs []string `json:"algs"`
	}
	if err := readCommand(w, r, &command); err != nil {
		p.controlError(w, r, err)
		return
	}
	if command.Algs != nil && len(command.Algs) == 0 { // no names are all, but here somebody meant to name some
		p.controlError(w, r, &controlRefusal{http.StatusBadRequest, "invalid_request", "algs names no algorithm."})
		return
	}
	rotate := p.RotateKeys
	if command.Now {
		rotate = p.RotateKeysNow
	}
	err := rotate(r.Context(), command.Algs...)
	switch {
	case errors.Is(err, ErrUnknownAlgorithm):
		p.controlError(w, r, &controlRefusal{http.StatusBadRequest, "invalid_request", "algs: " + err.Error() + "."})
	case errors.Is(err, ErrKeysFixed), errors.Is(err, ErrTooManyKeys):
		p.controlError(w, r, &controlRefusal{http.StatusConflict, "conflict", err.Error()})
	case err != nil && !errors.Is(err, ErrRotationPending):
		p.tokenError(w, r, err) // ours, or nobody waits any more
	default:
		changed := err == nil
		p.answerKeys(w, r, &changed)
	}
}

func (p *Provider) answerKeys(w http.ResponseWriter, r *http.Request, changed *bool) {
	keys, err := p.SigningKeys(r.Context())
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	p.writeJSON(w, http.StatusOK, struct {
		Changed *bool        `json:"changed,omitempty"`
		Keys    []SigningKey `json:"keys"`
	}{changed, keys})
}

// readCommand reads a request's JSON object. Its media type is one that a page of
// another site may not send without asking first.
func readCommand(w http.ResponseWriter, r *http.Request, into any) error {
	const want = "application/json"
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		return &controlRefusal{http.StatusUnsupportedMediaType, "invalid_request", "The command must be JSON, with Content-Type " + want + "."}
	}
	raw, err := readBody(w, r, maxControlBody)
	if err != nil {
		return err
	}
	if _, err := parseObject(string(raw)); err != nil {
		return &controlRefusal{http.StatusBadRequest, "invalid_request", "The body is not one JSON object in which every name stands once."}
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return &controlRefusal{http.StatusBadRequest, "invalid_request", "The command is not understood: " + strings.TrimPrefix(err.Error(), "json: ") + "."}
	}
	return nil
}

// controlError answers a refusal.
func (p *Provider) controlError(w http.ResponseWriter, r *http.Request, err error) {
	refused, ok := errors.AsType[*controlRefusal](err)
	if !ok {
		p.tokenError(w, r, err)
		return
	}
	e := protocolError{Status: refused.status, Code: refused.code, Description: refused.description}.sanitised()
	p.logError(r, e, nil)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="oidclab control"`)
	}
	p.writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}
