package frontenddriven_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/clients/frontenddriven"
)

const (
	opURL        = "http://op.example"
	frontendURL  = "http://page.localhost:1"
	backendURL   = "http://backend.example"
	apiURL       = "http://api.example"
	audience     = apiURL + "/frontenddriven"
	callback     = frontendURL + "/callback"
	clientSecret = "s/e c:r%e+t" // with all that form encoding must take care of
	verifier     = "verifier-verifier-verifier-verifier-verifier"
)

// bench is the application in front of the small provider, within the process.
type bench struct {
	op   *op
	app  *frontenddriven.App
	path string
	cfg  frontenddriven.Config
	log  *safeBuffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{op: newOP(t), path: filepath.Join(t.TempDir(), "app.db"), log: &safeBuffer{}}
	b.cfg = frontenddriven.Config{
		Issuer: opURL, ClientID: "fd", ClientSecret: clientSecret, FrontendURL: frontendURL, BackendURL: backendURL, APIURL: apiURL,
		HomeURL: "http://lab.example", DBPath: b.path, HTTPClient: &http.Client{Transport: b.op},
		Logger: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	b.start(t)
	t.Cleanup(func() {
		b.app.Close()
		b.checkLog(t)
	})
	return b
}

func (b *bench) start(t *testing.T) {
	t.Helper()
	var err error
	if b.app, err = frontenddriven.New(b.cfg); err != nil {
		t.Fatal(err)
	}
}

// restart closes the application and opens it again on the same file.
func (b *bench) restart(t *testing.T) {
	t.Helper()
	if err := b.app.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(t)
}

// checkLog runs after every test: nothing secret is ever written to the log.
func (b *bench) checkLog(t *testing.T) {
	t.Helper()
	log := b.log.String()
	for _, secret := range append(b.op.seen, verifier, clientSecret, "eyJ") {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

// answer is what the backend said.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

func (b *bench) do(t *testing.T, req *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	b.app.Backend().ServeHTTP(w, req)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: w.Code, header: w.Result().Header, text: string(text)}
	if len(text) > 0 && strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a.body); err != nil {
			t.Fatalf("status %d, body %q: %v", w.Code, text, err)
		}
	}
	return a
}

// post sends what the page sends: JSON, or a token in the Authorization header.
func (b *bench) post(t *testing.T, path, token string, body any) answer {
	t.Helper()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req := httptest.NewRequestWithContext(t.Context(), "POST", path, reader)
	req.Header.Set("Origin", frontendURL)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return b.do(t, req)
}

func (b *bench) get(t *testing.T, path string) answer {
	t.Helper()
	return b.do(t, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
}

// exchange runs a login with a fresh code.
func (b *bench) exchange(t *testing.T) answer {
	t.Helper()
	code := b.op.code("the-nonce", callback)
	return b.post(t, "/auth/exchange", "", claims{"code": code, "code_verifier": verifier, "nonce": "the-nonce", "redirect_uri": callback})
}

func (b *bench) login(t *testing.T) answer {
	t.Helper()
	a := b.exchange(t)
	if a.status != http.StatusOK {
		t.Fatalf("login: status %d: %s", a.status, a.text)
	}
	return a
}

func (b *bench) refresh(t *testing.T, token string) answer {
	t.Helper()
	return b.post(t, "/auth/refresh", token, nil)
}

// wantRefusal checks an error answer.
func wantRefusal(t *testing.T, a answer, status int, code, part string) {
	t.Helper()
	if a.status != status || a.str("error") != code || !strings.Contains(a.str("error_description"), part) {
		t.Errorf("got %d %s\nwant %d %s with %q", a.status, a.text, status, code, part)
	}
	if (a.header.Get("WWW-Authenticate") != "") != (status == http.StatusUnauthorized) {
		t.Errorf("WWW-Authenticate %q with status %d", a.header.Get("WWW-Authenticate"), a.status)
	}
	if (a.header.Get("Retry-After") != "") != (status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After %q with status %d", a.header.Get("Retry-After"), a.status)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

// verified decodes one of the application's tokens with the key that the backend
// publishes.
func (b *bench) verified(t *testing.T, compact string) (header jose.Header, c claims) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(b.get(t, "/jwks").text), &set); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Claims(set, &c); err != nil {
		t.Fatal(err)
	}
	return token.Headers[0], c
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
