package bff_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoginRequest(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	resp := b.get("/login")
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := to.Scheme+"://"+to.Host+to.Path, issuerURL+"/authorize"; got != want {
		t.Errorf("redirect to %s, want %s", got, want)
	}
	q := to.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": baseURL + "/callback", "code_challenge_method": "S256",
		"scope": "openid profile email offline_access notes:read notes:write",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 22 {
			t.Errorf("%s has %d characters, too few for 128 bits", name, len(q.Get(name)))
		}
	}
	wantCookie(t, b.set[0], "__Host-bff-login", http.SameSiteLaxMode)
}

func wantCookie(t *testing.T, c *http.Cookie, name string, sameSite http.SameSite) {
	t.Helper()
	if c.Name != name || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != sameSite {
		t.Errorf("cookie %s, want %s: Secure, HttpOnly, Path=/, no Domain, SameSite %v", c.String(), name, sameSite)
	}
}

func TestSignIn(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	if b.signedIn() {
		t.Fatal("signed in before the login")
	}
	b.signIn()
	for _, c := range b.set {
		if c.Name == "__Host-bff" {
			wantCookie(t, c, "__Host-bff", http.SameSiteStrictMode)
		}
	}
	resp := b.get("/bff/session")
	if cache := resp.Header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("Cache-Control %q", cache)
	}
	body := text(resp)
	for _, secret := range l.op.secrets {
		if strings.Contains(body, secret) && !strings.Contains(body, `"nonce":"`+secret) {
			t.Errorf("the page gets a secret value")
		}
	}
	got := decode[struct {
		Who     map[string]string
		IDToken struct{ Header, Payload map[string]any } `json:"id_token"`
		Steps   []struct{ Text, Spec, Channel string }
	}](t, b.get("/bff/session"))
	want := map[string]string{"name": "Alice Liddell", "preferred_username": "alice", "sub": "s-1"}
	if diff := cmp.Diff(want, got.Who); diff != "" {
		t.Error(diff)
	}
	if got.IDToken.Header["alg"] != "ES256" || got.IDToken.Payload["iss"] != issuerURL {
		t.Errorf("ID token %v", got.IDToken)
	}
	if len(got.Steps) != 7 {
		t.Errorf("%d steps, want 7", len(got.Steps))
	}
}

