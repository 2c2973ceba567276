package recorder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
)

// sensitive says whether a parameter of this name lets its bearer do
// something, and so is kept as a placeholder only.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "code", "token", "password", "secret", "code_verifier", "request", "csrf",
		"id_token_hint", "assertion", "client_assertion", "device_code", "user_code":
		return true
	}
	for _, ending := range []string{"_token", "_secret", "_password", "_csrf"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return strings.HasPrefix(name, "csrf")
}

// placeholder matches what stands in the place of a sensitive value. It is the
// same inside a URL.
var placeholder = regexp.MustCompile(`redacted-[0-9a-f]{8}`)

// redactor replaces sensitive values. The same value has the same placeholder
// under one key; the key is random, so that a short password cannot be found
// by trying.
type redactor struct{ key []byte }

func newRedactor(key string) redactor { return redactor{key: []byte(key)} }

func (r redactor) hide(value string) string {
	if value == "" || value == placeholder.FindString(value) {
		return value
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(value))
	return "redacted-" + hex.EncodeToString(mac.Sum(nil)[:4])
}

// exchange returns a copy without sensitive values. Redacting twice changes
// nothing more.
func (r redactor) exchange(e Exchange) Exchange {
	values := rewriter{value: r.value, escape: url.QueryEscape}
	return e.mapped(values.param, r.header)
}

func (r redactor) value(name, value string) string {
	if _, isToken := decodeToken(Param{name, value}); isToken || sensitive(name) {
		return r.hide(value)
	}
	return value
}

func (r redactor) header(name, value string) string {
	switch name {
	case "Authorization":
		return r.authorization(value)
	case "DPoP":
		return r.hide(value)
	case "Set-Cookie":
		pair, attributes, some := strings.Cut(value, ";")
		if some {
			attributes = ";" + attributes
		}
		return r.cookie(pair) + attributes
	case "Cookie":
		pairs := strings.Split(value, ";")
		for i := range pairs {
			pairs[i] = r.cookie(strings.TrimSpace(pairs[i]))
		}
		return strings.Join(pairs, "; ")
	default:
		return value
	}
}

func (r redactor) cookie(pair string) string {
	name, value, _ := strings.Cut(pair, "=")
	return name + "=" + r.hide(value)
}

// authorization keeps the scheme, and the client_id of HTTP Basic (RFC 6749
// §2.3.1), which is public.
func (r redactor) authorization(value string) string {
	scheme, credentials, _ := strings.Cut(value, " ")
	if placeholder.MatchString(credentials) {
		return value
	}
	if strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil {
			if user, password, ok := strings.Cut(string(plain), ":"); ok {
				return scheme + " " + user + ":" + r.hide(unescape(password))
			}
		}
	}
	return scheme + " " + r.hide(credentials)
}
