package provider_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// element returns the element of a page with an id, nil if there is none.
func element(t *testing.T, page, id string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for node := range root.Descendants() {
		if attributeOf(node, "id") == id {
			return node
		}
	}
	return nil
}

func attributeOf(node *html.Node, name string) string {
	if node == nil {
		return ""
	}
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestPagesShowARegisteredClient: the suite's oidcc-registration-logo-uri,
// -policy-uri and -tos-uri, all on the login page.
func TestPagesShowARegisteredClient(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, publicDocument().with(document{
		"client_uri": "https://rp.example/", "logo_uri": "https://rp.example/logo.png",
		"policy_uri": "https://rp.example/policy", "tos_uri": "https://rp.example/tos",
	}))
	b := providertest.NewBrowser(t)
	login := b.Get(authorizeURL(op, codeRequest().with(params{"client_id": client.text("client_id")})))
	consent := b.Submit(login, "submit", map[string]string{"username": "alice", "password": "alice"})
	for _, page := range []*providertest.Page{login, consent} {
		for id, want := range map[string][2]string{
			"client-logo": {"src", "https://rp.example/logo.png"}, "client-policy": {"href", "https://rp.example/policy"},
			"client-tos": {"href", "https://rp.example/tos"}, "client-home": {"href", "https://rp.example/"},
		} {
			if got := attributeOf(element(t, page.Body, id), want[0]); got != want[1] {
				t.Errorf("%s: #%s is %q", page.URL.Path, id, got)
			}
		}
		if !strings.Contains(page.Body, "Registered app") {
			t.Errorf("%s does not name the client", page.URL.Path)
		}
	}
}

// TestRegisteredTextsDoNotRun: whatever a stranger registers, the pages that
// show it hold no script, no frame and no handler, and the answers no header of
// the stranger's.
func TestRegisteredTextsDoNotRun(t *testing.T) {
	op := providertest.Start(t, nil)
	const attack = `"'><script>alert(1)</script><img src=x onerror=alert(1)><iframe src=//evil.example></iframe>{{.CSRF}}` + "\u202e\u2028"
	hostile := url.QueryEscape(attack)
	client := registered(t, op, publicDocument().with(document{
		"client_name": attack, "contacts": []string{attack},
		"client_uri": "https://rp.example/?" + attack, "logo_uri": `https://rp.example/"onerror="alert(1)`,
		"policy_uri": "https://rp.example/?x=" + hostile + "#'onclick='alert(1)", "tos_uri": "https://rp.example/'><script>alert(1)</script>",
		"initiate_login_uri": "https://rp.example/?" + attack,
	}))
	b := providertest.NewBrowser(t)
	pages := map[string]*providertest.Page{}
	pages["login"] = b.Get(authorizeURL(op, codeRequest().with(params{"client_id": client.text("client_id")})))
	pages["consent"] = b.Submit(pages["login"], "submit", map[string]string{"username": "alice", "password": "alice"})
	pages["logout"] = b.Get(op.URL() + "/logout?client_id=" + client.text("client_id"))
	for name, page := range pages {
		root, err := html.Parse(strings.NewReader(page.Body))
		if err != nil {
			t.Fatal(err)
		}
		for node := range root.Descendants() {
			if node.Data == "script" || node.Data == "iframe" {
				t.Errorf("%s: a %s", name, node.Data)
			}
			for _, a := range node.Attr {
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: %s=%q", name, a.Key, a.Val)
				}
			}
			if id := attributeOf(node, "id"); node.Data == "img" && id != "client-logo" {
				t.Errorf("%s: an image #%s", name, id)
			}
		}
		if !strings.Contains(page.Body, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not show the name", name)
		}
	}
	// JSON and headers: the answer is what was sent, and no more.
	if client.text("client_name") != attack || client.Header.Get("Content-Type") != "application/json" || client.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("answer %v", client.Header)
	}
	known := []string{"Cache-Control", "Content-Length", "Content-Type", "Date", "Pragma", "X-Content-Type-Options"}
	if got := slices.Sorted(maps.Keys(client.Header)); !slices.Equal(got, known) {
		t.Errorf("headers %v", got)
	}
}

