package pkce_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/web/webtest"
	"github.com/oidclab/oidclab/clients/pkce"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// page is the client in a real browser, before an issuer that can lie.
type page struct {
	*browsertest.Tab

	t      testing.TB
	issuer *webtest.Issuer
	url    string
}

func open(t *testing.T) page {
	t.Helper()
	issuer := webtest.StartIssuer(t)
	client := httptest.NewServer(pkce.New(pkce.Config{Issuer: issuer.URL, APIURL: issuer.URL}))
	t.Cleanup(client.Close)
	return page{browsertest.Open(t), t, issuer, client.URL}
}

// in returns the page for use in a subtest.
func (p page) in(t *testing.T) page {
	t.Helper()
	p.Tab, p.t = p.For(t), t
	return p
}

// start forgets what the tab and the issuer know, and loads the page anew.
func (p page) start(lies webtest.Lies) {
	p.t.Helper()
	p.issuer.Tell(webtest.Lies{}, "")
	browsertest.Eval[bool](p.Tab, `(location.href === "about:blank" || sessionStorage.clear(), true)`)
	p.Navigate(p.url)
	p.Wait(`body[data-state="signed-out"]`)
	p.issuer.Tell(lies, "")
}

func (p page) signIn() {
	p.t.Helper()
	p.start(webtest.Lies{})
	p.Click("#signin")
	p.Wait(`body[data-state="signed-in"]`)
}

// text evaluates an expression in the page, where flow is flow.js.
func (p page) text(expression string) string {
	p.t.Helper()
	return browsertest.Eval[string](p.Tab, `import("/flow.js").then((flow) => String(`+expression+`))`)
}

func (p page) want(expression, want string) {
	p.t.Helper()
	if got := p.text(expression); got != want {
		p.t.Errorf("%s is %q, want %q", expression, got, want)
	}
}

const shownError = `document.querySelector("#error").innerText.split("\n")[0]`

func TestSignIn(t *testing.T) {
	p := open(t)
	p.signIn()
	p.want("who.textContent", "Alice Liddell (alice)")
	p.want("location.href", p.url+"/") // no code is left in it
	p.want("sessionStorage.getItem(flow.keys.transaction)", "null")

	request := p.issuer.Requests("/authorize")[0].Form
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "pkce", "redirect_uri": p.url + "/callback", "code_challenge_method": "S256",
		"scope": "openid profile email offline_access notes:read notes:write",
	} {
		if got := request.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	redemption := p.issuer.Requests("/token")[0].Form
	if len(redemption.Get("code_verifier")) != 43 || len(request.Get("state")) != 43 || len(request.Get("nonce")) != 43 {
		t.Error("verifier, state or nonce has less than 256 bits")
	}
	if redemption.Has("client_secret") {
		t.Error("a public client sent a secret")
	}

	p.Click("#call-api")
	p.Wait(`#api-result[data-status="200"]`)
	if got := p.text(`document.querySelector("#api-result").innerText`); !strings.Contains(got, "Bearer "+p.text("flow.held().accessToken")) {
		t.Errorf("the API saw %s", got)
	}
	p.want(`Object.entries(sessionStorage).concat(Object.entries(localStorage)).flat().some((s) =>
		[flow.held().accessToken, flow.held().refreshToken, flow.held().idToken].some((token) => s.includes(token)))`, "false")
}

