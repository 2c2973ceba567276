package bff_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signOutThere is the provider's part in a sign-out: it posts a logout token,
// with changes, where nil removes a claim.
func (l *lab) signOutThere(changes map[string]any) *http.Response {
	l.t.Helper()
	claims := map[string]any{
		"iss": issuerURL, "aud": clientID, "sub": "s-1", "sid": "session-1", "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	l.op.mu.Lock()
	token := l.op.sign(claims)
	l.op.mu.Unlock()
	r := httptest.NewRequest(http.MethodPost, baseURL+"/backchannel-logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	l.bff.ServeHTTP(w, r)
	return w.Result()
}

func (l *lab) wantSignedOutThere(changes map[string]any) {
	l.t.Helper()
	if resp := l.signOutThere(changes); resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
		l.t.Fatalf("status %d: %s", resp.StatusCode, text(resp))
	}
}

// inSession makes the ID tokens from now on those of a session of the provider's.
func (op *fakeOP) inSession(sid string) {
	op.claims = func(c map[string]any) { c["sid"] = sid }
}

// TestSignOutAtTheProvider ends the session whatever the browser asks for next,
// and tells why, once.
func TestSignOutAtTheProvider(t *testing.T) {
	for _, next := range []struct{ method, path string }{
		{http.MethodGet, "/bff/session"}, {http.MethodGet, "/bff/api/me"}, {http.MethodPost, "/bff/renew"},
	} {
		t.Run(next.path, func(t *testing.T) {
			l := newLab(t)
			b, other := l.browser(), l.browser()
			l.op.inSession("session-1")
			b.signIn()
			l.op.inSession("session-2")
			other.signIn()
			calls := l.api.count()
			l.wantSignedOutThere(nil)

			wantJSON(t, b.send(next.method, next.path, ""), 401, "signed_out_at_provider")
			if logs := l.logs.String(); strings.Contains(logs, "level=WARN") || !strings.Contains(logs, "check=signed_out_at_provider") {
				t.Errorf("logged: %s", logs)
			}
			if _, has := b.cookies["__Host-bff"]; has || b.signedIn() {
				t.Error("signed in, or the cookie was kept")
			}
			if refreshes, _, _ := l.op.counted(); refreshes != 0 || l.api.count() != calls {
				t.Error("the tokens were used")
			}
			if !other.signedIn() {
				t.Error("another session has ended")
			}
			// A new session at the provider is another one.
			l.op.inSession("session-3")
			b.signIn()
			if !b.signedIn() {
				t.Error("cannot sign in again")
			}
		})
	}
}

// TestSignOutOfAllSessions: a logout token with no sid ends all of a user's.
func TestSignOutOfAllSessions(t *testing.T) {
	l := newLab(t)
	b, withSession := l.browser(), l.browser()
	b.signIn()
	l.op.inSession("session-1")
	withSession.signIn()
	l.wantSignedOutThere(map[string]any{"sid": nil, "sub": "s-2"})
	if !b.signedIn() || !withSession.signedIn() {
		t.Fatal("another user's logout ended a session")
	}
	l.wantSignedOutThere(map[string]any{"sid": nil})
	for _, browser := range []*browser{b, withSession} {
		wantJSON(t, browser.get("/bff/session"), 401, "signed_out_at_provider")
	}
	b.signIn()
	if !b.signedIn() {
		t.Error("cannot sign in again")
	}
}

// TestSignOutAtTheProviderSurvivesRestart, and comes before a sign-in that was
// under way within the session.
func TestSignOutAtTheProviderSurvivesRestart(t *testing.T) {
	l := newLab(t)
	b, under := l.browser(), l.browser()
	l.op.inSession("session-1")
	b.signIn()
	response := l.op.authorize(under.begin())
	l.wantSignedOutThere(nil)
	l.stop()
	l.start()
	under.callback(response)
	for _, browser := range []*browser{b, under} {
		wantJSON(t, browser.get("/bff/session"), 401, "signed_out_at_provider")
	}
}

func TestForgedSignOut(t *testing.T) {
	l := newLab(t)
	l.op.inSession("session-1")
	b := l.browser()
	b.signIn()
	for name, changes := range map[string]map[string]any{
		"another client": {"aud": "other"}, "another provider": {"iss": apiURL}, "an ID token": {"events": nil, "nonce": "n"},
		"expired": {"exp": time.Now().Add(-time.Hour).Unix()},
	} {
		if resp := l.signOutThere(changes); resp.StatusCode != http.StatusBadRequest || decode[map[string]string](t, resp)["error"] != "invalid_request" {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	// One that has never asked the provider for anything learns its keys first.
	l.stop()
	l.start()
	l.op.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if resp := l.signOutThere(nil); resp.StatusCode != http.StatusBadRequest || decode[map[string]string](t, resp)["error"] != "server_error" {
		t.Errorf("without the provider's keys: status %d", resp.StatusCode)
	}
	if !b.signedIn() {
		t.Error("signed out")
	}
}

// TestSessionIsCheckedOrRefused: nobody is let in while the backend cannot look
// whether the session still stands.
func TestSessionIsCheckedOrRefused(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	if err := l.bff.Close(); err != nil {
		t.Fatal(err)
	}
	wantJSON(t, b.get("/bff/api/me"), 500, "store_failed")
	if resp := l.signOutThere(nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	l.start()
}
