package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// wantSessionState recomputes a session_state of the public client as Session
// Management §3.2 has it.
func wantSessionState(t *testing.T, got, origin, browserState string) {
	t.Helper()
	hash, salt, _ := strings.Cut(got, ".")
	sum := sha256.Sum256([]byte(providertest.PublicClient + " " + origin + " " + browserState + " " + salt))
	if len(salt) < 16 || hash != hex.EncodeToString(sum[:]) {
		t.Errorf("session_state %q is not of %s in state %q", got, origin, browserState)
	}
}

// TestSessionState: in every response to an OpenID request of a web page.
func TestSessionState(t *testing.T) {
	const origin, app = "http://rp.localhost:1", "com.example.app:/callback"
	clients := providertest.DefaultClients()
	clients[0].RedirectURIs = append(clients[0].RedirectURIs, app, "HTTPS://RP.example:443/callback?a=b")
	clients[0].AuthorizationSignedResponseAlg = "ES256"
	op := serving(t, provider.Config{Clients: clients})
	op.code(t)
	state := op.cookies["op_browser_state"]
	if len(state) < 22 || state == op.cookies["op_session"] {
		t.Fatalf("browser state %q", state)
	}
	seen := map[string]bool{}
	for _, tt := range []struct {
		name   string
		change params
		origin string // "": there is no session_state
	}{
		{"code", nil, origin},
		{"id_token", params{"response_type": "id_token"}, origin},
		{"hybrid", params{"response_type": "code id_token token"}, origin},
		{"fragment", params{"response_mode": "fragment"}, origin},
		{"silently", params{"prompt": "none"}, origin},
		{"default port, upper case", params{"redirect_uri": clients[0].RedirectURIs[2]}, "https://rp.example"},
		{"no OpenID request", params{"scope": "email", "nonce": ""}, ""},
		{"private-use scheme", params{"redirect_uri": app}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(tt.change).values().Encode(), nil, nil)
			callback, err := url.Parse(rec.Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			got := response(t, callback)
			if !got.Has("code") && !got.Has("id_token") {
				t.Fatalf("answer %d, %v", rec.Code, got)
			}
			if tt.origin == "" {
				if got.Has("session_state") {
					t.Errorf("answer %v", got)
				}
				return
			}
			wantSessionState(t, got.Get("session_state"), tt.origin, state)
			if seen[got.Get("session_state")] {
				t.Error("the same session_state twice")
			}
			seen[got.Get("session_state")] = true
		})
	}
	t.Run("form_post", func(t *testing.T) {
		rec := op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"response_mode": "form_post"}).values().Encode(), nil, nil)
		wantSessionState(t, inputs(t, rec.Body.String()).Get("session_state"), origin, state)
	})
	t.Run("signed", func(t *testing.T) {
		got := op.authorize(t, codeRequest().with(params{"response_mode": "jwt"}))
		signed, _ := claimsOf(t, got.Get("response"))["session_state"].(string)
		wantSessionState(t, signed, origin, state)
		if got.Has("session_state") {
			t.Error("a session_state beside the signed one")
		}
	})
}

// TestSessionStateOfErrors: a client that asks without a page can watch for a
// change whatever the answer. Other errors have no more than they had.
func TestSessionStateOfErrors(t *testing.T) {
	const origin = "http://rp.localhost:1"
	op := serving(t, provider.Config{})
	silent := codeRequest().with(params{"prompt": "none"})
	got := op.authorize(t, silent)
	if got.Get("error") != "login_required" {
		t.Fatalf("answer %v", got)
	}
	wantSessionState(t, got.Get("session_state"), origin, "")

	op.authorize(t, online())
	got = op.authorize(t, silent)
	if got.Get("error") != "consent_required" {
		t.Fatalf("answer %v", got)
	}
	wantSessionState(t, got.Get("session_state"), origin, op.cookies["op_browser_state"])

	for _, change := range []params{{"prompt": "none login"}, {"prompt": "", "max_age": "x"}, {"scope": "email", "nonce": ""}} {
		if got := op.authorize(t, silent.with(change)); !got.Has("error") || got.Has("session_state") {
			t.Errorf("%v: answer %v", change, got)
		}
	}
}

