package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const script = `"'><script>alert(1)</script>`

// badForms are encoded parameters that no honest client sends. mild ones may be
// accepted, if nothing comes of them.
var badForms = []struct {
	name, form string
	mild       bool
}{
	{"twice", "client_id=spa&client_id=spa", false},
	{"long", "client_id=spa&state=" + strings.Repeat("s", 5<<10), false},
	{"oversized", "client_id=spa&state=" + strings.Repeat("s", 200<<10), false},
	{"nul byte", "client_id=spa&state=a%00b", false},
	{"invalid UTF-8", "client_id=spa&state=%ff%fe", false},
	{"not encoded", "client_id=spa&state=%zz", false},
	{"line breaks", mild("a\r\nX-Injected: yes\r\n\r\n<script>alert(1)</script>"), true},
	{"script", mild(script), true},
}

// mild puts a value into each parameter that could end in a header or on a page.
func mild(value string) string {
	form := codeRequest().values()
	for _, name := range []string{
		"state", "login_hint", "nonce", "user_code", "token", "error", "error_description", "scope", "display", "ui_locales",
		"id_token_hint", "post_logout_redirect_uri", "logout_hint", "grant_type", "code", "prompt",
	} {
		form.Set(name, value)
	}
	return form.Encode()
}

// routesWithoutParameters answer all the same.
var routesWithoutParameters = []string{
	openIDConfiguration, oauthMetadata, "/jwks", "/style.css", "/healthz", "/readyz", "/", "/session",
	"/register", "/register/{client_id}", // JSON: TestBadDocuments
}

// routesWithParameters read a form, or what a page was given.
var routesWithParameters = []string{
	"/authorize", "/authorize/resume", "/login", "/consent", "/logout", "/token", "/userinfo", "/revoke", "/introspect",
	"/par", "/device_authorization", "/device",
}

// wantNoHarm checks that nothing of what was sent runs.
func wantNoHarm(t *testing.T, a answer) {
	t.Helper()
	if a.Status >= 500 || strings.Contains(a.Raw, "<script>alert") {
		t.Errorf("answer %d:\n%.2000s", a.Status, a.Raw)
	}
	for name, values := range a.Header {
		if name == "X-Injected" || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
			t.Errorf("header %s: %q", name, values)
		}
	}
}

// TestBadInput sends each of badForms to each route, by each of its methods.
func TestBadInput(t *testing.T) {
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	for path, methods := range op.handler.(*provider.Provider).Routes() {
		strict := slices.Contains(routesWithParameters, path)
		if strict == slices.Contains(routesWithoutParameters, path) {
			t.Errorf("%s is on none of the lists, or on both", path)
			continue
		}
		for method := range strings.SplitSeq(methods, ", ") {
			for _, bad := range badForms {
				t.Run(method+" "+path+" "+bad.name, func(t *testing.T) {
					a := send(t, op.handler, method, path, func(r *http.Request) {
						if method == http.MethodPost {
							withBody(bad.form)(r)
						} else {
							r.URL.RawQuery = bad.form
						}
					})
					wantNoHarm(t, a)
					if strict && !bad.mild && (a.Status < 400 || a.Header.Get("Location") != "") {
						t.Errorf("answer %d to %q", a.Status, a.Header.Get("Location"))
					}
				})
			}
			if strict && method == http.MethodPost {
				t.Run(method+" "+path+" another content type", func(t *testing.T) {
					a := send(t, op.handler, method, path, both(withBody(`{"client_id":"spa"}`), func(r *http.Request) {
						r.Header.Set("Content-Type", "application/json")
					}))
					wantNoHarm(t, a)
					if a.Status < 400 {
						t.Errorf("answer %d", a.Status)
					}
				})
			}
		}
	}
}