// TestRefused takes away, or changes, one thing at a time of what the provider
// sends, and sees that check fail.
func TestRefused(t *testing.T) {
	set := func(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }
	drop := func(name string) func(url.Values) { return func(v url.Values) { v.Del(name) } }
	put := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
	answer := func(status int, change func(map[string]any)) func(url.Values, map[string]any) int {
		return func(_ url.Values, m map[string]any) int {
			change(m)
			return status
		}
	}
	tests := []struct {
		name string
		lies webtest.Lies
		want string // the error's first line; "" = signed in
	}{
		{"nothing", webtest.Lies{}, ""},
		{"metadata of another issuer", webtest.Lies{Metadata: put("issuer", "http://evil.example")}, "The provider's metadata names another issuer"},
		{"other state", webtest.Lies{Authorize: set("state", "other")}, "The state check failed"},
		{"no state", webtest.Lies{Authorize: drop("state")}, "The state check failed"},
		{"other iss", webtest.Lies{Authorize: set("iss", "http://evil.example")}, "The answer's issuer check failed"},
		{"no iss, though announced", webtest.Lies{Authorize: drop("iss")}, "The answer's issuer check failed"},
		{"no iss, not announced", webtest.Lies{Authorize: drop("iss"), Metadata: put("authorization_response_iss_parameter_supported", false)}, ""},
		{"other iss, not announced", webtest.Lies{Authorize: set("iss", "http://evil.example"), Metadata: put("authorization_response_iss_parameter_supported", false)}, "The answer's issuer check failed"},
		{"denied", webtest.Lies{Authorize: set("error", "access_denied")}, "Consent was denied"},
		{"unknown error", webtest.Lies{Authorize: set("error", "constructor")}, "The provider answered constructor"},
		{"no code", webtest.Lies{Authorize: drop("code")}, "The answer holds no code"},
		{"foreign code", webtest.Lies{Authorize: set("code", "foreign")}, "The token endpoint refused the request"},
		{"token endpoint down", webtest.Lies{Token: answer(503, func(map[string]any) {})}, "The token endpoint is not working at the moment"},
		{"other token type", webtest.Lies{Token: answer(200, put("token_type", "DPoP"))}, "The token endpoint's answer cannot be used"},
		{"no access token", webtest.Lies{Token: answer(200, put("access_token", nil))}, "The token endpoint's answer cannot be used"},
		{"no ID token", webtest.Lies{Token: answer(200, put("id_token", nil))}, "The ID token is no signed JWT"},
		{"other access token", webtest.Lies{Token: answer(200, put("access_token", "other"))}, "The access token's hash check failed"},
		{"other nonce", webtest.Lies{Claims: put("nonce", "other")}, "The ID token's nonce check failed"},
		{"other audience", webtest.Lies{Claims: put("aud", "other")}, "The ID token's audience check failed"},
		{"userinfo of another user", webtest.Lies{UserInfo: put("sub", "bob")}, "The userinfo answer speaks of another user"},
	}
	p := open(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := p.in(t)
			p.start(tt.lies)
			p.Click("#signin")
			if tt.want == "" {
				p.Wait(`body[data-state="signed-in"]`)
				return
			}
			p.Wait(`body[data-state="signed-out"][data-error]`)
			p.want(shownError, tt.want)
			p.want("flow.held()", "null")
			p.want("location.href", p.url+"/")
		})
	}
}

func TestReplayedCallback(t *testing.T) {
	p := open(t)
	p.signIn()
	p.Navigate(p.issuer.Requests("/authorize")[0].Location)
	p.Wait(`body[data-state="signed-out"][data-error]`)
	p.want(shownError, "No sign-in is under way in this tab")
	if n := len(p.issuer.Requests("/token")); n != 1 {
		t.Errorf("%d token requests: the code was sent again", n)
	}
}

