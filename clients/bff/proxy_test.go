package bff_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProxyForwards(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	if resp := b.get("/bff/api/me?admin=1"); resp.StatusCode != http.StatusOK {
		t.Fatal(text(resp))
	}
	foreign := func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer of-the-page")
		r.Header.Set("X-Forwarded-For", "1.2.3.4")
	}
	if resp := b.send(http.MethodPost, "/bff/api/notes", `{"text":"a"}`, foreign); resp.StatusCode != http.StatusCreated {
		t.Fatal(text(resp))
	}
	me, note := l.api.requests[0], l.api.requests[1]
	if got := me.URL.String(); got != apiURL+"/api/me" {
		t.Errorf("called %s", got)
	}
	if note.Method != http.MethodPost || l.api.bodies[1] != `{"text":"a"}` {
		t.Errorf("%s %s", note.Method, l.api.bodies[1])
	}
	if note.Header.Get("Authorization") == "Bearer of-the-page" || note.Header.Get("Cookie") != "" || note.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("headers of the browser reach the API: %v", note.Header)
	}
}

// Only the listed pairs of method and path leave the backend.
func TestProxyAllowList(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	for _, c := range []struct{ method, target string }{
		{http.MethodDelete, "/bff/api/me"},
		{http.MethodPost, "/bff/api/me"},
		{http.MethodPut, "/bff/api/notes"},
		{http.MethodGet, "/bff/api/"},
		{http.MethodGet, "/bff/api/admin"},
		{http.MethodGet, "/bff/api/me/"},
		{http.MethodGet, "/bff/api/notes/1"},
		{http.MethodGet, "/bff/api/%2e%2e/admin"},
		{http.MethodGet, "/bff/api/../../admin"},
		{http.MethodGet, "/bff/api/http://evil.test/"},
		{http.MethodGet, "/bff/proxy?u=http://evil.test"},
	} {
		resp := b.send(c.method, c.target, "")
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode/100 != 3 {
			t.Errorf("%s %s: status %d", c.method, c.target, resp.StatusCode)
		}
		if to := resp.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("%s %s: redirect to %s", c.method, c.target, to)
		}
	}
	if n := l.api.count(); n != 0 {
		t.Errorf("%d calls reached the API", n)
	}
}

func TestProxyNeedsASession(t *testing.T) {
	l := newLab(t)
	wantJSON(t, l.browser().get("/bff/api/me"), 401, "no_session")
	forged := l.browser()
	forged.cookies["__Host-bff"] = strings.Repeat("A", 26)
	wantJSON(t, forged.get("/bff/api/me"), 401, "no_session")
	if n := l.api.count(); n != 0 {
		t.Errorf("%d calls reached the API", n)
	}
}

func TestProxyRequestBody(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	wantJSON(t, b.send(http.MethodPost, "/bff/api/notes", strings.Repeat("x", 64<<10+1)), 413, "body_too_large")
	form := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	wantJSON(t, b.send(http.MethodPost, "/bff/api/notes", `{}`, form), 415, "not_json")
	if n := l.api.count(); n != 0 {
		t.Errorf("%d calls reached the API", n)
	}
}

func TestProxyAnswer(t *testing.T) {
	cases := []struct {
		name    string
		respond http.HandlerFunc
		status  int
		check   string
	}{
		{"an error of the API passes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Set-Cookie", "a=b")
			answer(w, 403, map[string]any{"error": "insufficient_scope"})
		}, 403, "insufficient_scope"},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<script>") }, 502, "api_unavailable"},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `"`+strings.Repeat("x", 1<<20)+`"`)
		}, 502, "api_unavailable"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.test/", http.StatusFound)
		}, 502, "api_unavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.net["evil.test"] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
			b := l.browser()
			b.signIn()
			l.api.respond = c.respond
			resp := b.get("/bff/api/me")
			if h := resp.Header; h.Get("Access-Control-Allow-Origin") != "" || h.Get("Set-Cookie") != "" {
				t.Errorf("headers of the API reach the browser: %v", h)
			}
			wantJSON(t, resp, c.status, c.check)
		})
	}
	t.Run("down", func(t *testing.T) {
		l := newLab(t)
		b := l.browser()
		b.signIn()
		delete(l.net, "api.lab.localhost")
		wantJSON(t, b.get("/bff/api/me"), 502, "api_unavailable")
	})
}

func TestProxyRenewsOnceAfter401(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	l.op.forgetAccess()
	if resp := b.send(http.MethodPost, "/bff/api/notes", `{"text":"a"}`); resp.StatusCode != http.StatusCreated {
		t.Fatal(text(resp))
	}
	if l.api.bodies[0] != l.api.bodies[1] {
		t.Error("the second try has another body")
	}
	l.api.respond = func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
	}
	before := l.api.count()
	wantJSON(t, b.get("/bff/api/me"), 401, "invalid_token")
	if n := l.api.count() - before; n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	if !b.signedIn() {
		t.Error("the API's refusal ended the session")
	}
}

func TestProxyAfterTheGrantEnded(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	l.op.forgetAccess()
	l.op.forgetRefresh()
	wantJSON(t, b.get("/bff/api/me"), 401, "session_ended")
	if b.signedIn() {
		t.Error("still signed in")
	}
}

// The provider is down when the access token is about to expire: it is used as
// long as it lasts, and the session waits.
func TestProxyWhileTheProviderIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.op.lifetime = 600
		b := l.browser()
		b.signIn()
		down := true
		l.op.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if down {
				w.WriteHeader(http.StatusBadGateway)
			}
			return down
		})
		time.Sleep(595 * time.Second)
		if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
			t.Error(text(resp))
		}
		time.Sleep(10 * time.Second)
		wantJSON(t, b.get("/bff/api/me"), 503, "provider_unavailable")
		down = false
		if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
			t.Error(text(resp))
		}
	})
}
