package implicit_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/implicit"
	"github.com/oidclab/oidclab/clients/internal/web/webtest"
)

// page is the client in a real browser, before an issuer that can lie.
type page struct {
	*webtest.Tab

	issuer *webtest.Issuer
	url    string
}

func open(t *testing.T) page {
	t.Helper()
	issuer := webtest.StartIssuer(t)
	client := httptest.NewServer(implicit.New(implicit.Config{Issuer: issuer.URL, APIURL: issuer.URL}))
	t.Cleanup(client.Close)
	return page{webtest.Open(t, client.URL), issuer, client.URL}
}

// start forgets what the tab and the issuer know, and loads the page anew.
func (p page) start(t *testing.T, lies webtest.Lies) {
	t.Helper()
	p.issuer.Tell(webtest.Lies{}, "")
	webtest.Evaluate[bool](t, p.Tab, "sessionStorage.clear(), true")
	p.Navigate(t, p.url)
	p.Wait(t, `body[data-state="signed-out"]`)
	p.issuer.Tell(lies, "")
}

func (p page) signIn(t *testing.T) {
	t.Helper()
	p.start(t, webtest.Lies{})
	p.Click(t, "#signin")
	p.Wait(t, `body[data-state="signed-in"]`)
}

// text evaluates an expression in the page, where flow is flow.js.
func (p page) text(t *testing.T, expression string) string {
	t.Helper()
	return webtest.Evaluate[string](t, p.Tab, `import("/flow.js").then((flow) => String(`+expression+`))`)
}

func (p page) want(t *testing.T, expression, want string) {
	t.Helper()
	if got := p.text(t, expression); got != want {
		t.Errorf("%s is %q, want %q", expression, got, want)
	}
}

const shownError = `document.querySelector("#error").innerText.split("\n")[0]`

func TestSignIn(t *testing.T) {
	p := open(t)
	p.signIn(t)
	p.want(t, "who.textContent", "Alice Liddell (alice)")
	p.want(t, "location.href", p.url+"/") // no code is left in it
	p.want(t, "sessionStorage.getItem(flow.keys.transaction)", "null")

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

	p.Click(t, "#call-api")
	p.Wait(t, `#api-result[data-status="200"]`)
	if got := p.text(t, `document.querySelector("#api-result").innerText`); !strings.Contains(got, "Bearer "+p.text(t, "flow.held().accessToken")) {
		t.Errorf("the API saw %s", got)
	}
	p.want(t, `Object.entries(sessionStorage).concat(Object.entries(localStorage)).flat().some((s) =>
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
			p.start(t, tt.lies)
			p.Click(t, "#signin")
			if tt.want == "" {
				p.Wait(t, `body[data-state="signed-in"]`)
				return
			}
			p.Wait(t, `body[data-state="signed-out"][data-error]`)
			p.want(t, shownError, tt.want)
			p.want(t, "flow.held()", "null")
			p.want(t, "location.href", p.url+"/")
		})
	}
}

func TestReplayedCallback(t *testing.T) {
	p := open(t)
	p.signIn(t)
	p.Navigate(t, p.issuer.Requests("/authorize")[0].Location)
	p.Wait(t, `body[data-state="signed-out"][data-error]`)
	p.want(t, shownError, "No sign-in is under way in this tab")
	p.want(t, "flow.held()", "null")
}

func TestRenew(t *testing.T) {
	p := open(t)
	p.signIn(t)
	before := p.text(t, "flow.held().accessToken")
	p.Click(t, "#renew")
	p.Wait(t, `body[data-renewals="1"]`)
	request := p.issuer.Requests("/authorize")[1].Form
	if request.Get("prompt") != "none" || request.Get("redirect_uri") != p.url+"/silent" || p.text(t, "flow.held().accessToken") == before {
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
			before := p.text(t, "flow.held().accessToken")
			p.issuer.Tell(tt.lies, tt.session)
			p.Click(t, "#renew")
			p.Wait(t, `body[data-error]`)
			p.want(t, shownError, tt.want)
			p.want(t, "flow.held().accessToken", before)
		})
	}
}

func TestReload(t *testing.T) {
	p := open(t)
	p.signIn(t)
	p.Navigate(t, p.url)
	p.Wait(t, `body[data-state="signed-in"]`)
	p.want(t, "who.textContent", "Alice Liddell (alice)")

	p.issuer.Tell(webtest.Lies{}, "") // the provider's session has ended
	p.Navigate(t, p.url)
	p.Wait(t, `body[data-state="signed-out"]`)
	p.want(t, "document.body.dataset.error", "undefined")
	p.want(t, `notice.innerText.includes("login_required")`, "true")

	p.issuer.Tell(webtest.Lies{}, "alice-0001")
	p.Navigate(t, p.url) // a tab that was not signed in asks nobody
	p.Wait(t, `body[data-state="signed-out"]`)
	if n := len(p.issuer.Requests("/authorize")); n != 0 {
		t.Errorf("%d silent requests", n)
	}
}

func TestSignOut(t *testing.T) {
	p := open(t)
	p.signIn(t)
	held := p.text(t, "flow.held().idToken")
	p.Click(t, "#signout")
	p.Wait(t, `body[data-state="signed-out"]`)
	p.want(t, "document.body.dataset.error", "undefined")
	p.want(t, "location.href", p.url+"/")
	p.want(t, `Object.keys(sessionStorage).join()`, "oidclab.steps")
	logout := p.issuer.Requests("/logout")
	if len(logout) != 1 || logout[0].Form.Get("id_token_hint") != held || logout[0].Form.Get("post_logout_redirect_uri") != p.url+"/" {
		t.Errorf("logout %v", logout)
	}

	p.Navigate(t, logout[0].Location) // the state is used up
	p.Wait(t, `body[data-error]`)
	p.want(t, shownError, "The logout's state check failed")
}
