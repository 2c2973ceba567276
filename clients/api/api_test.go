package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/api"
)

const (
	providerURL = "http://op.example"
	appURL      = "http://app.example"
	baseURL     = "http://api.example"
	audience    = baseURL
	appAudience = baseURL + "/frontenddriven"
	pageOrigin  = "http://pkce.example"
)

// bench is a resource server with two trusted issuers, all within the process.
type bench struct {
	api           *api.API
	provider, app *issuer
	log           *bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{provider: newIssuer(t, providerURL, "RS256"), app: newIssuer(t, appURL, "ES256"), log: new(bytes.Buffer)}
	b.open(t, filepath.Join(t.TempDir(), "api.db"))
	return b
}

func (b *bench) open(t *testing.T, path string) {
	t.Helper()
	var err error
	b.api, err = api.New(api.Config{
		BaseURL: baseURL,
		HomeURL: "http://lab.example",
		Issuers: []api.Issuer{
			{URL: providerURL, Audience: audience},
			{URL: appURL, Audience: appAudience, JWKSURL: appURL + "/jwks", SubjectsOf: providerURL},
		},
		AllowedOrigins: []string{pageOrigin},
		DBPath:         path,
		HTTPClient:     &http.Client{Transport: network{providerURL: b.provider, appURL: b.app}},
		Logger:         slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.api.Close() })
}

// call sends a request with a token ("" = none) and returns the answer.
func (b *bench) call(t *testing.T, method, path, token, body string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return b.do(req)
}

func (b *bench) do(req *http.Request) *http.Response {
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, req)
	return w.Result()
}

func decode(t *testing.T, resp *http.Response) map[string]any {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("status %d, body %q: %v", resp.StatusCode, body, err)
	}
	return v
}

func TestMe(t *testing.T) {
	b := newBench(t)
	for name, token := range map[string]string{
		"of the provider":    b.provider.token(t, nil),
		"of the application": b.app.token(t, claims{"aud": appAudience}),
	} {
		t.Run(name, func(t *testing.T) {
			resp := b.call(t, "GET", "/api/me", token, "")
			got := decode(t, resp)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d: %v", resp.StatusCode, got)
			}
			delete(got, "exp")
			delete(got, "iss")
			want := map[string]any{"sub": "alice-1", "client_id": "spa", "scope": "openid notes:read notes:write", "name": "Alice Liddell"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if cc := resp.Header.Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
		})
	}
}

func TestTokenIsTakenFromTheHeaderOnly(t *testing.T) {
	b := newBench(t)
	token := b.provider.token(t, nil)

	resp := b.call(t, "GET", "/api/me?access_token="+token, "", "")
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != `Bearer realm="oidclab"` {
		t.Errorf("in the query: status %d, %s", resp.StatusCode, got)
	}

	req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/notes", strings.NewReader("access_token="+token))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp := b.do(req); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("in a form: status %d", resp.StatusCode)
	}

	req = httptest.NewRequestWithContext(t.Context(), "GET", "/api/me", nil)
	req.Header.Add("Authorization", "Bearer "+token)
	req.Header.Add("Authorization", "Bearer "+token)
	if resp := b.do(req); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("two headers: status %d", resp.StatusCode)
	}

	req = httptest.NewRequestWithContext(t.Context(), "GET", "/api/me", nil)
	req.Header.Set("Authorization", "Basic "+token)
	if resp := b.do(req); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("another scheme: status %d", resp.StatusCode)
	}

	req = httptest.NewRequestWithContext(t.Context(), "GET", "/api/me", nil)
	req.Header.Set("Authorization", "bearer "+token)
	if resp := b.do(req); resp.StatusCode != http.StatusOK {
		t.Errorf("the scheme in small letters: status %d", resp.StatusCode)
	}
}

func TestScopes(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		method, path, scope string
		status              int
	}{
		{"GET", "/api/notes", "notes:read", 200},
		{"GET", "/api/notes", "notes:write", 403},
		{"GET", "/api/notes", "", 403},
		{"GET", "/api/notes", "notes:reader", 403},
		{"POST", "/api/notes", "notes:write", 201},
		{"POST", "/api/notes", "notes:read", 403},
		{"GET", "/api/me", "", 200},
	} {
		t.Run(tt.method+" "+tt.path+" with "+tt.scope, func(t *testing.T) {
			body := ""
			if tt.method == "POST" {
				body = `{"text":"hello"}`
			}
			resp := b.call(t, tt.method, tt.path, b.provider.token(t, claims{"scope": tt.scope}), body)
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d", resp.StatusCode)
			}
			if tt.status != 403 {
				return
			}
			if got := decode(t, resp)["error"]; got != "insufficient_scope" {
				t.Errorf("error %v", got)
			}
			if got := resp.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) || !strings.Contains(got, `scope="notes:`) {
				t.Errorf("challenge %s", got)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct{ name, method, origin, want string }{
		{"preflight of an allowed page", "OPTIONS", pageOrigin, pageOrigin},
		{"preflight of another page", "OPTIONS", "http://evil.example", ""},
		{"call of an allowed page", "GET", pageOrigin, pageOrigin},
		{"call of another page", "GET", "http://evil.example", ""},
		{"a longer name", "GET", pageOrigin + ".evil.example", ""},
		{"another scheme", "GET", "https://pkce.example", ""},
		{"null", "GET", "null", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), tt.method, "/api/me", nil)
			req.Header.Set("Origin", tt.origin)
			req.Header.Set("Access-Control-Request-Method", "GET")
			req.Header.Set("Access-Control-Request-Headers", "authorization")
			h := b.do(req).Header
			if got := h.Get("Access-Control-Allow-Origin"); got != tt.want {
				t.Errorf("Allow-Origin %q", got)
			}
			if got := h.Get("Vary"); got != "Origin" {
				t.Errorf("Vary %q", got)
			}
			if got := h.Get("Access-Control-Allow-Credentials"); got != "" {
				t.Errorf("Allow-Credentials %q", got)
			}
			if allowed := strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization"); allowed != (tt.method == "OPTIONS" && tt.want != "") {
				t.Errorf("Allow-Headers %q", h.Get("Access-Control-Allow-Headers"))
			}
		})
	}
}

func TestPage(t *testing.T) {
	b := newBench(t)
	resp := b.call(t, "GET", "/", "", "")
	body, _ := io.ReadAll(resp.Body)
	for _, want := range []string{`data-party="api"`, appAudience, providerURL, "http://lab.example"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	if resp := b.call(t, "GET", "/chrome/style.css", "", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("style sheet: %d", resp.StatusCode)
	}
	if resp := b.call(t, "GET", "/api/nothing", "", ""); resp.StatusCode != http.StatusNotFound || decode(t, resp)["error"] != "not_found" {
		t.Errorf("unknown resource: %d", resp.StatusCode)
	}
}

func TestConfigIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.db")
	for name, cfg := range map[string]api.Config{
		"no issuer":       {DBPath: path},
		"no audience":     {DBPath: path, Issuers: []api.Issuer{{URL: providerURL}}},
		"issuer twice":    {DBPath: path, Issuers: []api.Issuer{{URL: providerURL, Audience: "a"}, {URL: providerURL, Audience: "b"}}},
		"no such folder":  {DBPath: filepath.Join(path, "x", "y.db"), Issuers: []api.Issuer{{URL: providerURL, Audience: "a"}}},
		"no issuer's URL": {DBPath: path, Issuers: []api.Issuer{{Audience: "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if a, err := api.New(cfg); err == nil {
				a.Close()
				t.Error("accepted")
			}
		})
	}
}
