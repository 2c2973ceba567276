package provider_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// safeBuffer is a buffer that many goroutines write to.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestLogsHoldNoSecrets runs everything that a secret passes through, what
// succeeds and what fails, and looks for the secrets in the log.
func TestLogsHoldNoSecrets(t *testing.T) {
	var logs safeBuffer
	const password = "correct horse battery staple"
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{
		Store: store, Clients: moreClients(), Explain: true,
		Users:  []provider.User{{Username: "alice", Password: password, Claims: map[string]any{"sub": "1"}}},
		Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
	})
	secrets := map[string]string{
		"password": password, "wrong password": "hunter2-hunter2", "client secret": providertest.ConfidentialSecret,
		"wrong client secret": "guess-guess-guess", "verifier": verifier, "state": "state-0123456789", "nonce": "nonce-0123456789",
	}
	failing := func(send func()) {
		store.fail("AccessToken", "RefreshToken", "Session", "Commit")
		send()
		store.repair()
		send()
	}
	postToken := func(form params, change func(*http.Request)) answer {
		return op.answer(t, http.MethodPost, "/token", form.values(), change)
	}

	form := signInSlowly(t, op, "hunter2-hunter2", password)
	secrets["csrf token"], secrets["sealed request"] = form.Get("csrf"), form.Get("request")
	form.Set("decision", "allow")
	callback, err := url.Parse(op.do(t, http.MethodPost, "/consent", form, nil).Header().Get("Location"))
	if err != nil || !callback.Query().Has("code") {
		t.Fatalf("no code: %v %v", callback, err)
	}
	secrets["code"] = callback.Query().Get("code")
	postToken(redeem(secrets["code"]).with(params{"code_verifier": "x" + verifier}), nil)
	tokens := postToken(redeem(secrets["code"]), nil)
	for _, kind := range []string{"access_token", "refresh_token", "id_token"} {
		if secrets[kind] = tokens.text(kind); secrets[kind] == "" {
			t.Fatalf("no %s: %s", kind, tokens.Raw)
		}
	}
	for name, value := range op.cookies {
		secrets["cookie "+name] = value
	}
	failing(func() {
		second := postToken(refreshRequest(secrets["refresh_token"]), nil)
		if second.Status == http.StatusOK {
			secrets["second refresh token"], secrets["second access token"] = second.text("refresh_token"), second.text("access_token")
		}
	})
	if secrets["second refresh token"] == "" {
		t.Error("no second refresh token")
	}
	wrongSecret := func(r *http.Request) { r.SetBasicAuth("web", "guess-guess-guess") }
	postToken(params{"grant_type": "client_credentials"}, wrongSecret)
	postToken(params{"grant_type": "client_credentials"}, asWeb)
	postToken(params{"grant_type": "client_credentials", "client_id": "web", "client_secret": providertest.ConfidentialSecret}, nil)
	for _, token := range []string{secrets["access_token"], secrets["refresh_token"], secrets["id_token"], secrets["code"]} {
		failing(func() {
			op.do(t, http.MethodGet, "/userinfo", nil, bearer(token))
			op.do(t, http.MethodGet, "/userinfo?access_token="+token, nil, nil)
			op.do(t, http.MethodPost, "/introspect", url.Values{"token": {token}}, asWeb)
			op.do(t, http.MethodPost, "/revoke", url.Values{"token": {token}}, asWeb)
			op.do(t, http.MethodGet, "/"+token, nil, nil)
		})
	}
	postToken(refreshRequest(secrets["refresh_token"]), nil) // reuse
	postToken(redeem(secrets["code"]), nil)                  // reuse
	failing(func() {
		op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"id_token_hint": secrets["id_token"]}).values().Encode(), nil, nil)
		op.do(t, http.MethodGet, "/logout?"+goodLogout(secrets["id_token"]).values().Encode(), nil, nil)
	})

	got := logs.String()
	for _, line := range []string{"login refused", "signed in", "tokens issued", "request refused", "request failed", "signed out"} {
		if !strings.Contains(got, line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	for name, secret := range secrets {
		encoded := base64.StdEncoding.EncodeToString([]byte("web:" + secret))
		for _, form := range []string{secret, url.QueryEscape(secret), encoded, secret[strings.LastIndexByte(secret, '.')+1:]} {
			if strings.Contains(got, form) {
				t.Errorf("the log holds the %s", name)
			}
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestLogsTellTheReason: where the engine stands between the store and the log, the
// log has what the store said, and not the engine's code and stack.
func TestLogsTellTheReason(t *testing.T) {
	var logs safeBuffer
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{Store: store, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	tokens := op.answer(t, http.MethodPost, "/token", redeem(op.code(t)).values(), nil)
	store.fail("RefreshToken")
	op.answer(t, http.MethodPost, "/token", refreshRequest(tokens.text("refresh_token")).values(), nil)
	if got := logs.String(); !strings.Contains(got, "cause=\""+errStore.Error()+"\"") || strings.Contains(got, ".go:") {
		t.Errorf("log:\n%s", got)
	}
}

// TestAbandonedRequestIsNoFault: whoever hangs up must not fill the log with
// errors.
func TestAbandonedRequestIsNoFault(t *testing.T) {
	var logs safeBuffer
	op := serving(t, provider.Config{Store: openStore(t), Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	op.code(t)
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, func(r *http.Request) { *r = *r.WithContext(gone) })
	op.do(t, http.MethodGet, "/", nil, func(r *http.Request) { *r = *r.WithContext(gone) })
	if got := logs.String(); strings.Contains(got, "level=ERROR") || strings.Count(got, "request abandoned") != 2 {
		t.Errorf("log:\n%s", got)
	}
}

// signInSlowly sends a wrong password, then the right one, and returns the
// fields of the consent page.
func signInSlowly(t *testing.T, op *inProcess, wrong, right string) url.Values {
	t.Helper()
	location := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
	form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
	form.Set("username", "alice")
	for _, password := range []string{wrong, right} {
		form.Set("password", password)
		location = op.do(t, http.MethodPost, "/login", form, nil).Header().Get("Location")
	}
	return inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
}
