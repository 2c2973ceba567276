package provider_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// endpoint is a place that reads parameters, with a request that it accepts.
type endpoint struct {
	name, method, path string
	form               string
	change             func(*http.Request)
	page               bool // it answers errors as HTML
	status             int  // of the accepted request
}

// readers are all endpoints that read parameters.
func readers(t *testing.T, op *providertest.Server) []endpoint {
	t.Helper()
	token := tokensOf(t, op, providertest.ConfidentialClient, "openid").text("access_token")
	_, login := atLogin(t, op)
	sealed := "request=" + login.Field("request")
	authorize := codeRequest().with(params{"prompt": "none", "state": ""}).values().Encode()
	return []endpoint{
		{"token", http.MethodPost, "/token", "grant_type=client_credentials", asWeb, false, 200},
		{"pushed request", http.MethodPost, "/par", webRequest().values().Encode(), asWeb, false, 201},
		{"introspect", http.MethodPost, "/introspect", "token=x", asWeb, false, 200},
		{"revoke", http.MethodPost, "/revoke", "token=x", asWeb, false, 200},
		{"userinfo", http.MethodPost, "/userinfo", "schema=openid", bearer(token), false, 200},
		{"authorize", http.MethodGet, "/authorize", authorize, nil, true, 303},
		{"authorize by POST", http.MethodPost, "/authorize", authorize, nil, true, 303},
		{"login", http.MethodGet, "/login", sealed, nil, true, 200},
		{"login form", http.MethodPost, "/login", sealed, nil, true, 403},
		{"consent", http.MethodGet, "/consent", sealed, nil, true, 303},
		{"consent form", http.MethodPost, "/consent", sealed, nil, true, 303},
		{"logout", http.MethodGet, "/logout", "client_id=spa", nil, true, 200},
		{"logout by POST", http.MethodPost, "/logout", "client_id=spa", nil, true, 303},
	}
}

// send sends a form as it stands, in the query or the body.
func (e endpoint) send(t *testing.T, op *providertest.Server, form string, change func(*http.Request)) answer {
	t.Helper()
	req := request(t, e.method, op.URL()+e.path)
	if e.method == http.MethodGet {
		req.URL.RawQuery = form
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	}
	for _, f := range []func(*http.Request){e.change, change} {
		if f != nil {
			f(req)
		}
	}
	return do(t, req)
}

