package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
)

// TestMethods: every endpoint has its methods, and says so to others (RFC 9110 §15.5.6).
func TestMethods(t *testing.T) {
	op := providertest.Start(t, nil)
	crossOrigin := []string{"/token", "/userinfo", "/revoke", "/jwks", openIDConfiguration, oauthMetadata}
	for path, allow := range map[string]string{
		openIDConfiguration: "GET, HEAD", oauthMetadata: "GET, HEAD", "/jwks": "GET, HEAD", "/healthz": "GET, HEAD",
		"/readyz": "GET, HEAD", "/style.css": "GET, HEAD", "/": "GET, HEAD",
		"/authorize": "GET, POST", "/authorize/resume": "GET", "/login": "GET, POST", "/consent": "GET, POST", "/logout": "GET, POST",
		"/token": "POST", "/introspect": "POST", "/revoke": "POST", "/userinfo": "GET, POST",
		"/register": "POST", "/register/nobody": "GET, PUT, DELETE",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			t.Run(method+" "+path, func(t *testing.T) {
				a := do(t, request(t, method, op.URL()+path))
				if slices.Contains(strings.Split(allow, ", "), method) || method == "OPTIONS" && slices.Contains(crossOrigin, path) {
					if a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusNotFound || a.Status >= 500 {
						t.Errorf("answer %d %s", a.Status, a.Raw)
					}
					return
				}
				if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != allow {
					t.Errorf("answer %d, Allow %q; want 405, %q", a.Status, a.Header.Get("Allow"), allow)
				}
				if method != "HEAD" && a.text("error") != "invalid_request" {
					t.Errorf("body %s", a.Raw)
				}
			})
		}
	}
}

// TestMethodsForAPerson: whoever opens an endpoint in a browser gets a page.
func TestMethodsForAPerson(t *testing.T) {
	op := providertest.Start(t, nil)
	a := get(t, op.URL()+"/token", func(r *http.Request) { r.Header.Set("Accept", "text/html,application/xhtml+xml") })
	if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" || !strings.Contains(a.Raw, "Allowed: POST") ||
		!strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("answer %d %s:\n%s", a.Status, a.Header.Get("Content-Type"), a.Raw)
	}
}

// TestUnknownPaths: only what is in the table is there.
func TestUnknownPaths(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, path := range []string{
		"/nowhere", "/token/", "/TOKEN", "/token/x", "/authorize/", "/authorize/resume/x", "/.well-known/", "/.well-known/jwks.json",
		openIDConfiguration + "/", openIDConfiguration + "/x", "/%00", "/%ff", "/favicon.ico", "/web/style.css", "/register/", "/register/x/y", "/pushed",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a := do(t, request(t, method, op.URL()+path))
			if a.Status != http.StatusNotFound || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s %s: %d, %s", method, path, a.Status, a.Header.Get("Content-Type"))
			}
		}
	}
}

// TestEveryAnswerSaysItsType: nobody guesses at content.
func TestEveryAnswerSaysItsType(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, path := range []string{openIDConfiguration, "/jwks", "/authorize", "/login", "/consent", "/logout", "/token", "/userinfo", "/healthz", "/style.css", "/", "/nowhere"} {
		a := get(t, op.URL()+path, nil)
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}

// TestHome tells a person who comes by what this is, and who is signed in.
func TestHome(t *testing.T) {
	op := providertest.Start(t, nil)
	b := providertest.NewBrowser(t)
	if page := b.Get(op.URL() + "/"); page.Status != http.StatusOK || !strings.Contains(page.Body, op.URL()) || strings.Contains(page.Body, "alice") {
		t.Errorf("nobody: %d\n%s", page.Status, page.Body)
	}
	b, _ = signedIn(t, op)
	if page := b.Get(op.URL() + "/"); !strings.Contains(page.Body, "alice") {
		t.Errorf("alice: %d\n%s", page.Status, page.Body)
	}
}

// TestHomeNamesEveryEndpoint of the metadata document.
func TestHomeNamesEveryEndpoint(t *testing.T) {
	op := providertest.Start(t, nil)
	page := providertest.NewBrowser(t).Get(op.URL() + "/").Body
	for name, value := range get(t, op.URL()+"/.well-known/openid-configuration", nil).Body {
		endpoint, _ := value.(string)
		path, ours := strings.CutPrefix(endpoint, op.URL()+"/")
		if ours && !strings.Contains(page, op.URL()+"<wbr>/"+path+"<") {
			t.Errorf("no %s (%s)", endpoint, name)
		}
	}
}

// TestPanicIsAnAnswer: a mistake of ours breaks one request, and tells nothing.
func TestPanicIsAnAnswer(t *testing.T) {
	var faulty *faultyStore
	var panicked bool
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
		faulty = &faultyStore{Store: c.Store, broken: map[string]bool{}, onCommit: func(changes storage.Changes) error {
			if len(changes.RevokeAccessTokens) > 0 && !panicked {
				panicked = true
				panic("a secret: hunter2")
			}
			return nil
		}}
		c.Store = faulty
	}})
	token := tokensOf(t, op, providertest.PublicClient, "openid").text("access_token")
	form := params{"token": token, "client_id": providertest.PublicClient}
	fromOrigin := func(r *http.Request) { r.Header.Set("Origin", "http://rp.localhost:1") }
	a := postForm(t, op.URL()+"/revoke", form, fromOrigin)
	if a.Status != http.StatusInternalServerError || a.Raw != `{"error":"server_error"}` || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("answer %d %s, %v", a.Status, a.Raw, a.Header)
	}
	revoke(t, op, form, nil)
}
