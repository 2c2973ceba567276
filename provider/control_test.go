package provider_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// command sends a request to the control plane as the command line does: "GET
// /keys", say. change may alter it.
func (op *inProcess) command(t *testing.T, token, line, body string, change func(*http.Request)) answer {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	req := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8081"+target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	rec := httptest.NewRecorder()
	op.provider().Control(token, nil).ServeHTTP(rec, req)
	a := answer{Status: rec.Code, Header: rec.Header(), Raw: rec.Body.String()}
	if err := json.Unmarshal(rec.Body.Bytes(), &a.Body); err != nil && method != http.MethodHead {
		t.Fatalf("no JSON: %s", a.Raw)
	}
	return a
}

// listed are the keys of an answer that are in a state.
func (a answer) listed(state string) (keys []map[string]any) {
	list, _ := a.Body["keys"].([]any)
	for _, raw := range list {
		if key, _ := raw.(map[string]any); key["state"] == state {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestControlKeys: what the control plane tells of keys, and does to them.
func TestControlKeys(t *testing.T) {
	op := serving(t, provider.Config{})
	a := op.command(t, "", "GET /keys", "", nil)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	if got := len(a.listed("current")); got != len(everyAlgorithm) || a.Body["changed"] != nil {
		t.Errorf("%d keys sign: %s", got, a.Raw)
	}
	published := jwksOf(t, op)
	for _, key := range a.listed("current") {
		if published[key["kid"].(string)] != key["alg"] {
			t.Errorf("key %v is not the published one", key)
		}
		if diff := cmp.Diff([]string{"active_from", "alg", "kid", "state"}, slices.Sorted(maps.Keys(key))); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
	}

	steps := []struct {
		name, body              string
		changed                 bool
		next, current, retiring int
	}{
		{"publish", `{}`, true, 5, 5, 0},
		{"again", `{"now": false}`, false, 5, 5, 0},
		{"activate", `{"now": true}`, true, 0, 5, 5},
		{"replace", `{"now": true}`, true, 0, 5, 10},
		{"publish one", `{"algs": ["RS256"]}`, true, 1, 5, 10},
		{"the same again", `{"algs": ["RS256"]}`, false, 1, 5, 10},
		{"replace another one", `{"algs": ["EdDSA"], "now": true}`, true, 1, 5, 11},
	}
	for _, step := range steps {
		a := op.command(t, "", "POST /keys/rotate", step.body, nil)
		if a.Status != http.StatusOK || a.Body["changed"] != step.changed {
			t.Fatalf("%s: %d %s", step.name, a.Status, a.Raw)
		}
		for state, want := range map[string]int{"next": step.next, "current": step.current, "retiring": step.retiring} {
			if got := len(a.listed(state)); got != want {
				t.Errorf("%s: %d are %s, want %d", step.name, got, state, want)
			}
		}
		for _, key := range a.listed("retiring") {
			from, errFrom := time.Parse(time.RFC3339, key["active_from"].(string))
			until, errUntil := time.Parse(time.RFC3339, key["published_until"].(string))
			if errFrom != nil || errUntil != nil || !until.After(from) {
				t.Errorf("%s: times of %v", step.name, key)
			}
		}
		if diff := cmp.Diff(a.Body["keys"], op.command(t, "", "GET /keys", "", nil).Body["keys"]); diff != "" {
			t.Errorf("%s: the list says otherwise:\n%s", step.name, diff)
		}
	}
	if head := op.command(t, "", "HEAD /keys", "", nil); head.Status != http.StatusOK {
		t.Errorf("HEAD: %d", head.Status)
	}
}

// TestControlRefuses: each request has one thing wrong.
func TestControlRefuses(t *testing.T) {
	const token = "the-token-of-the-control-plane"
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	good := header("Authorization", "Bearer "+token)
	tests := []struct {
		name, token, line, body string
		change                  func(*http.Request)
		status                  int
		code                    string
	}{
		{"good", "", "POST /keys/rotate", `{}`, nil, 200, ""},
		{"good, of this very origin", "", "POST /keys/rotate", `{}`, header("Origin", "http://127.0.0.1:8081"), 200, ""},
		{"good, typed into a browser", "", "GET /keys", "", header("Sec-Fetch-Site", "none"), 200, ""},
		{"good, by name", "", "POST /keys/rotate", `{}`, host("localhost:8081"), 200, ""},
		{"good, by a name below localhost", "", "POST /keys/rotate", `{}`, host("op.localhost"), 200, ""},
		{"good, IPv6", "", "POST /keys/rotate", `{}`, host("[::1]:8081"), 200, ""},
		{"good, with a charset", "", "POST /keys/rotate", `{}`, header("Content-Type", "application/json; charset=utf-8"), 200, ""},
		{"good, with the token", token, "POST /keys/rotate", `{}`, good, 200, ""},
		{"good, with the token, for another host", token, "GET /keys", "", both(good, host("op.example:8081")), 200, ""},

		{"a page of another site", "", "POST /keys/rotate", `{}`, header("Origin", "https://evil.example"), 403, "access_denied"},
		{"a page of another site reads", "", "GET /keys", "", header("Origin", "https://evil.example"), 403, "access_denied"},
		{"a page of another port", "", "POST /keys/rotate", `{}`, header("Origin", "http://127.0.0.1:8080"), 403, "access_denied"},
		{"a page of no origin", "", "POST /keys/rotate", `{}`, header("Origin", "null"), 403, "access_denied"},
		{"a frame of another site", "", "GET /keys", "", header("Sec-Fetch-Site", "cross-site"), 403, "access_denied"},
		{"a sibling host", "", "GET /keys", "", header("Sec-Fetch-Site", "same-site"), 403, "access_denied"},
		{"a name that leads to this machine", "", "POST /keys/rotate", `{}`, host("rebound.evil.example:8081"), 403, "access_denied"},
		{"the same, with its own origin", "", "POST /keys/rotate", `{}`, both(host("evil.example"), header("Origin", "http://evil.example")), 403, "access_denied"},
		{"a name that looks like an address", "", "GET /keys", "", host("127.0.0.1.evil.example"), 403, "access_denied"},
		{"another machine's address", "", "GET /keys", "", host("192.0.2.1:8081"), 403, "access_denied"},
		{"no host", "", "GET /keys", "", host(""), 403, "access_denied"},
		{"a page of another site with the token", token, "POST /keys/rotate", `{}`, both(good, header("Origin", "https://evil.example")), 403, "access_denied"},

		{"no token", token, "POST /keys/rotate", `{}`, nil, 401, "invalid_token"},
		{"no token to read", token, "GET /keys", "", nil, 401, "invalid_token"},
		{"another token", token, "GET /keys", "", header("Authorization", "Bearer "+token+"x"), 401, "invalid_token"},
		{"a part of the token", token, "GET /keys", "", header("Authorization", "Bearer "+token[1:]), 401, "invalid_token"},
		{"an empty token", token, "GET /keys", "", header("Authorization", "Bearer "), 401, "invalid_token"},
		{"another scheme", token, "GET /keys", "", header("Authorization", "Basic "+token), 401, "invalid_token"},
		{"the token in the query", token, "GET /keys?access_token=" + token, "", nil, 401, "invalid_token"},

		{"a form", "", "POST /keys/rotate", "now=true", header("Content-Type", "application/x-www-form-urlencoded"), 415, "invalid_request"},
		{"text", "", "POST /keys/rotate", `{}`, header("Content-Type", "text/plain"), 415, "invalid_request"},
		{"no type", "", "POST /keys/rotate", `{}`, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "invalid_request"},
		{"no body", "", "POST /keys/rotate", "", nil, 400, "invalid_request"},
		{"no object", "", "POST /keys/rotate", "[]", nil, 400, "invalid_request"},
		{"null", "", "POST /keys/rotate", "null", nil, 400, "invalid_request"},
		{"no JSON", "", "POST /keys/rotate", "{now}", nil, 400, "invalid_request"},
		{"two objects", "", "POST /keys/rotate", "{}{}", nil, 400, "invalid_request"},
		{"a member twice", "", "POST /keys/rotate", `{"now": false, "now": true}`, nil, 400, "invalid_request"},
		{"an unknown member", "", "POST /keys/rotate", `{"later": true}`, nil, 400, "invalid_request"},
		{"text for a truth value", "", "POST /keys/rotate", `{"now": "yes"}`, nil, 400, "invalid_request"},
		{"an unknown algorithm", "", "POST /keys/rotate", `{"algs": ["RS256", "HS256"]}`, nil, 400, "invalid_request"},
		{"an empty list of algorithms", "", "POST /keys/rotate", `{"algs": []}`, nil, 400, "invalid_request"},
		{"no list of algorithms", "", "POST /keys/rotate", `{"algs": "RS256"}`, nil, 400, "invalid_request"},
		{"a large body", "", "POST /keys/rotate", `{"now": ` + strings.Repeat(" ", 64<<10) + "true}", nil, 413, "invalid_request"},
		{"a command by GET", "", "GET /keys/rotate", "", nil, 405, "invalid_request"},
		{"a list by POST", "", "POST /keys", `{}`, nil, 405, "invalid_request"},
		{"an unknown path", "", "GET /tokens", "", nil, 404, "not_found"},
		{"an endpoint of the provider", "", "GET /jwks", "", nil, 404, "not_found"},
	}
	op := serving(t, provider.Config{})
	before := jwksOf(t, op)
	refused := func(ok bool) { // those that are refused come last
		if !ok && len(jwksOf(t, op)) != 2*len(before) {
			t.Errorf("%d keys after one rotation", len(jwksOf(t, op)))
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := op.command(t, tt.token, tt.line, tt.body, tt.change)
			if a.Status != tt.status || a.text("error") != tt.code {
				t.Errorf("%d %s; want %d %s", a.Status, a.Raw, tt.status, tt.code)
			}
			if tt.code != "" && (a.text("error_description") == "" || a.Body["keys"] != nil) {
				t.Errorf("answer %s", a.Raw)
			}
			if strings.Contains(a.Raw, token) {
				t.Error("the answer holds the token")
			}
			if got := a.Header.Get("WWW-Authenticate") != ""; got != (tt.status == 401) {
				t.Errorf("WWW-Authenticate: %v", got)
			}
			refused(tt.code == "")
		})
	}
}

// TestControlIsNotAtTheProvider: its paths are nothing to the world.
func TestControlIsNotAtTheProvider(t *testing.T) {
	op := serving(t, provider.Config{})
	for _, path := range []string{"/keys", "/keys/rotate"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if a := op.answer(t, method, path, nil, nil); a.Status != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, a.Status)
			}
		}
	}
	wantKeys(t, op, 0, 0)
}