// wantRefused checks that an answer is invalid_request, as JSON or as a page.
func (e endpoint) wantRefused(t *testing.T, a answer, status int) {
	t.Helper()
	want := "application/json"
	if e.page {
		want = "text/html; charset=utf-8"
	}
	if got := a.Header.Get("Content-Type"); a.Status != status || got != want || !strings.Contains(a.Raw, "invalid_request") {
		t.Errorf("answer %d, %s:\n%.300s", a.Status, got, a.Raw)
	}
	if a.Header.Get("Location") != "" {
		t.Errorf("a redirect to %s", a.Header.Get("Location"))
	}
	// RFC 6749 §5.2, RFC 6750 §3.
	if !e.page && !regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`).MatchString(a.text("error_description")) {
		t.Errorf("description %q", a.text("error_description"))
	}
}

// TestEndpointsRefuseWhatNobodyHonestSends: the valid request and one thing more.
func TestEndpointsRefuseWhatNobodyHonestSends(t *testing.T) {
	clients := providertest.DefaultClients()
	for i := range clients {
		clients[i].Audience = []string{"https://a", "https://b"}
	}
	op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) { c.Explain = true }})
	tests := []struct {
		name, more string
		refused    bool
	}{
		{"nothing", "", false},
		{"an unknown parameter", "&x=1", false},
		{"an unknown parameter without a value", "&x", false},
		{"line breaks and tabs", "&x=a%0D%0Ab%09c", false},
		{"text beyond ASCII", "&x=%C3%A9%E2%82%AC%F0%9F%98%80", false},
		{"resource twice", "&resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb", false},
		{"a parameter of 4096 bytes", "&x=" + strings.Repeat("x", 4096), false},
		{"a parameter of 4097 bytes", "&x=" + strings.Repeat("x", 4097), true},
		{"a name of 4097 bytes", "&" + strings.Repeat("x", 4097) + "=1", true},
		{"a token of 16 KiB and one", "&access_token_hint=1&id_token_hint=" + strings.Repeat("x", 16<<10+1), true},
		{"a parameter twice", "&x=1&x=1", true},
		{"a parameter twice, written differently", "&x=1&%78=2", true},
		{"twice without a value", "&x&x", true},
		{"bad percent-encoding", "&x=%zz", true},
		{"bad percent-encoding at the end", "&x=%4", true},
		{"bad percent-encoding of a name", "&%zz=1", true},
		{"semicolon", "&x=1;y=2", true},
		{"NUL", "&x=%00", true},
		{"NUL in a name", "&x%00y=1", true},
		{"escape", "&x=%1B", true},
		{"delete", "&x=%7F", true},
		{"invalid UTF-8", "&x=%FF", true},
		{"overlong UTF-8", "&x=%C0%80", true},
		{"half a surrogate", "&x=%ED%A0%80", true},
		{"invalid UTF-8 in a name", "&%FF=1", true},
		{"quotes in a name that is given twice", "&%22%5C%0A%C3%A9=1&%22%5C%0A%C3%A9=1", true},
	}
	for _, e := range readers(t, op) {
		for _, tt := range tests {
			t.Run(e.name+", "+tt.name, func(t *testing.T) {
				a := e.send(t, op, e.form+tt.more, nil)
				if tt.refused {
					e.wantRefused(t, a, http.StatusBadRequest)
				} else if a.Status != e.status {
					t.Errorf("answer %d, want %d:\n%.300s", a.Status, e.status, a.Raw)
				}
			})
		}
	}
}

// TestTokensMayBeLong: a JWT is longer than other parameters.
func TestTokensMayBeLong(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, size := range []int{4097, 16 << 10} {
		wantInactive(t, introspect(t, op, strings.Repeat("x", size), asWeb))
	}
	wantError(t, introspect(t, op, strings.Repeat("x", 16<<10+1), asWeb), 400, "invalid_request")
}

// TestSizeOfRequests: RFC 9110 §15.5.14, §15.5.15.
func TestSizeOfRequests(t *testing.T) {
	op := providertest.Start(t, nil)
	var pieces []string
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		pieces = append(pieces, "&long-"+string(letter)+"="+strings.Repeat("x", 4000))
	}
	ofSize := func(size int) string { return strings.Join(pieces[:size/4000], "") }
	for _, e := range readers(t, op) {
		t.Run(e.name, func(t *testing.T) {
			large, status := 92000, http.StatusRequestEntityTooLarge
			if e.method == http.MethodGet {
				large, status = 60000, http.StatusRequestURITooLong
			}
			if a := e.send(t, op, e.form+ofSize(large), nil); a.Status == status {
				t.Errorf("%d bytes: %d", large, a.Status)
			}
			e.wantRefused(t, e.send(t, op, e.form+ofSize(104000), nil), status)
			if e.method == http.MethodPost {
				unannounced := func(r *http.Request) { r.ContentLength = -1 }
				e.wantRefused(t, e.send(t, op, e.form+ofSize(104000), unannounced), status)
			}
		})
	}
}

// TestContentType: RFC 6749 §3.2, appendix B.
func TestContentType(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, e := range readers(t, op) {
		if e.method != http.MethodPost {
			continue
		}
		for _, tt := range []struct {
			value   string
			refused bool
		}{
			{"application/x-www-form-urlencoded", false},
			{"application/x-www-form-urlencoded; charset=UTF-8", false},
			{"Application/X-WWW-Form-URLEncoded", false},
			{"", true},
			{"text/plain", true},
			{"application/json", true},
			{"multipart/form-data; boundary=x", true},
			{"application/x-www-form-urlencoded, text/plain", true},
			{"application/x-www-form-urlencoded2", true},
		} {
			t.Run(e.name+", "+tt.value, func(t *testing.T) {
				a := e.send(t, op, e.form, func(r *http.Request) { r.Header["Content-Type"] = []string{tt.value} })
				if tt.refused {
					e.wantRefused(t, a, http.StatusBadRequest)
				} else if a.Status != e.status {
					t.Errorf("answer %d, want %d", a.Status, e.status)
				}
			})
		}
		t.Run(e.name+", none", func(t *testing.T) {
			e.wantRefused(t, e.send(t, op, e.form, func(r *http.Request) { r.Header.Del("Content-Type") }), http.StatusBadRequest)
		})
	}
}

// TestParametersOfTheQueryDoNotCountInAPost: RFC 6749 §2.3.1, §3.2.
func TestParametersOfTheQueryDoNotCountInAPost(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, e := range readers(t, op) {
		if e.method != http.MethodPost || e.name == "userinfo" || e.name == "logout by POST" {
			continue
		}
		a := e.send(t, op, "", func(r *http.Request) { r.URL.RawQuery = e.form })
		if e.name == "authorize by POST" { // looks at the parameters after a GET of our own
			a = get(t, op.URL()+a.Header.Get("Location"), nil)
		}
		if a.Status < 400 || a.Status >= 500 {
			t.Errorf("%s: %d %.200s", e.name, a.Status, a.Raw)
		}
	}
}

// TestBodyThatBreaksOff is a client's fault and not ours.
func TestBodyThatBreaksOff(t *testing.T) {
	op := serving(t, provider.Config{})
	for _, path := range []string{"/token", "/introspect", "/revoke", "/userinfo", "/authorize", "/login", "/consent", "/logout"} {
		body := io.MultiReader(strings.NewReader("grant_type="), iotest.ErrReader(errors.New("connection reset")))
		req := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, path, body)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		op.handler.ServeHTTP(rec, req)
		if rec.Code < 400 || rec.Code >= 500 || strings.Contains(rec.Body.String(), "connection reset") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
