package pkce_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/pkce"
)

func get(t *testing.T, h http.Handler, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestPages(t *testing.T) {
	h := pkce.New(pkce.Config{Issuer: "http://op.example", APIURL: "http://api.example"})
	for path, contains := range map[string]string{
		"/":                     `<script type="module" src="/page.js">`,
		"/callback?code=c":      `<script type="module" src="/page.js">`,
		"/silent?code=c":        `<script type="module" src="/silent.js">`,
		"/flow.js":              "export async function signIn",
		"/page.js":              "flow.signIn",
		"/dpop.js":              "export async function key",
		"/silent.js":            "postMessage",
		"/chrome/idtoken.js":    "export async function verifyIDToken",
		"/chrome/frame.js":      "export async function authorizeInFrame",
		"/chrome/style.css":     "--party",
		"/chrome/api.js":        "export function wireAPI",
		"/config.json?whatever": `"client_id":"pkce"`,
	} {
		res, body := get(t, h, path)
		if res.StatusCode != http.StatusOK || !strings.Contains(body, contains) {
			t.Errorf("%s: status %d, or %q is missing", path, res.StatusCode, contains)
		}
	}
}

// TestPageElements keeps the ids by which tests and the chrome know the page.
func TestPageElements(t *testing.T) {
	_, body := get(t, pkce.New(pkce.Config{}), "/")
	for _, id := range []string{
		"home", "who", "error", "notice", "signin", "call-api", "note", "add-note", "renew", "renew-silent", "signout", "holdings", "id-token", "api-result", "steps",
		"dpop", "without-key", "proof-card", "proof",
	} {
		if !strings.Contains(body, `id="`+id+`"`) {
			t.Errorf("no #%s", id)
		}
	}
	if strings.Contains(body, "<style") || strings.Contains(body, "style=") || strings.Contains(body, "onclick") {
		t.Error("inline style or script, which the policy forbids")
	}
}

func TestConfig(t *testing.T) {
	h := pkce.New(pkce.Config{Issuer: "http://op.example/tenant", ClientID: "other", APIURL: "http://api.example", HomeURL: "http://lab.example"})
	res, body := get(t, h, "/config.json")
	want := `{"api":"http://api.example","client_id":"other","home":"http://lab.example","issuer":"http://op.example/tenant",` +
		`"scope":"openid profile email offline_access notes:read notes:write"}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	policy := res.Header.Get("Content-Security-Policy")
	for _, directive := range []string{"connect-src 'self' http://op.example http://api.example;", "frame-src 'self' http://op.example;"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("policy %q lacks %q", policy, directive)
		}
	}
}