// TestExpiredPageLeadsBack: to initiate_login_uri, with who asks (OIDC Core §4).
func TestExpiredPageLeadsBack(t *testing.T) {
	for _, tt := range []struct{ name, registered, want string }{
		{"plain", "https://rp.example/login", "https://rp.example/login?iss=http%3A%2F%2Fop.localhost"},
		{"with a query", "https://rp.example/login?a=b", "https://rp.example/login?a=b&iss=http%3A%2F%2Fop.localhost"},
		{"none", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				op := serving(t, provider.Config{FixedKeys: fixedKeys()})
				body := publicDocument().with(document{"initiate_login_uri": tt.registered})
				if tt.registered == "" {
					delete(body, "initiate_login_uri")
				}
				client := op.json(t, http.MethodPost, "/register", body, nil)
				request := codeRequest().with(params{"client_id": client.text("client_id")})
				location := op.do(t, http.MethodGet, "/authorize?"+request.values().Encode(), nil, nil).Header().Get("Location")
				time.Sleep(time.Hour + time.Second)
				page := op.do(t, http.MethodGet, location, nil, nil)
				link := element(t, page.Body.String(), "start-again")
				if page.Code != http.StatusBadRequest || attributeOf(link, "href") != tt.want || (link != nil) != (tt.want != "") {
					t.Errorf("%d, link %q, want %q", page.Code, attributeOf(link, "href"), tt.want)
				}
				if tt.want != "" && !strings.Contains(page.Body.String(), "Start again at <bdi>Registered app</bdi>") {
					t.Errorf("the page does not name the application:\n%s", page.Body)
				}
				// A request that was tampered with names nobody to go to.
				broken := op.do(t, http.MethodGet, location[:len(location)-8]+"AAAAAAAA", nil, nil)
				if element(t, broken.Body.String(), "start-again") != nil || broken.Code != http.StatusBadRequest {
					t.Errorf("a broken request: %d\n%s", broken.Code, broken.Body)
				}
			})
		})
	}
}

// TestSignedOutPageLeadsBack: to the client that showed an ID token, if it has
// named no page for after the logout.
func TestSignedOutPageLeadsBack(t *testing.T) {
	op := providertest.Start(t, nil)
	body := publicDocument().with(document{
		"initiate_login_uri": "https://rp.example/login", "post_logout_redirect_uris": []string{providertest.PostLogoutRedirectURI},
	})
	client := registered(t, op, body)
	with, without := client.text("client_id"), registered(t, op, body.with(document{"initiate_login_uri": nil})).text("client_id")
	logout := func(id string, change params) *providertest.Page {
		b := providertest.NewBrowser(t)
		code := b.SignIn(authorizeURL(op, codeRequest().with(params{"client_id": id})), "alice", "alice").Query().Get("code")
		tokens := postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": id}), nil)
		page := b.Get(logoutURL(op, params{"id_token_hint": tokens.text("id_token"), "client_id": id}.with(change)))
		if change["id_token_hint"] == "" && len(change) > 0 { // nobody proves anything, so the user is asked
			page = b.Submit(page, "logout-yes", nil)
		}
		if page.Status != http.StatusOK || !strings.Contains(page.Body, "You are signed out") {
			t.Fatalf("%d:\n%s", page.Status, page.Body)
		}
		return page
	}
	want := "https://rp.example/login?" + url.Values{"iss": {op.URL()}}.Encode()
	page := logout(with, nil)
	if got := attributeOf(element(t, page.Body, "start-again"), "href"); got != want || !strings.Contains(page.Body, "Sign in again at <bdi>Registered app</bdi>") {
		t.Errorf("link %q, want %q\n%s", got, want, page.Body)
	}
	if element(t, logout(without, nil).Body, "start-again") != nil {
		t.Error("a link for a client that named none")
	}
	if element(t, logout(with, params{"id_token_hint": ""}).Body, "start-again") != nil {
		t.Error("a link for a client that anybody could have named")
	}
}
