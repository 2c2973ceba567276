package bff_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/clients/bff"
)

func TestLogout(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	old := b.cookies["__Host-bff"]

	got := decode[struct {
		SignedOut, Revoked bool
		LogoutURL          string `json:"logout_url"`
	}](t, b.send(http.MethodPost, "/logout", ""))
	to, err := url.Parse(got.LogoutURL)
	if err != nil || !got.Revoked {
		t.Fatalf("%+v, %v", got, err)
	}
	q := to.Query()
	if to.Host+to.Path != "op.lab.localhost/logout" || q.Get("id_token_hint") == "" || q.Get("post_logout_redirect_uri") != baseURL+"/" || q.Get("client_id") != clientID {
		t.Errorf("logout at %s", to)
	}
	if _, valid, revoked := l.op.counted(); valid != 0 || len(revoked) != 1 || revoked[0] != "refresh_token" {
		t.Errorf("%d refresh tokens are valid, revoked: %v", valid, revoked)
	}
	if _, has := b.cookies["__Host-bff"]; has || b.signedIn() {
		t.Error("signed in after the logout, or the cookie was kept")
	}
	ghost := l.browser()
	ghost.cookies["__Host-bff"] = old
	if ghost.signedIn() {
		t.Error("the old session id still works")
	}

	// The provider sends the browser back.
	if resp := b.get("/?state=" + q.Get("state")); resp.Header.Get("Location") != "/#signed-out" {
		t.Errorf("status %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	wantPage(t, b.get("/?state="+q.Get("state")), 400, "logout_state_mismatch")
}

func TestLogoutStateOfAnotherBrowser(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	b.send(http.MethodPost, "/logout", "")
	wantPage(t, b.get("/?state="+strings.Repeat("A", 26)), 400, "logout_state_mismatch")
}

func TestLogoutWhileTheProviderIsDown(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	delete(l.net, "op.lab.localhost")
	got := decode[map[string]any](t, b.send(http.MethodPost, "/logout", ""))
	if got["signed_out"] != true || got["revoked"] != false || got["logout_url"] != nil {
		t.Errorf("%v", got)
	}
	if b.signedIn() {
		t.Error("still signed in")
	}
}

func TestRestartKeepsSessions(t *testing.T) {
	l := newLab(t)
	b, under := l.browser(), l.browser()
	b.signIn()
	response := l.op.authorize(under.begin())
	l.stop()

	file, err := os.ReadFile(l.cfg.DBPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range append(l.op.secrets, b.cookies["__Host-bff"], "Alice") {
		if bytes.Contains(file, []byte(secret)) {
			t.Error("the file holds a value in clear")
		}
	}

	l.start()
	if !b.signedIn() {
		t.Error("the session is gone")
	}
	if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
		t.Error(text(resp))
	}
	if resp := under.callback(response); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the login under way is gone: %s", text(resp))
	}
}

func TestSessionEnds(t *testing.T) {
	lifetimes := func(c *bff.Config) { c.SessionLifetime, c.SessionIdle = time.Hour, 20*time.Minute }
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newLab(t, lifetimes).browser()
			b.signIn()
			time.Sleep(20 * time.Minute)
			if b.signedIn() {
				t.Error("signed in after the idle time")
			}
		})
	})
	t.Run("absolute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newLab(t, lifetimes).browser()
			b.signIn()
			for range 5 {
				time.Sleep(11 * time.Minute)
				if !b.signedIn() {
					t.Fatal("activity did not keep the session")
				}
			}
			time.Sleep(5 * time.Minute)
			if b.signedIn() {
				t.Error("signed in after an hour")
			}
		})
	})
}

func TestRenew(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	l.op.claims = func(c map[string]any) { c["email"] = "new@example.com" }
	resp := b.send(http.MethodPost, "/bff/renew", "")
	got := decode[struct {
		IDToken struct{ Payload map[string]any } `json:"id_token"`
		Steps   []any
	}](t, resp)
	if resp.StatusCode != http.StatusOK || got.IDToken.Payload["email"] != "new@example.com" || len(got.Steps) != 8 {
		t.Errorf("status %d, %+v", resp.StatusCode, got)
	}
	// The rotated token was kept: it renews once more.
	if resp := b.send(http.MethodPost, "/bff/renew", ""); resp.StatusCode != http.StatusOK {
		t.Error(text(resp))
	}
}

func TestRenewRefusals(t *testing.T) {
	token := func(h http.HandlerFunc) func(*lab) {
		return func(l *lab) {
			l.op.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					h(w, r)
				}
				return r.URL.Path == "/token"
			})
		}
	}
	oauthError := func(status int, code string) func(*lab) {
		return token(func(w http.ResponseWriter, _ *http.Request) { answer(w, status, map[string]any{"error": code}) })
	}
	cases := []struct {
		name   string
		spoil  func(*lab)
		status int
		check  string
		kept   bool
	}{
		{"refresh token revoked", func(l *lab) { l.op.forgetRefresh() }, 401, "session_ended", false},
		{"ID token of another user", func(l *lab) { l.op.claims = func(c map[string]any) { c["sub"] = "s-2" } }, 401, "session_ended", false},
		{"ID token not valid", func(l *lab) { l.op.claims = func(c map[string]any) { c["aud"] = "other" } }, 401, "session_ended", false},
		{"connection refused", func(l *lab) { delete(l.net, "op.lab.localhost") }, 503, "provider_unavailable", true},
		{"503", oauthError(503, "temporarily_unavailable"), 503, "provider_unavailable", true},
		{"500 that says invalid_grant", oauthError(500, "invalid_grant"), 503, "provider_unavailable", true},
		{"429", oauthError(429, "slow_down"), 503, "provider_unavailable", true},
		{"a proxy's page", token(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), 503, "provider_unavailable", true},
		{"timeout", token(func(_ http.ResponseWriter, _ *http.Request) { time.Sleep(time.Minute) }), 503, "provider_unavailable", true},
		{"invalid_client", oauthError(401, "invalid_client"), 502, "renewal_refused", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				b := l.browser()
				b.signIn()
				c.spoil(l)
				resp := b.send(http.MethodPost, "/bff/renew", "")
				if (resp.Header.Get("Retry-After") != "") != (c.status == 503) {
					t.Errorf("Retry-After %q with status %d", resp.Header.Get("Retry-After"), c.status)
				}
				wantJSON(t, resp, c.status, c.check)
				if b.signedIn() != c.kept {
					t.Errorf("session kept: %v, want %v", !c.kept, c.kept)
				}
				if _, has := b.cookies["__Host-bff"]; has != c.kept {
					t.Errorf("cookie kept: %v, want %v", has, c.kept)
				}
			})
		})
	}
}

