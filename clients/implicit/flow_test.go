package implicit_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/implicit"
	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/web/webtest"
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
	client := httptest.NewServer(implicit.New(implicit.Config{Issuer: issuer.URL, APIURL: issuer.URL}))
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
		"response_type": "id_token token", "client_id": "implicit", "redirect_uri": p.url + "/callback", "scope": "openid profile email notes:read notes:write",
	} {
		if got := request.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(request.Get("state")) != 43 || len(request.Get("nonce")) != 43 {
		t.Error("state or nonce has less than 256 bits")
	}

	p.Click("#call-api")
	p.Wait(`#api-result[data-status="200"]`)
	if got := p.text(`document.querySelector("#api-result").innerText`); !strings.Contains(got, "Bearer "+p.text("flow.held().accessToken")) {
		t.Errorf("the API saw %s", got)
	}
	p.want(`Object.entries(sessionStorage).concat(Object.entries(localStorage)).flat().some((s) =>
		[flow.held().accessToken, flow.held().idToken].some((token) => s.includes(token)))`, "false")
}

// TestRefused takes away, or changes, one thing at a time of what the provider
// sends, and sees that check fail.
func TestRefused(t *testing.T) {
	set := func(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }
	drop := func(name string) func(url.Values) { return func(v url.Values) { v.Del(name) } }
	put := func(name string, value any) func(map[string]any) { return func(m map[string]any) { m[name] = value } }
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
		{"no access token", webtest.Lies{Authorize: drop("access_token")}, "The answer does not hold both tokens"},
		{"no ID token", webtest.Lies{Authorize: drop("id_token")}, "The answer does not hold both tokens"},
		{"no token type", webtest.Lies{Authorize: drop("token_type")}, "The answer does not hold both tokens"},
		{"other access token", webtest.Lies{Authorize: set("access_token", "other")}, "The access token's hash check failed"},
		{"no at_hash", webtest.Lies{Claims: func(m map[string]any) { delete(m, "at_hash") }}, "The access token's hash check failed"},
		{"no nonce", webtest.Lies{Claims: func(m map[string]any) { delete(m, "nonce") }}, "The ID token's nonce check failed"},
		{"unsigned ID token", webtest.Lies{Authorize: set("id_token", "eyJhbGciOiJub25lIn0.e30.")}, "The ID token's algorithm check failed"},
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
	p.want("flow.held()", "null")
}

func TestRenew(t *testing.T) {
	p := open(t)
	p.signIn()
	before := p.text("flow.held().accessToken")
	p.Click("#renew")
	p.Wait(`body[data-renewals="1"]`)
	request := p.issuer.Requests("/authorize")[1].Form
	if request.Get("prompt") != "none" || request.Get("redirect_uri") != p.url+"/silent" || p.text("flow.held().accessToken") == before {
		t.Errorf("request %v", request)
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
			p.Click("#renew")
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
	held := p.text("flow.held().idToken")
	p.Click("#signout")
	p.Wait(`body[data-state="signed-out"]`)
	p.want("document.body.dataset.error", "undefined")
	p.want("location.href", p.url+"/")
	p.want(`Object.keys(sessionStorage).join()`, "oidclab.steps")
	logout := p.issuer.Requests("/logout")
	if len(logout) != 1 || logout[0].Form.Get("id_token_hint") != held || logout[0].Form.Get("post_logout_redirect_uri") != p.url+"/" {
		t.Errorf("logout %v", logout)
	}

	p.Navigate(logout[0].Location) // the state is used up
	p.Wait(`body[data-error]`)
	p.want(shownError, "The logout's state check failed")
}