// TestControlCannotRotate: the reason is told, unless it is our own fault.
func TestControlCannotRotate(t *testing.T) {
	fixed := serving(t, provider.Config{FixedKeys: fixedKeys()})
	a := fixed.command(t, "", "POST /keys/rotate", `{"now": true}`, nil)
	if a.Status != http.StatusConflict || a.text("error_description") != "the signing keys are fixed by the configuration" {
		t.Errorf("fixed keys: %d %s", a.Status, a.Raw)
	}
	if a := fixed.command(t, "", "GET /keys", "", nil); len(a.listed("current")) != 5 || a.listed("current")[0]["active_from"] != nil {
		t.Errorf("fixed keys: %s", a.Raw)
	}

	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{Store: store})
	wantKeys(t, op, 0, 0)
	store.fail("Commit")
	wantUnavailable(t, op.command(t, "", "POST /keys/rotate", `{}`, nil))
	store.repair()
	wantKeys(t, op, 0, 0)
}

// TestControlServesMore: what the process adds stands behind the same gate.
func TestControlServesMore(t *testing.T) {
	more := map[string]http.Handler{"GET /debug/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	handler := newInProcess(t).provider().Control("the-token", more)
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"with the token", bearer("the-token"), http.StatusNoContent},
		{"without it", func(*http.Request) {}, http.StatusUnauthorized},
		{"from a page", func(r *http.Request) {
			bearer("the-token")(r)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, http.StatusForbidden},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8081/debug/", nil)
		test.change(req)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code != test.want {
			t.Errorf("%s: status %d, want %d", test.name, rec.Code, test.want)
		}
	}
}
