package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// check is one requirement that a request failed.
type check struct {
	// What says in a sentence what is wrong. It is always shown.
	What string
	// Expected and Arrived are shown when the provider explains.
	Expected, Arrived string
	Section           section
}

// section is a place in a specification. What passes a check names its section, too, so
// the texts are put together only where they are shown.
type section struct {
	rfc string // its number
	// document and url are those of another specification.
	document, url string
	part, anchor  string
}

func rfc(number, sec string) section { return section{rfc: number, part: sec} }
func rfc6749(sec string) section     { return rfc("6749", sec) }
func rfc7636(sec string) section     { return rfc("7636", sec) }

func oidcCore(sec, anchor string) section {
	return section{document: "OpenID Connect Core", url: "https://openid.net/specs/openid-connect-core-1_0.html", part: sec, anchor: anchor}
}

// Name is for people.
func (s section) Name() string {
	switch {
	case s.rfc != "":
		return "RFC " + s.rfc + " §" + s.part
	case s.document != "":
		return s.document + " §" + s.part
	}
	return ""
}

// URL is for machines.
func (s section) URL() string {
	switch {
	case s.rfc != "":
		return "https://www.rfc-editor.org/rfc/rfc" + s.rfc + "#section-" + s.part
	case s.document != "":
		return s.url + "#" + s.anchor
	}
	return ""
}

// refusal is a protocol error together with the check that caused it.
type refusal struct {
	oauth *fosite.RFC6749Error
	check check
}

// refuse makes a refusal: base gives the error code and the status.
func refuse(base *fosite.RFC6749Error, c check) error { return &refusal{base, c} }

func (r *refusal) Error() string { return r.oauth.ErrorField + ": " + r.check.What }

// Unwrap lets fosite recognise its own error.
func (r *refusal) Unwrap() error { return r.oauth }

// protocolError is an error as it goes out.
type protocolError struct {
	Status      int
	Code        string
	Description string
	Section     section
}

// protocolError translates err. Nothing of an internal error reaches the
// outside but its kind.
func (p *Provider) protocolError(err error) protocolError {
	var own *refusal
	var engine *fosite.RFC6749Error
	switch {
	case errors.As(err, &own):
		e := protocolError{Status: own.oauth.CodeField, Code: own.oauth.ErrorField, Description: own.check.What}
		if p.explain {
			e.Section = own.check.Section
			e.Description += own.check.explanation()
		}
		return e.sanitised()
	case errors.Is(err, storage.ErrUsed), errors.Is(err, storage.ErrRevoked), errors.Is(err, storage.ErrNotFound):
		return p.protocolError(refuse(fosite.ErrInvalidGrant, lostRace(err)))
	case errors.Is(err, storage.ErrSeen):
		return protocolError{
			Status: http.StatusBadRequest, Code: fosite.ErrInvalidRequest.ErrorField,
			Description: "The request carries an identifier that was used before.",
		}
	case errors.Is(err, storage.ErrEnded):
		return protocolError{
			Status: http.StatusBadRequest, Code: fosite.ErrLoginRequired.ErrorField,
			Description: "The user signed out meanwhile.", Section: p.sectionIfExplained(oidcCore("3.1.2.6", "AuthError")),
		}
	case errors.As(err, &engine) && engine.CodeField < http.StatusInternalServerError:
		e := protocolError{Status: engine.CodeField, Code: engine.ErrorField, Description: engineDescription(engine)}
		e.Section = p.sectionIfExplained(engineSection(engine))
		return e.sanitised()
	default:
		return protocolError{
			Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable",
			Description: "The provider cannot answer at the moment. Try again.",
		}
	}
}

func (p *Provider) sectionIfExplained(s section) section {
	if p.explain {
		return s
	}
	return section{}
}

// engineDescription prefers fosite's hint, which says what is wrong with this
// request, to its description, which says what the code means.
func engineDescription(e *fosite.RFC6749Error) string {
	if hint := e.WithExposeDebug(false).HintField; hint != "" {
		return hint
	}
	return e.DescriptionField
}

// engineSection finds the section for an error that fosite raised.
func engineSection(e *fosite.RFC6749Error) section {
	switch {
	case strings.Contains(e.HintField, "PKCE") || strings.Contains(e.HintField, "code_challenge"):
		return rfc7636("4.6")
	case e.ErrorField == fosite.ErrInvalidScope.ErrorField:
		return rfc6749("3.3")
	case e.ErrorField == fosite.ErrUnsupportedResponseType.ErrorField:
		return rfc6749("3.1.1")
	default:
		return rfc6749("5.2")
	}
}