// TestBrowserState: the cookie changes with the user, and with nothing else.
func TestBrowserState(t *testing.T) {
	op := serving(t, provider.Config{})
	idToken := op.token(t, redeem(op.code(t))).text("id_token")
	alice := op.cookies["op_browser_state"]
	op.authorize(t, codeRequest().with(params{"prompt": "login"}))
	if got := op.cookies["op_browser_state"]; got != alice {
		t.Errorf("another state after a second login of the same user: %q, %q", alice, got)
	}

	// What the browser has lost or somebody has changed comes again.
	for _, lost := range []string{"", "other"} {
		op.cookies["op_browser_state"] = lost
		op.authorize(t, codeRequest().with(params{"prompt": "none"}))
		if got := op.cookies["op_browser_state"]; got != alice {
			t.Errorf("instead of %q: %q, want %q", lost, got, alice)
		}
	}
	rec := op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"prompt": "none"}).values().Encode(), nil, nil)
	if set := rec.Header().Values("Set-Cookie"); len(set) != 0 {
		t.Errorf("cookies %q though nothing has changed", set)
	}

	op.authorizeAs(t, "bob", codeRequest().with(params{"prompt": "login"}))
	bob := op.cookies["op_browser_state"]
	if bob == alice || bob == "" {
		t.Errorf("bob's state %q, alice's %q", bob, alice)
	}
	op.authorize(t, codeRequest().with(params{"prompt": "login"}))
	if again := op.cookies["op_browser_state"]; again == alice || again == bob {
		t.Error("a new session has the state of an old one")
	}
	op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
	if got := op.cookies["op_browser_state"]; got != "" {
		t.Errorf("state %q after the sign-out", got)
	}

	// Nobody is signed in, whatever the browser believes.
	for _, path := range []string{"/logout", "/authorize?" + codeRequest().values().Encode()} {
		op.cookies["op_browser_state"] = alice
		op.do(t, http.MethodGet, path, nil, nil)
		if got := op.cookies["op_browser_state"]; got != "" {
			t.Errorf("%s leaves the state %q", path, got)
		}
	}
}

// TestBrowserStateEndsWithTheSession: at the hour at which the session does.
func TestBrowserStateEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		login := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
		form := inputs(t, op.do(t, http.MethodGet, login, nil, nil).Body.String())
		form.Set("username", "alice")
		form.Set("password", "alice")
		for _, cookie := range op.do(t, http.MethodPost, "/login", form, nil).Result().Cookies() {
			if want := 8 * 3600; cookie.Name == "op_browser_state" && cookie.MaxAge != want {
				t.Errorf("ends after %d s, want %d", cookie.MaxAge, want)
			}
		}
		time.Sleep(7 * time.Hour)
		op.cookies["op_browser_state"] = "" // lost, and given again for what is left
		rec := op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"prompt": "none"}).values().Encode(), nil, nil)
		if cookies := rec.Result().Cookies(); len(cookies) != 1 || cookies[0].MaxAge != 3600 {
			t.Errorf("cookies %v, want one for an hour", cookies)
		}
	})
}

// TestCheckSessionPage: other sites may have it in a frame, and it loads and
// sends nothing.
func TestCheckSessionPage(t *testing.T) {
	for issuer, cookie := range map[string]string{
		"http://op.localhost": "op_browser_state", "https://op.localhost": "__Host-op_browser_state",
	} {
		t.Run(issuer, func(t *testing.T) {
			op := serving(t, provider.Config{Issuer: issuer})
			rec := op.do(t, http.MethodGet, "/session", nil, nil)
			root, err := html.Parse(strings.NewReader(rec.Body.String()))
			if err != nil {
				t.Fatal(err)
			}
			var script string
			for node := range root.Descendants() {
				for _, a := range node.Attr {
					switch {
					case a.Key == "src", a.Key == "href", a.Key == "action", a.Key == "style", strings.HasPrefix(a.Key, "on"):
						t.Errorf("<%s %s=%q>", node.Data, a.Key, a.Val)
					case a.Key == "data-cookie" && a.Val != cookie:
						t.Errorf("reads the cookie %q, want %q", a.Val, cookie)
					}
				}
				if node.Type == html.ElementNode && node.Data == "script" {
					script += node.FirstChild.Data
				}
			}
			sum := sha256.Sum256([]byte(script))
			policy := "default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
			for name, want := range map[string]string{
				"Content-Security-Policy": policy, "X-Frame-Options": "", "Content-Type": "text/html; charset=utf-8",
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Set-Cookie": "",
			} {
				if got := rec.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			again := op.do(t, http.MethodGet, "/session", nil, func(r *http.Request) { r.Header.Set("If-None-Match", rec.Header().Get("ETag")) })
			if rec.Code != http.StatusOK || again.Code != http.StatusNotModified {
				t.Errorf("status %d, then %d", rec.Code, again.Code)
			}
			if post := op.do(t, http.MethodPost, "/session", nil, nil); post.Code != http.StatusMethodNotAllowed {
				t.Errorf("POST: %d", post.Code)
			}
		})
	}
}