func TestRenewWithoutRefreshToken(t *testing.T) {
	l := newLab(t)
	l.op.tokens = func(m map[string]any) { delete(m, "refresh_token") }
	b := l.browser()
	b.signIn()
	wantJSON(t, b.send(http.MethodPost, "/bff/renew", ""), 401, "session_ended")
}

// Twenty requests with an expired access token cause exactly one renewal. The
// provider is slow, so that they meet; with synctest they do so every time.
func TestRenewalIsSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.op.lifetime = 600
		b := l.browser()
		b.signIn()
		time.Sleep(10 * time.Minute)
		l.op.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				time.Sleep(time.Second)
			}
			return false
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
					t.Errorf("status %d: %s", resp.StatusCode, text(resp))
				}
			})
		}
		wg.Wait()
		if n, _, _ := l.op.counted(); n != 1 {
			t.Errorf("%d renewals, want 1", n)
		}
	})
}

// A request whose token was replaced between its call and the API's 401 gets
// the new token; it does not renew again.
func TestLateRequestUsesTheRenewedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b := l.browser()
		b.signIn()
		l.op.forgetAccess()
		var first atomic.Bool
		l.api.respond = func(w http.ResponseWriter, r *http.Request) {
			ok := l.op.accepts(r)
			if first.CompareAndSwap(false, true) {
				time.Sleep(10 * time.Second)
			}
			if !ok {
				answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
				return
			}
			answer(w, http.StatusOK, map[string]any{})
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
				t.Error(text(resp))
			}
		})
		time.Sleep(time.Second)
		if resp := b.get("/bff/api/me"); resp.StatusCode != http.StatusOK {
			t.Error(text(resp))
		}
		wg.Wait()
		if n, _, _ := l.op.counted(); n != 1 {
			t.Errorf("%d renewals, want 1", n)
		}
	})
}

// Signing out while a renewal is under way wins: the new tokens are revoked.
func TestLogoutDuringRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b := l.browser()
		b.signIn()
		l.op.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				time.Sleep(time.Second)
			}
			return false
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			wantJSON(t, b.send(http.MethodPost, "/bff/renew", ""), 401, "no_session")
		})
		synctest.Wait()
		// The provider has renewed before the revocation arrives, which then ends
		// nothing.
		other := l.browser()
		other.cookies["__Host-bff"] = b.cookies["__Host-bff"]
		l.op.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			l.op.override.Store(nil)
			w.WriteHeader(http.StatusOK)
			return r.URL.Path == "/revoke"
		})
		other.send(http.MethodPost, "/logout", "")
		wg.Wait()
		if _, valid, revoked := l.op.counted(); valid != 0 || len(revoked) != 1 {
			t.Errorf("%d refresh tokens are still valid, %d revoked", valid, len(revoked))
		}
	})
}

// The browser leaves while a renewal is under way: the new refresh token is kept
// all the same, since the old one is spent.
func TestRenewalOutlivesItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b := l.browser()
		b.signIn()
		ctx, leave := context.WithCancel(t.Context())
		l.op.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				leave()
			}
			return false
		})
		b.send(http.MethodPost, "/bff/renew", "", func(r *http.Request) { *r = *r.WithContext(ctx) })
		l.op.intercept(func(http.ResponseWriter, *http.Request) bool { return false })
		if resp := b.send(http.MethodPost, "/bff/renew", ""); resp.StatusCode != http.StatusOK {
			t.Error(text(resp))
		}
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	b.get("/bff/api/me")
	b.send(http.MethodPost, "/bff/renew", "")
	replay := l.op.authorize(b.begin())
	b.callback(replay)
	b.callback(replay)
	l.op.forgetRefresh()
	b.send(http.MethodPost, "/bff/renew", "")
	b.signIn()
	// Bodies with a token in an error, as a broken provider might send them.
	for _, broken := range []string{"/userinfo", "/token", "/revoke"} {
		response := l.op.authorize(b.begin())
		l.op.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != broken {
				return false
			}
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("failed: access_token=" + l.op.secrets[0]))
			return true
		})
		b.callback(response)
	}
	b.send(http.MethodPost, "/logout", "")

	logs := l.logs.String()
	for _, event := range []string{"signed in", "tokens renewed", "state_unknown", "session_ended", "provider_unavailable", "userinfo_failed", "tokens not revoked"} {
		if !strings.Contains(logs, event) {
			t.Errorf("the log says nothing of %q", event)
		}
	}
	secrets := append(l.op.secrets, secret)
	for _, c := range b.set {
		secrets = append(secrets, c.Value)
	}
	for _, value := range secrets {
		if value != "" && strings.Contains(logs, value) {
			t.Errorf("the log holds a secret value: %s", logs)
		}
	}
}
