package bff

import (
	"net/http"
	"time"
)

// The cookies. The prefix __Host- makes the browser refuse one that has a
// Domain, another Path or no Secure, so that no sibling host can plant it
// (RFC 6265bis §4.1.3.2, RFC 10017 §6.1.3.2). HttpOnly keeps scripts out.
const (
	// sessionCookie holds the session id. SameSite=Strict: it is needed only by
	// requests from the backend's own page.
	sessionCookie = "__Host-bff"
	// loginCookie marks the browser in which logins begin. SameSite=Lax: the
	// callback is a navigation that may come from another site, the provider's.
	loginCookie = "__Host-bff-login"
	// logoutCookie holds the state of a sign-out; Lax for the same reason.
	logoutCookie = "__Host-bff-logout"
)

func setCookie(w http.ResponseWriter, name, value string, lifetime time.Duration, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: SameSite is the caller's, Strict or Lax
		Name: name, Value: value, Path: "/", MaxAge: int(lifetime.Seconds()),
		Secure: true, HttpOnly: true, SameSite: sameSite,
	})
}

func dropCookie(w http.ResponseWriter, name string, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: as above
		Name: name, Path: "/", MaxAge: -1,
		Secure: true, HttpOnly: true, SameSite: sameSite,
	})
}

// cookie returns the value of a cookie, or "" when there is none. What is no
// secret of ours by its length is treated as none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) != secretLength {
		return ""
	}
	return c.Value
}
