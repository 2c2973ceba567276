package bff_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/clients/bff"
)

const baseURL = "http://bff.lab.localhost"

// lab is a BFF with a fake provider and a fake API.
type lab struct {
	t    *testing.T
	cfg  bff.Config
	net  network
	op   *fakeOP
	api  *fakeAPI
	bff  *bff.BFF
	logs *syncBuffer
}

func newLab(t *testing.T, configure ...func(*bff.Config)) *lab {
	t.Helper()
	l := &lab{t: t, op: newFakeOP(t), logs: &syncBuffer{}}
	l.api = &fakeAPI{op: l.op}
	l.net = network{"op.lab.localhost": l.op, "api.lab.localhost": l.api}
	l.cfg = bff.Config{
		Issuer: issuerURL, ClientID: clientID, ClientSecret: secret, BaseURL: baseURL, APIURL: apiURL,
		DBPath: filepath.Join(t.TempDir(), "bff.db"), HTTPClient: &http.Client{Transport: l.net},
		Logger: slog.New(slog.NewTextHandler(l.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range configure {
		f(&l.cfg)
	}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func (l *lab) start() {
	l.t.Helper()
	var err error
	if l.bff, err = bff.New(l.cfg); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) stop() {
	if err := l.bff.Close(); err != nil {
		l.t.Error(err)
	}
}

// fakeAPI accepts the provider's access tokens and notes what it was sent.
type fakeAPI struct {
	op *fakeOP

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	respond  http.HandlerFunc // instead of the usual answer
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.requests, a.bodies = append(a.requests, r), append(a.bodies, string(body))
	a.mu.Unlock()
	switch {
	case a.respond != nil:
		a.respond(w, r)
	case !a.op.accepts(r):
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
	case r.Method == http.MethodPost:
		answer(w, http.StatusCreated, map[string]any{"id": "1"})
	default:
		answer(w, http.StatusOK, map[string]any{"sub": "s-1"})
	}
}

func (a *fakeAPI) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

// browser is a user agent with a jar of its own: net/http's would not send
// Secure cookies to http, as browsers do for loopback hosts.
type browser struct {
	l       *lab
	mu      sync.Mutex
	cookies map[string]string
	set     []*http.Cookie // all that were ever set
}

func (l *lab) browser() *browser { return &browser{l: l, cookies: map[string]string{}} }

// send performs one request of the backend's own page, which change may spoil.
func (b *browser) send(method, target, body string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, baseURL+target, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method != http.MethodGet {
		r.Header.Set("X-Bff-Csrf", "1")
		r.Header.Set("Content-Type", "application/json")
	}
	b.mu.Lock()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	b.l.bff.ServeHTTP(w, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range w.Result().Cookies() {
		b.set = append(b.set, c)
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return w.Result()
}

func (b *browser) get(target string) *http.Response { return b.send(http.MethodGet, target, "") }

// begin presses "sign in" and returns the authorization request.
func (b *browser) begin() url.Values {
	b.l.t.Helper()
	resp := b.get("/login")
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		b.l.t.Fatalf("/login: status %d, %v", resp.StatusCode, err)
	}
	return to.Query()
}

func (b *browser) callback(response url.Values) *http.Response {
	return b.get("/callback?" + response.Encode())
}

func (b *browser) signIn() {
	b.l.t.Helper()
	resp := b.callback(b.l.op.authorize(b.begin()))
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to != "/#login=done" {
		b.l.t.Fatalf("/callback: status %d to %q: %s", resp.StatusCode, to, text(resp))
	}
}

func (b *browser) signedIn() bool {
	b.l.t.Helper()
	return decode[struct {
		SignedIn bool `json:"signed_in"`
	}](b.l.t, b.get("/bff/session")).SignedIn
}

func text(resp *http.Response) string {
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func decode[T any](t *testing.T, resp *http.Response) T {
	t.Helper()
	var v T
	body := text(resp)
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	return v
}

// wantPage checks a refusal that is shown as a page.
func wantPage(t *testing.T, resp *http.Response, status int, check string) {
	t.Helper()
	body := text(resp)
	arrived := regexp.MustCompile(`data-error="([^"]*)"`).FindStringSubmatch(body)
	if resp.StatusCode != status || len(arrived) != 2 || arrived[1] != check {
		t.Fatalf("status %d, want %d with the check %s; body: %s", resp.StatusCode, status, check, body)
	}
}

// wantJSON checks a refusal that the page's script gets.
func wantJSON(t *testing.T, resp *http.Response, status int, check string) {
	t.Helper()
	got := decode[map[string]any](t, resp)
	if resp.StatusCode != status || got["error"] != check {
		t.Fatalf("status %d %v, want %d %s", resp.StatusCode, got, status, check)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
