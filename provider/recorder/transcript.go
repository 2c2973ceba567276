package recorder

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// TranscriptOptions for Transcript. The zero value suits golden files.
type TranscriptOptions struct {
	// Keep chooses the exchanges to show; nil leaves out the assets of pages
	// and CORS preflights, which depend on the browser's cache.
	Keep func(Exchange) bool
	// Volatile names further parameters whose values differ from run to run.
	Volatile []string
}

// Transcript writes exchanges as text that is the same for each run of the
// same flow: ports and times are gone, and codes, tokens, states and the like
// have names ("<code-1>") that stay with their value from line to line.
//
//  1. browser ⇒ provider  GET op.lab.localhost/authorize
//     ? client_id = bff
//     ? state = <state-1>
//     ← 303 http://bff.lab.localhost/callback
//     ? code = <code-1>
//     ? state = <state-1>
//
// ⇒ is the front channel, ⇢ a page's script, → the back channel. A line with
// "?" is of a query, with "#" of a fragment, "Name: value" a header; the others
// are of the body. A token is decoded where it travels first.
func Transcript(w io.Writer, list []Exchange, o TranscriptOptions) error {
	keep := o.Keep
	if keep == nil {
		keep = func(e Exchange) bool { return !e.Asset && !e.Preflight() }
	}
	s := newScrubber(o.Volatile)
	out := bufio.NewWriter(w)
	number, shown := 0, map[string]bool{}
	for _, e := range list {
		if !keep(e) {
			continue
		}
		if number++; number > 1 {
			fmt.Fprintln(out)
		}
		e = s.exchange(e)
		writeExchange(out, number, e)
		writeTokens(out, e.Tokens, shown)
	}
	return out.Flush()
}

func writeExchange(w io.Writer, number int, e Exchange) {
	from, arrow := e.From, "⇒"
	switch e.Channel {
	case Script:
		from, arrow = from+" page", "⇢"
	case Back:
		arrow = "→"
	}
	fmt.Fprintf(w, "%d. %s %s %s  %s %s%s\n", number, from, arrow, e.To, e.Method, e.Host, e.Path)
	writeParams(w, "? ", " = ", e.Query)
	writeParams(w, "", ": ", e.Header)
	writeParams(w, "", " = ", e.Form)
	if e.Status == 0 {
		fmt.Fprintln(w, "   ← no response")
		return
	}
	fmt.Fprintf(w, "   ← %d", e.Status)
	if e.Location != nil {
		fmt.Fprintf(w, " %s\n", e.Location.URL)
		writeParams(w, "? ", " = ", e.Location.Query)
		writeParams(w, "# ", " = ", e.Location.Fragment)
	} else {
		fmt.Fprintf(w, " %s\n", e.ContentType)
	}
	writeParams(w, "", ": ", e.ResponseHeader)
	writeParams(w, "", " = ", e.ResponseParams)
}

// writeTokens shows what a token says where it travels first.
func writeTokens(w io.Writer, tokens []Token, shown map[string]bool) {
	for _, t := range tokens {
		var text strings.Builder
		writeParams(&text, "header ", " = ", t.Header)
		writeParams(&text, "payload ", " = ", t.Payload)
		if !shown[text.String()] {
			shown[text.String()] = true
			fmt.Fprintf(w, "   %s decoded\n%s", t.Name, text.String())
		}
	}
}

func writeParams(w io.Writer, prefix, between string, list []Param) {
	for _, p := range list {
		line := "     " + prefix + p.Name + between + strings.ReplaceAll(p.Value, "\n", `\n`)
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// volatileNames have a value that differs from run to run. One with a text in
// place of "" shows that text, without a number.
var volatileNames = map[string]string{
	"state": "", "nonce": "", "code_challenge": "", "sid": "", "session_state": "", "jti": "", "kid": "",
	"at_hash": "", "c_hash": "", "s_hash": "", "jkt": "", "ath": "", "request_uri": "", "family": "",
	"n": "<key>", "x": "<key>", "y": "<key>",
	"exp": "<time>", "iat": "<time>", "nbf": "<time>", "auth_time": "<time>", "updated_at": "<time>",
	"created_at": "<time>",
}

var (
	// moment is a time as JSON Web Tokens have it, in seconds since 1970 (RFC
	// 7519 §2), of the years 2017 to 2033: whatever the name, it will differ.
	moment  = regexp.MustCompile(`^1[5-9][0-9]{8}$`)
	port    = regexp.MustCompile(`((?:[a-z0-9-]+\.)*localhost|127\.0\.0\.1|\[::1\])(:|%3A)\d+`)
	expires = regexp.MustCompile(`(?i)(; *expires=)[^;]*`)
)

// scrubber gives values that differ from run to run a lasting name.
type scrubber struct {
	redact   redactor
	volatile map[string]string
	names    map[string]string // by value or placeholder
	count    map[string]int    // by parameter
}

func newScrubber(more []string) *scrubber {
	s := &scrubber{
		redact:   newRedactor("transcript"), // nothing that it makes is left in the text
		volatile: map[string]string{}, names: map[string]string{}, count: map[string]int{},
	}
	maps.Copy(s.volatile, volatileNames)
	for _, name := range more {
		s.volatile[name] = ""
	}
	return s
}

func (s *scrubber) exchange(e Exchange) Exchange {
	values := rewriter{value: s.value, escape: func(text string) string { return text }}
	param := func(name, value string) string { return withoutPorts(values.param(name, value)) }
	e = s.redact.exchange(e).mapped(param, s.header)
	e.From, e.To, e.Host, e.Path = withoutPorts(e.From), withoutPorts(e.To), withoutPorts(e.Host), withoutPorts(e.Path)
	if e.Location != nil {
		e.Location.URL = withoutPorts(e.Location.URL)
	}
	return e
}

func (s *scrubber) value(name, value string) string {
	if value == "" {
		return value
	}
	text, volatile := s.volatile[name]
	switch {
	case volatile && text != "":
		return text
	case moment.MatchString(value):
		return "<time>"
	case strings.HasSuffix(name, "expires_in"): // of a token, or of a refresh token: "refresh_expires_in"
		return "<seconds>"
	case volatile, value == placeholder.FindString(value):
		return s.name(name, value)
	default:
		return value
	}
}

// header names what redaction left: cookies by their own name, HTTP Basic's
// password as the client's secret, a bearer token as an access token.
func (s *scrubber) header(header, value string) string {
	what := map[string]string{"Authorization": "access_token", "DPoP": "proof"}[header]
	if header == "Authorization" && strings.HasPrefix(value, "Basic ") {
		what = "client_secret"
	}
	var out strings.Builder
	for part := range strings.SplitAfterSeq(value, ";") {
		if name, _, ok := strings.Cut(part, "="); ok && what == "" {
			out.WriteString(s.placeholders(strings.TrimSpace(name), part))
			continue
		}
		out.WriteString(s.placeholders(what, part))
	}
	return withoutPorts(expires.ReplaceAllString(out.String(), "${1}<time>"))
}

func (s *scrubber) placeholders(name, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(hidden string) string { return s.name(name, hidden) })
}

func (s *scrubber) name(name, value string) string {
	if known, ok := s.names[value]; ok {
		return known
	}
	s.count[name]++
	s.names[value] = "<" + name + "-" + strconv.Itoa(s.count[name]) + ">"
	return s.names[value]
}

func withoutPorts(text string) string {
	if port.MatchString(text) {
		return port.ReplaceAllString(text, "$1")
	}
	return text
}
