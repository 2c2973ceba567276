package frontenddriven

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

const (
	maxBody  = 16 << 10 // bytes of a JSON body
	maxValue = 4096     // characters of a code or a nonce
)

// cors lets the application's own page read answers, and no other page. The
// origin is compared whole and never echoed unless it is that one. Credentials
// are not allowed, since there is no cookie to send. RFC 10017 §6.1.3.3.2.
func (a *App) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin") // also on answers to nobody: a cache must not mix them
		origin := r.Header.Get("Origin")
		if origin == a.cfg.FrontendURL {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Retry-After")
		}
		switch {
		case r.Method == http.MethodOptions:
			if origin == a.cfg.FrontendURL {
				h.Set("Access-Control-Allow-Methods", "GET, POST")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPost && origin != "" && origin != a.cfg.FrontendURL:
			// CORS would only keep the answer from that page; the code or the
			// refresh token would be used up. A program that is no browser, such
			// as a native application, sends no Origin.
			a.refuse(w, r, errOrigin.expected(a.cfg.FrontendURL, origin))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// readJSON decodes a bounded JSON object into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errMediaType
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("there is more than one JSON value")
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return errTooLarge.with(fmt.Sprintf("It may have %d bytes.", tooLarge.Limit))
	}
	return errBody.with(clip(err.Error()))
}

// bearer takes the token from the Authorization header, RFC 6750 §2.1.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// exchangeRequest is the body of POST /auth/exchange: what the callback brought
// to the browser, and what the browser alone knew.
type exchangeRequest struct {
	Code        string `json:"code"`
	Verifier    string `json:"code_verifier"`
	Nonce       string `json:"nonce"`
	RedirectURI string `json:"redirect_uri"`
}

// unreserved is what a code_verifier is made of. RFC 7636 §4.1.
var unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

func (e exchangeRequest) check(frontendURL string) error {
	switch {
	case e.Code == "" || len(e.Code) > maxValue:
		return errCode
	case !unreserved.MatchString(e.Verifier):
		return errVerifier
	case e.Nonce == "" || len(e.Nonce) > maxValue:
		// Without one the check of the ID token's nonce would compare nothing
		// with nothing.
		return errNonce
	case e.RedirectURI != frontendURL+"/callback" && !isLoopback(e.RedirectURI):
		return errRedirectURI.expected(frontendURL+"/callback, or http://127.0.0.1:PORT/callback", e.RedirectURI)
	}
	return nil
}

// isLoopback accepts http://127.0.0.1:PORT/callback and the same on [::1], for
// native applications, which listen on a port that the system chose. A name such
// as "localhost" is no loopback address: who answers is up to a resolver.
// RFC 8252 §7.3, §8.3.
func isLoopback(redirectURI string) bool {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "http" || u.Port() == "" || u.Path != "/callback" {
		return false
	}
	host := u.Hostname()
	// Put together again it must be the very same text: no query, fragment, user
	// or odd spelling was left out of sight.
	return (host == "127.0.0.1" && redirectURI == "http://127.0.0.1:"+u.Port()+"/callback") ||
		(host == "::1" && redirectURI == "http://[::1]:"+u.Port()+"/callback")
}
