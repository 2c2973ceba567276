package load_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/load"
)

// answering answers at a path in place of the provider. In the body, $x is the
// parameter x of the request.
func answering(path string, status int, media, body string) func(*fake) {
	return func(f *fake) {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			text := body
			for _, name := range []string{"state", "nonce", "code_challenge", "code_verifier", "code", "client_secret"} {
				text = strings.ReplaceAll(text, "$"+name, r.FormValue(name))
			}
			w.Header().Set("Content-Type", media)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			fmt.Fprint(w, text)
			return true
		}
	}
}

// TestReasons tells why a provider refuses, as far as it says so, and nothing that
// would be another for each flow.
func TestReasons(t *testing.T) {
	const object, page, text = "application/json", "text/html", "text/plain; charset=utf-8"
	const ours = `<title>Refused</title><h1>Refused</h1><div role="alert"><p id="error-description">redirect_uri is &quot;wrong&quot;.</p>
		<dl><div><dt>Error</dt><dd><code id="error-code">invalid_request</code></dd></div></dl></div>`
	for _, test := range []struct {
		name, path  string
		status      int
		media, body string
		kind, first string
	}{
		{"JSON", "/auth", 400, object, `{"error": "invalid_scope", "error_description": "No openid."}`, "status 400 at GET /auth: invalid_scope", "No openid."},
		{"our page", "/auth", 400, page, ours, "status 400 at GET /auth: invalid_request", `redirect_uri is "wrong".`},
		{"another's alert", "/auth", 400, page, `<h1>Oops</h1><p role=alert>No <b>such</b> client<script>alert("$state")</script></p>`, "status 400 at GET /auth", "No such client"},
		{"another's heading", "/auth", 403, page, `<title>x</title><body><h2>Access <style>h2{}</style>denied</h2><h2>More</h2>`, "status 403 at GET /auth", "Access denied"},
		{"another's title", "/auth", 502, page, "<html><head><title>502\n Bad Gateway</title>", "status 502 at GET /auth", "502 Bad Gateway"},
		{"RFC 9457", "/auth", 400, "application/problem+json", `{"type": "about:blank", "title": "Bad", "detail": "Worse"}`, "status 400 at GET /auth", "Worse"},
		{"text", "/auth", 400, text, "bad request\nat line 17", "status 400 at GET /auth", "bad request"},
		{"nothing", "/auth", 400, page, "", "status 400 at GET /auth", ""},
		{"bytes", "/auth", 400, "application/octet-stream", "PK", "status 400 at GET /auth", ""},
		{"no object", "/auth", 400, object, `{"error": {"code": 7}, "error_description"`, "status 400 at GET /auth", ""},
		{
			"what belongs to a flow", "/auth", 400, object, `{"error": "bad_$state", "error_description": "state=$state, nonce $nonce of insecure_http_redirect_uris"}`,
			"status 400 at GET /auth: …", "state=…, nonce … of insecure_http_redirect_uris",
		},
		{
			"secrets", "/token", 400, object, `{"error": "x $client_secret", "error_description": "$client_secret $code_verifier p&ss=word eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0NSJ9.AAAABBBBCCCC1234"}`,
			"status 400 at token (code): x …", "… … … ….….…",
		},
		{
			"much", "/auth", 400, object, `{"error": "` + strings.Repeat("long ", 20) + `", "error_description": "` + strings.Repeat("long ", 100) + `"}`,
			"status 400 at GET /auth: " + strings.Repeat("long ", 8), strings.Repeat("long ", 40) + "…",
		},
		{"busy", "/auth", 503, text, "no more", "status 503 at GET /auth", "no more"},
		{"a page to nowhere", "/auth", 200, page, "<h1>Cannot sign in</h1>", "no form at GET /auth", "a page of 23 bytes that a person without scripts could not leave; it says: Cannot sign in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			flows := run(t, startFake(t, answering(test.path, test.status, test.media, test.body)).config()).Results[0]
			if flows.Done != 0 || len(flows.Failures) != 1 || flows.Failures[0].Count != 4 || flows.Failures[0].Kind != test.kind {
				t.Fatalf("%d done, %+v", flows.Done, flows.Failures)
			}
			want := test.first
			if test.status != 200 {
				want = strings.TrimSpace(want + " (Retry-After: 7 s)")
			}
			if first := flows.Failures[0].First; first != want {
				t.Errorf("the first %q, want %q", first, want)
			}
		})
	}
}

// TestReasonsOfResponses: what is refused by way of the browser is cleaned, too.
func TestReasonsOfResponses(t *testing.T) {
	flows := run(t, startFake(t, func(f *fake) {
		f.response = func(q url.Values) {
			q.Set("error", "refused_"+q.Get("state"))
			q.Set("error_description", "It was "+q.Get("state")+" of p&ss=word.")
		}
	}).config()).Results[0]
	if len(flows.Failures) != 1 || flows.Failures[0].Kind != "authorization refused: …" || flows.Failures[0].First != "It was … of …." {
		t.Errorf("%+v", flows.Failures)
	}
}

// TestDiscoveryThatLeadsElsewhere says where.
func TestDiscoveryThatLeadsElsewhere(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("https://op.example/", http.StatusFound))
	defer server.Close()
	cfg := startFake(t, nil).config()
	cfg.Issuer = server.URL
	if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrDiscovery) || !strings.Contains(err.Error(), `leads to "https://op.example/", which is not followed`) {
		t.Errorf("got %v", err)
	}
}

// TestConnectionThatEnds tells so in our words.
func TestConnectionThatEnds(t *testing.T) {
	flows := run(t, startFake(t, func(f *fake) {
		f.intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}).config()).Results[0]
	if len(flows.Failures) != 1 || flows.Failures[0].Kind != "connection closed at token (code)" || flows.Failures[0].First != "by the server, in the place of an answer" {
		t.Errorf("got %+v", flows.Failures)
	}
}

// TestReasonOfDiscovery: nothing is run, and the error says why.
func TestReasonOfDiscovery(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "being repaired", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	cfg := startFake(t, nil).config()
	cfg.Issuer = server.URL
	if _, err := load.Run(t.Context(), cfg); err == nil || !strings.HasSuffix(err.Error(), "status 503; it says: being repaired (Retry-After: 30 s)") {
		t.Errorf("got %v", err)
	}
}
