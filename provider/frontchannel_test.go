package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// framed is a client that hears of sign-outs in a frame.
func framed(id, origin, path string) provider.Client {
	return provider.Client{
		ID: id, TokenEndpointAuthMethod: "none", IDTokenSignedResponseAlg: "ES256", SkipConsent: true,
		RedirectURIs: []string{providertest.RedirectURI, origin + "/callback"}, FrontchannelLogoutURI: origin + path,
		PostLogoutRedirectURIs: []string{providertest.PostLogoutRedirectURI, "com.example.app:/bye"},
	}
}

// frames signs alice in at clients and out again, and returns the last page.
func frames(t *testing.T, clients []provider.Client, request params) (idToken string, page *providertest.Page) {
	t.Helper()
	op := providertest.Start(t, &providertest.Options{Clients: append(clients, providertest.DefaultClients()...)})
	b := providertest.NewBrowser(t)
	for _, c := range clients {
		code := b.SignIn(authorizeURL(op, online().with(params{"client_id": c.ID})), "alice", "alice").Query().Get("code")
		idToken = postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": c.ID}), nil).text("id_token")
	}
	if request.with(nil)["id_token_hint"] == "" {
		request = request.with(params{"id_token_hint": idToken})
	}
	page = b.Get(logoutURL(op, request))
	wantSession(t, op, b, false)
	return idToken, page
}

// elements returns the elements of a page by name.
func elements(t *testing.T, page *providertest.Page, name string) []map[string]string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page.Body))
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]string
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != name {
			continue
		}
		attributes := map[string]string{}
		for _, a := range node.Attr {
			attributes[a.Key] = a.Val
		}
		found = append(found, attributes)
	}
	return found
}

// TestFrontChannelLogout: Front-Channel Logout §2, §3.
func TestFrontChannelLogout(t *testing.T) {
	clients := []provider.Client{
		framed("a", "https://a.example", "/logout"),
		framed("b", "https://b.example:8443", "/logout?own=1&of=%26"),
		framed("c", "https://A.example:443", "/other"),
		framed("d", "http://[::1]:3000", "/logout"),
	}
	idToken, page := frames(t, clients, goodLogout(""))
	if page.Status != http.StatusOK || page.Callback != nil {
		t.Fatalf("no page but %d to %v", page.Status, page.Callback)
	}
	query := url.Values{"iss": {"http://" + page.URL.Host}, "sid": {claimsOf(t, idToken)["sid"].(string)}}.Encode()
	var sources []string
	for _, frame := range elements(t, page, "iframe") {
		sources = append(sources, frame["src"])
		if _, hidden := frame["hidden"]; !hidden || frame["sandbox"] != "allow-scripts allow-same-origin allow-forms" {
			t.Errorf("frame %v", frame)
		}
	}
	if diff := cmp.Diff([]string{
		"https://a.example/logout?" + query, "https://b.example:8443/logout?own=1&of=%26&" + query,
		"https://A.example:443/other?" + query, "http://[::1]:3000/logout?" + query,
	}, sources); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "; frame-src https://a.example https://b.example:8443 http:; script-src 'sha256-") {
		t.Errorf("policy %s", policy)
	}
	const back = providertest.PostLogoutRedirectURI + "?state=bye-0123456789"
	if link := elements(t, page, "a"); len(link) != 1 || link[0]["id"] != "return" || link[0]["href"] != back {
		t.Errorf("links %v", link)
	}
	if !strings.Contains(page.Body, `<noscript><meta http-equiv="refresh" content="2; url=`+back+`"></noscript>`) {
		t.Errorf("no way on without JavaScript:\n%s", page.Body)
	}
	if !strings.Contains(page.Body, "You are signed out") {
		t.Errorf("the page says:\n%s", page.Body)
	}
}

// TestFrontChannelLogoutEndsHere: without a URI to return to.
func TestFrontChannelLogoutEndsHere(t *testing.T) {
	_, page := frames(t, []provider.Client{framed("a", "https://a.example", "/logout")}, params{})
	wantSignedOutPage(t, page)
	for name, want := range map[string]int{"iframe": 1, "a": 0, "script": 0, "noscript": 0} {
		if got := elements(t, page, name); len(got) != want {
			t.Errorf("%d of <%s>, want %d", len(got), name, want)
		}
	}
}

// TestFrontChannelLogoutToAnApp: to a URI of a private-use scheme.
func TestFrontChannelLogoutToAnApp(t *testing.T) {
	_, page := frames(t, []provider.Client{framed("a", "https://a.example", "/logout")}, params{"post_logout_redirect_uri": "com.example.app:/bye"})
	if !strings.Contains(page.Body, `href="com.example.app:/bye"`) || !strings.Contains(page.Body, `url=com.example.app:/bye"`) {
		t.Errorf("page:\n%s", page.Body)
	}
}

// TestFrontChannelLogoutAfterTheQuestion: the user's yes is as good as proof.
func TestFrontChannelLogoutAfterTheQuestion(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: []provider.Client{framed("a", "https://a.example", "/logout")}})
	b := providertest.NewBrowser(t)
	b.SignIn(authorizeURL(op, online().with(params{"client_id": "a"})), "alice", "alice")
	question := b.Get(op.URL() + "/logout?client_id=a&post_logout_redirect_uri=" + url.QueryEscape(providertest.PostLogoutRedirectURI))
	if len(elements(t, question, "iframe")) != 0 {
		t.Error("the question has frames")
	}
	if no := b.Submit(question, "logout-no", nil); len(elements(t, no, "iframe")) != 0 {
		t.Error("frames after a no")
	}
	yes := b.Submit(question, "logout-yes", nil)
	wantSignedOutPage(t, yes)
	if len(elements(t, yes, "iframe")) != 1 || len(elements(t, yes, "script")) != 1 {
		t.Errorf("after the yes:\n%s", yes.Body)
	}
}

// TestFramesOfThisSession: only clients of it have one, and only those that
// registered a URI.
func TestFramesOfThisSession(t *testing.T) {
	clients := []provider.Client{framed("a", "https://a.example", "/logout"), framed("b", "https://b.example", "/logout")}
	op := providertest.Start(t, &providertest.Options{Clients: append(clients, providertest.DefaultClients()...)})
	phone, laptop := providertest.NewBrowser(t), providertest.NewBrowser(t)
	phone.SignIn(authorizeURL(op, online().with(params{"client_id": "a"})), "alice", "alice")
	laptop.SignIn(authorizeURL(op, online().with(params{"client_id": "b"})), "alice", "alice")
	code := laptop.SignIn(authorizeURL(op, online()), "", "").Query().Get("code")
	page := laptop.Get(logoutURL(op, params{"id_token_hint": postForm(t, op.URL()+"/token", redeem(code), nil).text("id_token")}))
	got := elements(t, page, "iframe")
	if len(got) != 1 || !strings.HasPrefix(got[0]["src"], "https://b.example/logout?") {
		t.Errorf("frames %v", got)
	}
	if !slices.Contains(keysOf(mustQuery(t, got[0]["src"])), "sid") {
		t.Errorf("no sid in %v", got)
	}
}

func mustQuery(t *testing.T, raw string) url.Values {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(fmt.Errorf("frame: %w", err))
	}
	return u.Query()
}
