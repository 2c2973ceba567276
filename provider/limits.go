package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ory/fosite"
)

// Bounds on what a request may carry. Real requests stay far below.
const (
	maxBody      = 96 << 10 // bytes
	maxQuery     = 64 << 10 // bytes
	maxParameter = 4 << 10  // bytes, of most parameters
	maxToken     = 16 << 10 // bytes, of those that hold a token or JSON
	maxSealed    = 48 << 10 // bytes, of a sealed request (seal.go)
)

// tokenParameters may be longer than others.
var tokenParameters = []string{"token", "access_token", "refresh_token", "id_token_hint", "client_assertion", "claims"}

// queryForm returns the parameters of a GET request.
func queryForm(r *http.Request) (url.Values, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return nil, refuse(invalidRequest(http.StatusRequestURITooLong), check{
			What: fmt.Sprintf("The query is longer than %d bytes.", maxQuery), Section: rfc("9110", "15.5.15"),
		})
	}
	return parseForm(r.URL.RawQuery)
}

// bodyForm returns the parameters of a POST request, which are form-urlencoded
// in the body (RFC 6749 §3.2).
func bodyForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	const want = "application/x-www-form-urlencoded"
	if arrived := r.Header.Get("Content-Type"); arrived != want { // else it may have parameters
		if got, _, err := mime.ParseMediaType(arrived); err != nil || got != want {
			return nil, refuse(fosite.ErrInvalidRequest, check{
				What:     "The parameters must be form-urlencoded in the body.",
				Expected: "Content-Type " + want, Arrived: arrived, Section: rfc6749("3.2"),
			})
		}
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	return parseForm(string(body))
}

// readBody reads a body of at most so many bytes, or says why there is none: it is too
// long, it comes too slowly, or it breaks off.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), most)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, most))
	_, tooLong := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body.Bytes(), nil
	case tooLong:
		return nil, refuse(invalidRequest(http.StatusRequestEntityTooLarge), check{
			What: fmt.Sprintf("The body is longer than %d bytes.", most), Section: rfc("9110", "15.5.14"),
		})
	case errors.Is(err, os.ErrDeadlineExceeded):
		if r.ProtoMajor == 1 { // HTTP/2 has other requests on the connection
			w.Header().Set("Connection", "close")
		}
		return nil, refuse(invalidRequest(http.StatusRequestTimeout), check{
			What: "The body came too slowly: the provider waits no longer for the rest of it.", Section: rfc("9110", "15.5.9"),
		})
	default: // most have hung up, and the log says so; whoever has not learns why
		return nil, refuse(invalidRequest(http.StatusBadRequest).WithWrap(context.Canceled), check{
			What: "The body broke off before its end.", Section: rfc("9112", "8"),
		})
	}
}

// invalidRequest is that error with another status than 400.
func invalidRequest(status int) *fosite.RFC6749Error {
	e := *fosite.ErrInvalidRequest
	e.CodeField = status
	return &e
}

// parseForm decodes parameters and refuses what no honest client sends. One
// without a value is as if it were not there (RFC 6749 §3.1, §3.2).
func parseForm(raw string) (url.Values, error) {
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "The parameters are not validly encoded.", Section: rfc6749("B"),
		})
	}
	for name, values := range form {
		if err := checkParameter(name, values); err != nil {
			return nil, err
		}
		if !slices.Contains(values, "") {
			continue
		}
		form[name] = slices.DeleteFunc(values, func(value string) bool { return value == "" })
		if len(form[name]) == 0 {
			delete(form, name)
		}
	}
	return form, nil
}

func checkParameter(name string, values []string) error {
	// RFC 6749 §3.1, §3.2: parameters must not be included more than once.
	// RFC 8707 §2 makes an exception of "resource".
	if len(values) > 1 && name != "resource" {
		return refuse(fosite.ErrInvalidRequest, check{
			What:     "A parameter is given more than once.",
			Expected: printable(name) + " once", Arrived: fmt.Sprintf("%d times", len(values)), Section: rfc6749("3.1"),
		})
	}
	limit := maxParameter
	switch {
	case name == sealedField:
		limit = maxSealed
	case slices.Contains(tokenParameters, name):
		limit = maxToken
	}
	for _, value := range values {
		if len(value) > limit || len(name) > maxParameter {
			return refuse(fosite.ErrInvalidRequest, check{
				What:     "A parameter is too long.",
				Expected: fmt.Sprintf("%s of at most %d bytes", printable(name), limit), Arrived: fmt.Sprintf("%d bytes", len(value)),
				Section: rfc6749("10.14"),
			})
		}
		if !wellFormed(name) || !wellFormed(value) {
			return refuse(fosite.ErrInvalidRequest, check{
				What:     "A parameter holds control characters or invalid UTF-8.",
				Expected: "text", Arrived: printable(name), Section: rfc6749("A"),
			})
		}
	}
	return nil
}

// wellFormed allows line breaks: a password or a claim request may hold them.
func wellFormed(s string) bool {
	for i := range len(s) { // control characters are of one byte
		if c := s[i]; c == 0x7f || c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// printable cuts a name that a stranger chose to what fits into a message.
func printable(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