// TestBadDocuments: the same for those who register.
func TestBadDocuments(t *testing.T) {
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	for name, text := range map[string]string{
		"no JSON": script, "nul byte": "{\"client_name\":\"a\x00\"}", "invalid UTF-8": "{\"client_name\":\"\xff\"}",
		"oversized": `{"client_name":"` + strings.Repeat("x", 200<<10) + `"}`, "twice": `{"client_name":"a","client_name":"b"}`,
		"script": `{"redirect_uris":["javascript:alert(1)"],"client_name":"<script>alert(1)</script>"}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, op.handler, http.MethodPost, "/register", both(withBody(text), func(r *http.Request) {
				r.Header.Set("Content-Type", "application/json")
			}))
			wantNoHarm(t, a)
			if a.Status < 400 {
				t.Errorf("answer %d %s", a.Status, a.Raw)
			}
		})
	}
}

// TestScriptInAFormPost: the page that posts a response echoes state.
func TestScriptInAFormPost(t *testing.T) {
	op := serving(t, provider.Config{FixedKeys: fixedKeys()})
	request := codeRequest().with(params{"response_mode": "form_post", "prompt": "none", "state": script})
	a := send(t, op.handler, http.MethodGet, "/authorize?"+request.values().Encode(), nil)
	wantNoHarm(t, a)
	if got := inputs(t, a.Raw).Get("state"); got != script {
		t.Errorf("state %q", got)
	}
}

// evasions are redirect URIs that look like https://rp.example/cb.
var evasions = []string{
	"https://rp.example/cb/", "https://rp.example/cb/../x", "https://rp.example/CB", "https://rp.example//cb", "https://rp.example/%63b",
	"https://rp.example/cb?x=y", "https://rp.example/cb&x=y", "https://rp.example/cb#x", "https://rp.example/cb;x", "https://rp.example/cb%0d%0a",
	"https://sub.rp.example/cb", "https://rp.example.evil.example/cb", "https://evilrp.example/cb", "https://rp.example@evil.example/cb",
	"https://evil.example/rp.example/cb", "https://user@rp.example/cb", "https://rp.example:444/cb", "https://rp.example:443/cb",
	"https://rp.example\\@evil.example/cb", "https://evil.example\\.rp.example/cb", "https://evil.example#@rp.example/cb",
	"https://evil.example?@rp.example/cb", "http://rp.example/cb", "HTTPS://rp.example/cb", "//rp.example/cb", "/cb", "javascript:alert(1)",
	" https://rp.example/cb", "https://rp.example/cb ", "https://rp.example./cb", "https://rp%2eexample/cb", "https://rp.examplе/cb",
}

// TestRedirectURIEvasions: wherever a URI to go to is given, it is compared
// character by character (RFC 9700 §2.1).
func TestRedirectURIEvasions(t *testing.T) {
	const good = "https://rp.example/cb"
	clients := providertest.DefaultClients()
	clients[0].RedirectURIs, clients[0].PostLogoutRedirectURIs = []string{good}, []string{good}
	clients[0].JWKS = publicKeys(t, rpKeys()[jose.ES256])
	op := providertest.Start(t, &providertest.Options{Clients: clients, Users: cheapUsers()})
	dynamic := registered(t, op, publicDocument().with(document{"redirect_uris": []string{good}})).text("client_id")
	b := providertest.NewBrowser(t)
	idToken := response(t, b.SignIn(authorizeURL(op, codeRequest().with(params{"response_type": "id_token", "redirect_uri": good})), "alice", "alice")).Get("id_token")
	objectOf := func(uri string) string {
		return object(t, jose.ES256, objectMembers(op, providertest.PublicClient).with(members{"redirect_uri": uri}))
	}
	logout := func(uri string) string {
		return op.URL() + "/logout?" + url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {uri}}.Encode()
	}
	if a := postForm(t, op.URL()+"/par", codeRequest().with(params{"redirect_uri": good}), nil); a.Status != http.StatusCreated {
		t.Errorf("control, pushed: %d %s", a.Status, a.Raw)
	}
	if page := b.Get(authorizeURL(op, byValue(providertest.PublicClient, objectOf(good)))); page.URL.Path != "/consent" {
		t.Errorf("control, object: %d at %s", page.Status, page.URL)
	}
	for _, uri := range evasions {
		t.Run(uri, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/par", codeRequest().with(params{"redirect_uri": uri}), nil), http.StatusBadRequest, "invalid_request")
			for where, target := range map[string]string{
				"object":     authorizeURL(op, byValue(providertest.PublicClient, objectOf(uri))),
				"registered": authorizeURL(op, codeRequest().with(params{"client_id": dynamic, "redirect_uri": uri})),
				"logout":     logout(uri),
			} {
				if a := get(t, target, nil); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
					t.Errorf("%s: %d to %q", where, a.Status, a.Header.Get("Location"))
				}
			}
		})
	}
	if page := b.Get(logout(good)); page.Callback == nil {
		t.Errorf("control, logout: %d", page.Status)
	}
}
