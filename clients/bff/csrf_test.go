package bff_test

import (
	"net/http"
	"testing"
)

var stateChanging = []string{"/logout", "/bff/renew", "/bff/api/notes"}

// The custom header alone is missing.
func TestCSRFHeader(t *testing.T) {
	for _, target := range stateChanging {
		t.Run(target, func(t *testing.T) {
			l := newLab(t)
			b := l.browser()
			b.signIn()
			without := func(r *http.Request) { r.Header.Del("X-Bff-Csrf") }
			wantJSON(t, b.send(http.MethodPost, target, `{}`, without), 403, "csrf_header_missing")
			wantUnchanged(t, l, b)
		})
	}
}

// The request alone comes from elsewhere: all else is as the page sends it.
func TestCSRFOrigin(t *testing.T) {
	origins := map[string]func(*http.Request){
		"cross-site":     func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a sibling host": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"a browser without Sec-Fetch-Site": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "http://sibling.lab.localhost")
		},
	}
	for name, from := range origins {
		for _, target := range stateChanging {
			t.Run(name+target, func(t *testing.T) {
				l := newLab(t)
				b := l.browser()
				b.signIn()
				wantJSON(t, b.send(http.MethodPost, target, `{}`, from), 403, "cross_origin")
				wantUnchanged(t, l, b)
			})
		}
	}
}

func wantUnchanged(t *testing.T, l *lab, b *browser) {
	t.Helper()
	refreshes, _, revoked := l.op.counted()
	if refreshes != 0 || len(revoked) != 0 || l.api.count() != 0 || !b.signedIn() {
		t.Error("the request had an effect")
	}
}

// No answer lets another origin read it, whatever it asks.
func TestNoCORS(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	evil := func(r *http.Request) {
		r.Header.Set("Origin", "http://evil.test")
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "x-bff-csrf")
	}
	for _, method := range []string{http.MethodGet, http.MethodOptions, http.MethodPost} {
		for _, target := range []string{"/", "/login", "/bff/session", "/bff/renew", "/bff/api/me", "/bff/api/notes", "/logout"} {
			resp := b.send(method, target, "", evil)
			for name := range resp.Header {
				if len(name) > 14 && name[:14] == "Access-Control" {
					t.Errorf("%s %s: %s", method, target, name)
				}
			}
		}
	}
}
