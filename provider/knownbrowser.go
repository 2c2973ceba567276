package provider

import (
	"crypto/hmac"
	"net/http"
	"strings"
	"time"
)

const (
	// knownBrowserCookie shows who signed in with a browser before: OWASP's "device
	// cookie". It tells nothing of the users, and opens nothing but the way to try a
	// password while others have tried too many.
	knownBrowserCookie = "op_known_browser"
	knownBrowserLife   = 90 * 24 * time.Hour // from the last sign-in
	// maxKnownUsers are how many people may share a browser.
	maxKnownUsers = 4
)

// The cookie has an entry for each user, the last one first: a number of the browser,
// for this user alone, and a seal over the number and the username. Their lengths, in
// base64url:
const (
	browserNumber = 16
	browserSeal   = 22
)

// knownBrowser returns the number of a browser that a user signed in with before, ""
// of any other.
func (p *Provider) knownBrowser(r *http.Request, username string) string {
	for _, entry := range p.knownEntries(r) {
		if number := entry[:browserNumber]; hmac.Equal([]byte(entry), []byte(p.knownEntry(number, username))) {
			return number
		}
	}
	return ""
}

// rememberBrowser gives a browser the cookie when a user has signed in. The number
// stays, with what it has to wait.
func (p *Provider) rememberBrowser(w http.ResponseWriter, r *http.Request, u *user) {
	number := p.knownBrowser(r, u.Username)
	if number == "" {
		number = randomString(browserNumber * 3 / 4)
	}
	entries := []string{p.knownEntry(number, u.Username)}
	for _, other := range p.knownEntries(r) {
		if other != entries[0] && len(entries) < maxKnownUsers {
			entries = append(entries, other)
		}
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // over http browsers refuse Secure (sso.go); the rest is set
		Name: p.cookieName(knownBrowserCookie), Value: strings.Join(entries, "."), Path: "/",
		MaxAge:   int(knownBrowserLife / time.Second),
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	})
}

// knownEntries are what looks like an entry in a request's cookie.
func (p *Provider) knownEntries(r *http.Request) []string {
	var entries []string
	for entry := range strings.SplitSeq(p.readCookie(r, knownBrowserCookie), ".") {
		if len(entry) == browserNumber+browserSeal && len(entries) < maxKnownUsers {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (p *Provider) knownEntry(number, username string) string {
	return number + p.browserSeals.text(number + username)[:browserSeal] // number has one length
}