// Each case spoils one thing of a login that would succeed without it.
func TestCallbackRefuses(t *testing.T) {
	claim := func(name string, value any) func(*lab) {
		return func(l *lab) {
			l.op.claims = func(c map[string]any) {
				if c[name] = value; value == nil {
					delete(c, name)
				}
			}
		}
	}
	otherKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Hour
	cases := []struct {
		name     string
		op       func(*lab)
		response func(url.Values)
		status   int
		check    string
	}{
		{name: "no state", response: func(q url.Values) { q.Del("state") }, status: 400, check: "state_unknown"},
		{name: "unknown state", response: func(q url.Values) { q.Set("state", strings.Repeat("A", 26)) }, status: 400, check: "state_unknown"},
		{name: "two states", response: func(q url.Values) { q.Add("state", "x") }, status: 400, check: "parameter_repeated"},
		{name: "two codes", response: func(q url.Values) { q.Add("code", "x") }, status: 400, check: "parameter_repeated"},
		{name: "iss of another provider", response: func(q url.Values) { q.Set("iss", "http://evil.test") }, status: 400, check: "iss_mismatch"},
		{name: "no iss", response: func(q url.Values) { q.Del("iss") }, status: 400, check: "iss_mismatch"},
		{name: "denied", response: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, status: 403, check: "access_denied"},
		{name: "error beside a code", response: func(q url.Values) { q.Set("error", "server_error") }, status: 403, check: "authorization_error"},
		{name: "no code", response: func(q url.Values) { q.Del("code") }, status: 400, check: "code_missing"},
		{name: "unknown code", response: func(q url.Values) { q.Set("code", "x") }, status: 502, check: "code_refused"},
		{name: "no ID token", op: func(l *lab) { l.op.tokens = func(m map[string]any) { delete(m, "id_token") } }, status: 502, check: "id_token_missing"},
		{name: "signature by another key", op: func(l *lab) { l.op.signer = otherKey }, status: 502, check: "id_token_invalid"},
		{name: "alg none", op: func(l *lab) {
			l.op.tokens = func(m map[string]any) {
				_, rest, _ := strings.Cut(m["id_token"].(string), ".")
				payload, _, _ := strings.Cut(rest, ".")
				m["id_token"] = "eyJhbGciOiJub25lIn0." + payload + "."
			}
		}, status: 502, check: "id_token_invalid"},
		{name: "iss", op: claim("iss", "http://evil.test"), status: 502, check: "id_token_invalid"},
		{name: "aud", op: claim("aud", "other"), status: 502, check: "id_token_invalid"},
		{name: "another audience beside, without azp", op: claim("aud", []string{clientID, "other"}), status: 502, check: "id_token_invalid"},
		{name: "azp", op: claim("azp", "other"), status: 502, check: "id_token_invalid"},
		{name: "exp", op: claim("exp", time.Now().Add(-hour).Unix()), status: 502, check: "id_token_invalid"},
		{name: "no exp", op: claim("exp", nil), status: 502, check: "id_token_invalid"},
		{name: "no iat", op: claim("iat", nil), status: 502, check: "id_token_invalid"},
		{name: "iat in the future", op: claim("iat", time.Now().Add(hour).Unix()), status: 502, check: "id_token_invalid"},
		{name: "no sub", op: claim("sub", nil), status: 502, check: "id_token_invalid"},
		{name: "nonce of another login", op: claim("nonce", "other"), status: 502, check: "nonce_mismatch"},
		{name: "no nonce", op: claim("nonce", nil), status: 502, check: "nonce_mismatch"},
		{name: "at_hash", op: claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), status: 502, check: "at_hash_mismatch"},
		{name: "userinfo of another user", op: func(l *lab) { l.op.userinfo = func(m map[string]any) { m["sub"] = "s-2" } }, status: 502, check: "userinfo_sub_mismatch"},
		{name: "userinfo without sub", op: func(l *lab) { l.op.userinfo = func(m map[string]any) { delete(m, "sub") } }, status: 502, check: "userinfo_sub_mismatch"},
		{name: "userinfo refuses", op: func(l *lab) {
			l.op.tokens = func(m map[string]any) { delete(l.op.access, m["access_token"].(string)) }
		}, status: 502, check: "userinfo_failed"},
		{name: "wrong client secret", op: func(l *lab) {
			l.stop()
			l.cfg.ClientSecret = "wrong"
			l.start()
		}, status: 502, check: "code_refused"},
		{name: "token endpoint down", op: func(l *lab) {
			l.op.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					w.WriteHeader(http.StatusServiceUnavailable)
					return true
				}
				return false
			})
		}, status: 503, check: "provider_unavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			if c.op != nil {
				c.op(l)
			}
			b := l.browser()
			response := l.op.authorize(b.begin())
			if c.response != nil {
				c.response(response)
			}
			wantPage(t, b.callback(response), c.status, c.check)
			if b.signedIn() {
				t.Error("signed in all the same")
			}
		})
	}
}

// A provider that does not announce iss need not send it; what it sends must
// still be right.
func TestIssIsOptionalWhereNotAnnounced(t *testing.T) {
	l := newLab(t)
	l.op.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
	b := l.browser()
	response := l.op.authorize(b.begin())
	response.Set("iss", "http://evil.test")
	wantPage(t, b.callback(response), 400, "iss_mismatch")

	response = l.op.authorize(b.begin())
	response.Del("iss")
	if resp := b.callback(response); resp.StatusCode != http.StatusSeeOther {
		t.Fatal(text(resp))
	}
}