func TestRenew(t *testing.T) {
	p := open(t)
	config := `await fetch("/config.json").then((r) => r.json())`
	p.signIn()
	first := p.text("flow.held().refreshToken")

	p.Click("#renew")
	p.Wait(`body[data-renewals="1"]`)
	if second := p.text("flow.held().refreshToken"); second == first {
		t.Error("the refresh token was not rotated")
	}

	t.Run("one request at a time", func(t *testing.T) {
		p := p.in(t)
		p.issuer.Tell(webtest.Lies{}, "alice-0001")
		browsertest.Eval[bool](p.Tab, `(async () => { const flow = await import("/flow.js"); const config = `+config+`;
			await Promise.all([flow.renew(config), flow.renew(config), flow.renew(config)]); return true })()`)
		if n := len(p.issuer.Requests("/token")); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("provider down: the tokens stay", func(t *testing.T) {
		p := p.in(t)
		p.issuer.Tell(webtest.Lies{Token: func(url.Values, map[string]any) int { return 503 }}, "alice-0001")
		p.Click("#renew")
		p.Wait(`body[data-state="signed-in"][data-error]`)
		p.want(shownError, "The token endpoint is not working at the moment")
	})
	t.Run("another user's ID token", func(t *testing.T) {
		p := p.in(t)
		p.signIn()
		p.issuer.Tell(webtest.Lies{}, "bob")
		p.Click("#renew")
		p.Wait(`body[data-error]`)
		p.want(shownError, "The renewed ID token has another sub")
		p.want("flow.held().claims.sub", "alice-0001")
	})
	t.Run("used or revoked: signed out", func(t *testing.T) {
		p := p.in(t)
		p.signIn()
		p.issuer.Tell(webtest.Lies{Token: func(_ url.Values, answer map[string]any) int {
			answer["error"] = "invalid_grant"
			return 400
		}}, "alice-0001")
		p.Click("#renew")
		p.Wait(`body[data-state="signed-out"][data-error]`)
		p.want(shownError, "The token endpoint refused the request")
		p.want("flow.held()", "null")
	})
}

func TestRenewSilently(t *testing.T) {
	p := open(t)
	p.signIn()
	refreshToken := p.text("flow.held().refreshToken")
	p.Click("#renew-silent")
	p.Wait(`body[data-renewals="1"]`)
	request := p.issuer.Requests("/authorize")[1].Form
	if request.Get("prompt") != "none" || request.Get("redirect_uri") != p.url+"/silent" || strings.Contains(request.Get("scope"), "offline_access") {
		t.Errorf("request %v", request)
	}
	if p.text("flow.held().refreshToken") == "" || refreshToken == "" {
		t.Error("the refresh token is lost")
	}
	tests := []struct {
		name, session, want string
		lies                webtest.Lies
	}{
		{"other state", "alice-0001", "The state check failed", webtest.Lies{Authorize: func(v url.Values) { v.Set("state", "other") }}},
		{"other nonce", "alice-0001", "The ID token's nonce check failed", webtest.Lies{Claims: func(m map[string]any) { m["nonce"] = "other" }}},
		{"another user", "bob", "Another user is signed in at the provider by now", webtest.Lies{}},
		{"nobody", "", "The provider sees no session", webtest.Lies{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := p.in(t)
			before := p.text("flow.held().accessToken")
			p.issuer.Tell(tt.lies, tt.session)
			p.Click("#renew-silent")
			p.Wait(`body[data-error]`)
			p.want(shownError, tt.want)
			p.want("flow.held().accessToken", before)
		})
	}
}

func TestReload(t *testing.T) {
	p := open(t)
	p.signIn()
	p.Navigate(p.url)
	p.Wait(`body[data-state="signed-in"]`)
	p.want("who.textContent", "Alice Liddell (alice)")

	p.issuer.Tell(webtest.Lies{}, "") // the provider's session has ended
	p.Navigate(p.url)
	p.Wait(`body[data-state="signed-out"]`)
	p.want("document.body.dataset.error", "undefined")
	p.want(`notice.innerText.includes("login_required")`, "true")

	p.issuer.Tell(webtest.Lies{}, "alice-0001")
	p.Navigate(p.url) // a tab that was not signed in asks nobody
	p.Wait(`body[data-state="signed-out"]`)
	if n := len(p.issuer.Requests("/authorize")); n != 0 {
		t.Errorf("%d silent requests", n)
	}
}

func TestSignOut(t *testing.T) {
	p := open(t)
	p.signIn()
	held := strings.Split(p.text("[flow.held().refreshToken, flow.held().accessToken, flow.held().idToken]"), ",")
	p.Click("#signout")
	p.Wait(`body[data-state="signed-out"]`)
	p.want("document.body.dataset.error", "undefined")
	p.want("location.href", p.url+"/")
	p.want(`Object.keys(sessionStorage).join()`, "oidclab.steps")
	for n, revoked := range p.issuer.Requests("/revoke") {
		if revoked.Form.Get("token") != held[n] || revoked.Form.Get("token_type_hint") != []string{"refresh_token", "access_token"}[n] {
			t.Errorf("revocation %d: %v", n, revoked.Form)
		}
	}
	logout := p.issuer.Requests("/logout")
	if len(logout) != 1 || len(p.issuer.Requests("/revoke")) != 2 || logout[0].Form.Get("id_token_hint") != held[2] || logout[0].Form.Get("post_logout_redirect_uri") != p.url+"/" {
		t.Errorf("logout %v", logout)
	}

	p.Navigate(logout[0].Location) // the state is used up
	p.Wait(`body[data-error]`)
	p.want(shownError, "The logout's state check failed")
}
