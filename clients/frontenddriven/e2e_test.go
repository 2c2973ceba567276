package frontenddriven_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/api"
	"github.com/oidclab/oidclab/clients/frontenddriven"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// lab is the application between the real provider and the real API, over
// sockets.
type lab struct {
	op                     *providertest.Server
	frontend, backend, api *httptest.Server
	callback               string // the page's
	page                   string // its origin
	log                    *safeBuffer
}

const loopbackCallback = "http://127.0.0.1:1/callback"

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{log: &safeBuffer{}}
	l.frontend, l.backend, l.api = httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(l.frontend.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.page = "http://localhost:" + port
	l.callback = l.page + "/callback"
	backendURL, apiURL := "http://"+l.backend.Listener.Addr().String(), "http://"+l.api.Listener.Addr().String()

	l.op = providertest.Start(t, &providertest.Options{Clients: []provider.Client{{
		ID: "frontenddriven", Name: "Frontend-driven client", Secret: clientSecret, TokenEndpointAuthMethod: "client_secret_basic",
		RedirectURIs: []string{l.callback, "http://127.0.0.1/callback"}, PostLogoutRedirectURIs: []string{l.page + "/"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
	}}})
	logger := slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	app, err := frontenddriven.New(frontenddriven.Config{
		Issuer: l.op.URL(), ClientSecret: clientSecret, FrontendURL: l.page, BackendURL: backendURL, APIURL: apiURL,
		DBPath: filepath.Join(t.TempDir(), "app.db"), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	resource, err := api.New(api.Config{
		Issuers:        []api.Issuer{{URL: l.op.URL(), Audience: apiURL}, {URL: backendURL, Audience: apiURL + "/frontenddriven"}},
		AllowedOrigins: []string{l.page},
		DBPath:         filepath.Join(t.TempDir(), "api.db"), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.frontend.Config.Handler, l.backend.Config.Handler, l.api.Config.Handler = app.Frontend(), app.Backend(), resource
	for _, server := range []*httptest.Server{l.frontend, l.backend, l.api} {
		server.Start()
	}
	t.Cleanup(func() {
		for _, server := range []*httptest.Server{l.frontend, l.backend, l.api} {
			server.Close()
		}
		app.Close()
		resource.Close()
		if strings.Contains(l.log.String(), "eyJ") {
			t.Errorf("a token stands in the log:\n%s", l.log.String())
		}
	})
	return l
}

func (l *lab) send(t *testing.T, method, target, token string, body any) answer {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&a.body); err != nil {
		t.Fatalf("%s %s: status %d: %v", method, target, resp.StatusCode, err)
	}
	return a
}

// signIn does what the page's flow.js does, with a browser that signs alice in.
func (l *lab) signIn(t *testing.T, redirectURI string) answer {
	t.Helper()
	return l.exchange(t, l.authorize(t, redirectURI), redirectURI)
}

func (l *lab) authorize(t *testing.T, redirectURI string) (code string) {
	t.Helper()
	auth := l.send(t, "GET", l.backend.URL+"/auth/config", "", nil)
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {auth.str("client_id")}, "redirect_uri": {redirectURI}, "scope": {auth.str("scope")},
		"state": {"state-state"}, "nonce": {"nonce-nonce"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}
	back := providertest.NewBrowser(t).SignIn(auth.str("authorization_endpoint")+"?"+q.Encode(), "alice", "alice")
	if back.Query().Get("state") != "state-state" || back.Query().Get("iss") != l.op.URL() {
		t.Fatalf("answer %v", back.Query())
	}
	return back.Query().Get("code")
}

func (l *lab) exchange(t *testing.T, code, redirectURI string) answer {
	t.Helper()
	return l.send(t, "POST", l.backend.URL+"/auth/exchange", "", claims{
		"code": code, "code_verifier": verifier, "nonce": "nonce-nonce", "redirect_uri": redirectURI,
	})
}

func (l *lab) refresh(t *testing.T, token string) answer {
	t.Helper()
	return l.send(t, "POST", l.backend.URL+"/auth/refresh", token, nil)
}

func TestWholeFlow(t *testing.T) {
	for name, native := range map[string]bool{"from the page": false, "from a native application": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			redirectURI := l.callback
			if native {
				redirectURI = loopbackCallback
			}
			first := l.signIn(t, redirectURI)
			if first.status != http.StatusOK || first.body["user"].(claims)["name"] != "Alice Liddell" {
				t.Fatalf("login: %d %v", first.status, first.body)
			}
			me := l.send(t, "GET", l.api.URL+"/api/me", first.str("access_token"), nil)
			if me.status != http.StatusOK || me.str("iss") != l.backend.URL || me.str("name") != "Alice Liddell" || me.str("sub") != first.body["user"].(claims)["sub"] {
				t.Errorf("me: %d %v", me.status, me.body)
			}
			if a := l.send(t, "POST", l.api.URL+"/api/notes", first.str("access_token"), claims{"text": "hello"}); a.status != http.StatusCreated {
				t.Errorf("note: %d %v", a.status, a.body)
			}
			second := l.refresh(t, first.str("refresh_token"))
			if second.status != http.StatusOK {
				t.Fatalf("renewal: %d %v", second.status, second.body)
			}
			if a := l.send(t, "GET", l.api.URL+"/api/notes", second.str("access_token"), nil); a.status != http.StatusOK || len(a.body["notes"].([]any)) != 1 {
				t.Errorf("notes: %d %v", a.status, a.body)
			}
			out := l.send(t, "POST", l.backend.URL+"/auth/logout", second.str("refresh_token"), nil)
			if out.body["provider_revoked"] != true {
				t.Errorf("logout: %d %v", out.status, out.body)
			}
			page := providertest.NewBrowser(t).Get(out.str("logout_url") + "&state=xyz")
			if page.Callback == nil || page.Callback.String() != l.page+"/?state=xyz" {
				t.Errorf("logout at the provider: status %d, to %v", page.Status, page.Callback)
			}
			if a := l.refresh(t, second.str("refresh_token")); a.status != http.StatusUnauthorized {
				t.Errorf("renewal after logout: %d", a.status)
			}
		})
	}
}

func TestWholeFlowReplayedCode(t *testing.T) {
	l := newLab(t)
	code := l.authorize(t, l.callback)
	first := l.exchange(t, code, l.callback)
	if first.status != http.StatusOK {
		t.Fatal(first.body)
	}
	if a := l.exchange(t, code, l.callback); a.status != http.StatusBadRequest || a.str("error") != "invalid_grant" {
		t.Errorf("replay: %d %v", a.status, a.body)
	}
	// The provider ends what the code brought (RFC 6749 §4.1.2), and so does the
	// application.
	if a := l.refresh(t, first.str("refresh_token")); a.status != http.StatusUnauthorized || a.str("error") != "invalid_grant" {
		t.Errorf("renewal after the replay: %d %v", a.status, a.body)
	}
}

func TestWholeFlowProviderDown(t *testing.T) {
	l := newLab(t)
	token := l.signIn(t, l.callback).str("refresh_token")
	l.op.SetDown(true)
	if a := l.refresh(t, token); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("while down: %d %v", a.status, a.body)
	}
	l.op.SetDown(false)
	if a := l.refresh(t, token); a.status != http.StatusOK {
		t.Errorf("when it is back: %d %v", a.status, a.body)
	}
}

// J3: what is no access token of the application opens nothing at the API.
func TestWholeFlowTokenConfusion(t *testing.T) {
	l := newLab(t)
	a := l.signIn(t, l.callback)
	out, err := url.Parse(l.send(t, "POST", l.backend.URL+"/auth/logout", a.str("refresh_token"), nil).str("logout_url"))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"refresh token of the application": a.str("refresh_token"),
		"ID token of the provider":         out.Query().Get("id_token_hint"),
	} {
		me := l.send(t, "GET", l.api.URL+"/api/me", token, nil)
		if me.status != http.StatusUnauthorized || !strings.Contains(me.str("error_description"), "typ") {
			t.Errorf("%s: %d %v", name, me.status, me.body)
		}
	}
}