// Login CSRF and fixation: the response of the attacker's login, in the victim's
// browser.
func TestCallbackIsBoundToTheBrowser(t *testing.T) {
	t.Run("a browser that began none", func(t *testing.T) {
		l := newLab(t)
		attacker, victim := l.browser(), l.browser()
		response := l.op.authorize(attacker.begin())
		wantPage(t, victim.callback(response), 400, "login_not_begun_here")
		if victim.signedIn() {
			t.Error("the victim is signed in as the attacker")
		}
	})
	t.Run("a browser that began another", func(t *testing.T) {
		l := newLab(t)
		attacker, victim := l.browser(), l.browser()
		response := l.op.authorize(attacker.begin())
		victim.begin()
		wantPage(t, victim.callback(response), 400, "login_of_another_browser")
		if victim.signedIn() {
			t.Error("the victim is signed in as the attacker")
		}
	})
	t.Run("the victim's code in the attacker's login", func(t *testing.T) {
		l := newLab(t)
		attacker, victim := l.browser(), l.browser()
		stolen := l.op.authorize(victim.begin())
		own := l.op.authorize(attacker.begin())
		own.Set("code", stolen.Get("code"))
		wantPage(t, attacker.callback(own), 502, "code_refused") // PKCE
		if attacker.signedIn() {
			t.Error("the attacker is signed in as the victim")
		}
	})
}

func TestCallbackReplay(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	response := l.op.authorize(b.begin())
	b.callback(response)
	wantPage(t, b.callback(response), 400, "state_unknown")
	if !b.signedIn() {
		t.Error("the replay ended the session")
	}
}

func TestLoginExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		b := l.browser()
		response := l.op.authorize(b.begin())
		time.Sleep(10 * time.Minute)
		wantPage(t, b.callback(response), 400, "state_unknown")
	})
}

func TestTwoTabs(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	first, second := b.begin(), b.begin()
	for _, request := range []url.Values{first, second} {
		if resp := b.callback(l.op.authorize(request)); resp.StatusCode != http.StatusSeeOther {
			t.Fatal(text(resp))
		}
		if !b.signedIn() {
			t.Fatal("not signed in")
		}
	}
}

// A session id that was there before the login is not the session's afterwards.
func TestSessionIDIsNew(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	b.signIn()
	old := b.cookies["__Host-bff"]

	planted := strings.Repeat("A", 26)
	victim := l.browser()
	victim.cookies["__Host-bff"] = planted
	victim.signIn()
	if victim.cookies["__Host-bff"] == planted {
		t.Error("the planted id is in use")
	}

	// The provider is on another site: the Strict cookie does not come with the
	// callback, and the old session ends all the same.
	response := l.op.authorize(b.begin())
	delete(b.cookies, "__Host-bff")
	b.callback(response)
	if b.cookies["__Host-bff"] == old {
		t.Error("the id was kept")
	}
	ghost := l.browser()
	ghost.cookies["__Host-bff"] = old
	if ghost.signedIn() {
		t.Error("the old session is alive")
	}
	if _, valid, revoked := l.op.counted(); valid != 2 || len(revoked) != 1 {
		t.Errorf("%d refresh tokens are valid after %d revocations, want the two sessions' and one", valid, len(revoked))
	}
}

// Nothing in the request leads the browser elsewhere after a login.
func TestNoOpenRedirect(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	resp := b.get("/login?return_to=//evil.test&redirect_uri=http://evil.test&next=http://evil.test")
	to, err := resp.Location()
	if err != nil || to.Host != "op.lab.localhost" || to.Query().Get("redirect_uri") != baseURL+"/callback" {
		t.Fatalf("to %v, %v", to, err)
	}
	response := l.op.authorize(to.Query())
	response.Set("return_to", "//evil.test")
	if got := b.callback(response).Header.Get("Location"); got != "/#login=done" {
		t.Fatalf("to %s", got)
	}
}

func TestHeadSpendsNothing(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	response := l.op.authorize(b.begin())
	if resp := b.send(http.MethodHead, "/callback?"+response.Encode(), ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp := b.callback(response); resp.StatusCode != http.StatusSeeOther {
		t.Error(text(resp))
	}
}

// The provider starts after the client.
func TestProviderStartsLater(t *testing.T) {
	l := newLab(t)
	b := l.browser()
	delete(l.net, "op.lab.localhost")
	resp := b.get("/login")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantPage(t, resp, 503, "provider_unavailable")
	if logs := l.logs.String(); !strings.Contains(logs, "level=WARN") || !strings.Contains(logs, "check=provider_unavailable") {
		t.Errorf("nobody is warned: %s", logs)
	}
	l.net["op.lab.localhost"] = l.op
	b.signIn()
}