// sanitised keeps the description within RFC 6749 §5.2's characters: printable
// ASCII without quote and backslash.
func (e protocolError) sanitised() protocolError {
	e.Description = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, e.Description)
	return e
}

// explanation is what explaining adds to the sentence that is always shown.
func (c check) explanation() string {
	switch {
	case c.Expected != "":
		return fmt.Sprintf(" Expected: %s. Arrived: %s.", c.Expected, orNothing(c.Arrived))
	case c.Arrived != "":
		return fmt.Sprintf(" Arrived: %s.", c.Arrived)
	}
	return ""
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// tokenError answers an error of the token endpoint and its neighbours as JSON,
// RFC 6749 §5.2. A 401 always has a challenge (RFC 9110 §15.5.2), whichever way the
// client authenticated. Some client libraries look at it and no further, so it
// says what is wrong, too.
func (p *Provider) tokenError(w http.ResponseWriter, r *http.Request, err error) {
	e := p.protocolError(err)
	p.logError(r, e, err)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", p.challenge("Basic", e))
	}
	body := map[string]string{"error": e.Code, "error_description": e.Description}
	if link := e.Section.URL(); link != "" {
		body["error_uri"] = link
	}
	p.writeJSON(w, e.Status, body)
}

// bearerError answers an error at a protected resource, RFC 6750 §3.
func (p *Provider) bearerError(w http.ResponseWriter, r *http.Request, e protocolError) {
	e = e.sanitised()
	p.writeChallenge(w, r, e, p.challenge(schemeBearer, e))
}

// challenge is a value of WWW-Authenticate, RFC 6750 §3, RFC 9449 §7.1. A request
// without any token learns no error code: RFC 6750 §3.1.
func (p *Provider) challenge(scheme string, e protocolError) string {
	value := fmt.Sprintf(`%s realm=%q`, scheme, p.issuer)
	if e.Code != "" {
		value += fmt.Sprintf(`, error=%q, error_description=%q`, e.Code, e.Description)
	}
	return value
}

func (p *Provider) writeChallenge(w http.ResponseWriter, r *http.Request, e protocolError, challenges ...string) {
	p.logError(r, e, nil)
	w.Header()["Www-Authenticate"] = challenges
	body := map[string]string{}
	if e.Code != "" {
		body["error"], body["error_description"] = e.Code, e.Description
	}
	p.writeJSON(w, e.Status, body)
}

// pageError answers with an HTML page, where there is nowhere safe to redirect.
func (p *Provider) pageError(w http.ResponseWriter, r *http.Request, err error) {
	page := p.errorPage(r, err)
	retryLater(w, page.Status)
	p.pages.error(w, page)
}

// errorPage is an error as a page shows it. It is logged, too.
func (p *Provider) errorPage(r *http.Request, err error) errorPage {
	e := p.protocolError(err)
	p.logError(r, e, err)
	return errorPage{Status: e.Status, Code: e.Code, Description: e.Description, Section: e.Section.Name(), SectionURL: e.Section.URL()}
}

// logError notes a refusal. Descriptions never hold secrets; the cause is
// logged only when the fault is ours, which it is not when the client hung up.
func (p *Provider) logError(r *http.Request, e protocolError, cause error) {
	if errors.Is(cause, context.Canceled) {
		p.log.InfoContext(r.Context(), "request abandoned", "path", r.URL.Path)
		return
	}
	if e.Status >= http.StatusInternalServerError {
		p.log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", e.Code, "cause", causeOf(cause))
		return
	}
	p.log.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "error", e.Code)
}

// causeOf is a cause for the log. The engine's errors tell their code only, and a
// stack where the log is text: what they wrap has the reason.
func causeOf(err error) string {
	for {
		engine, ok := errors.AsType[*fosite.RFC6749Error](err)
		if !ok || engine.Cause() == nil {
			return fmt.Sprint(err)
		}
		err = engine.Cause()
	}
}

// writeJSON writes a response that no cache may keep, headers before status.
func (p *Provider) writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		status, encoded = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // RFC 6749 §5.1
	h.Set("Pragma", "no-cache")
	retryLater(w, status)
	w.WriteHeader(status)
	w.Write(encoded)
}

func retryLater(w http.ResponseWriter, status int) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
}
