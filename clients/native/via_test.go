package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/native"
)

// backend is a frontend-driven application's backend in front of an issuer.
type backend struct {
	*httptest.Server
	issuer *issuer
	config func(map[string]any) // changes /auth/config
	answer func(map[string]any) // changes the answer to the exchange
	status int
	got    map[string]string // the exchange's request
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{issuer: startIssuer(t), status: http.StatusOK}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /app/auth/config", func(w http.ResponseWriter, _ *http.Request) {
		m := map[string]any{
			"issuer": b.issuer.URL, "authorization_endpoint": b.issuer.URL + "/authorize", "client_id": "app", "scope": "openid profile",
		}
		if b.config != nil {
			b.config(m)
		}
		writeJSON(w, m)
	})
	mux.HandleFunc("POST /app/auth/exchange", func(w http.ResponseWriter, r *http.Request) {
		json.NewDecoder(r.Body).Decode(&b.got) //nolint:errcheck // an empty map fails the test
		if b.status != http.StatusOK {
			w.WriteHeader(b.status)
			writeJSON(w, map[string]any{"error": "invalid_grant", "error_description": "no"})
			return
		}
		m := map[string]any{
			"access_token": "app-access", "refresh_token": "app-refresh", "expires_in": 60, "token_type": "Bearer",
			"user": map[string]any{"sub": "alice-1", "name": "Alice Liddell"},
		}
		if b.answer != nil {
			b.answer(m)
		}
		writeJSON(w, m)
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func TestVia(t *testing.T) {
	b := startBackend(t)
	pages := make(chan seen, 1)
	r, err := native.Login(t.Context(), native.Config{Via: b.URL + "/app/", Issuer: "https://ignored.example", Open: browse(t, pages)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens.Expiry.IsZero() {
		t.Error("no expiry")
	}
	want := &native.Result{
		Issuer: b.issuer.URL, ClientID: "app", Via: b.URL + "/app", Subject: "alice-1",
		Claims: map[string]any{"sub": "alice-1", "name": "Alice Liddell"},
		Tokens: native.Tokens{Access: "app-access", Type: "Bearer", Refresh: "app-refresh", Expiry: r.Tokens.Expiry},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if p := <-pages; !strings.Contains(p.body, "Signed in as Alice Liddell") {
		t.Error(p.body)
	}
	// The provider was asked as the application, the backend gets what it needs.
	if b.issuer.request.Get("client_id") != "app" || b.issuer.request.Get("scope") != "openid profile" || b.issuer.request.Has("prompt") {
		t.Errorf("authorization request: %v", b.issuer.request)
	}
	verifier := b.got["code_verifier"]
	delete(b.got, "code_verifier")
	wantBody := map[string]string{"code": code, "nonce": b.issuer.request.Get("nonce"), "redirect_uri": b.issuer.request.Get("redirect_uri")}
	if diff := cmp.Diff(wantBody, b.got); diff != "" || len(verifier) < 43 {
		t.Error(diff)
	}
	if b.issuer.posted != nil {
		t.Error("the program redeemed the code itself")
	}
}

func TestViaRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrong func(*backend)
		want  error
	}{
		{"iss of another (mix-up)", func(b *backend) { b.issuer.callback = func(v url.Values) { v.Set("iss", "https://evil.example") } }, native.ErrIssuer},
		{"iss announced and missing", func(b *backend) {
			b.config = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
			b.issuer.callback = func(v url.Values) { v.Del("iss") }
		}, native.ErrIssuer},
		{"no web address", func(b *backend) {
			b.config = func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" }
		}, native.ErrInsecureURL},
		{"no issuer", func(b *backend) { b.config = func(m map[string]any) { delete(m, "issuer") } }, native.ErrBackend},
		{"no client_id", func(b *backend) { b.config = func(m map[string]any) { delete(m, "client_id") } }, native.ErrBackend},
		{"no access token", func(b *backend) { b.answer = func(m map[string]any) { delete(m, "access_token") } }, native.ErrBackend},
		{"no user", func(b *backend) { b.answer = func(m map[string]any) { delete(m, "user") } }, native.ErrBackend},
		{"a user without sub", func(b *backend) { b.answer = func(m map[string]any) { m["user"] = map[string]any{} } }, native.ErrBackend},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBackend(t)
			tt.wrong(b)
			open := func(ctx context.Context, target string) error {
				go get(t, ctx, target, nil)
				return nil
			}
			if r, err := native.Login(t.Context(), native.Config{Via: b.URL + "/app", Open: open}); !errors.Is(err, tt.want) || r != nil {
				t.Errorf("got %v, %v; want %v", r, err, tt.want)
			}
		})
	}
}

func TestViaThatRefusesTheCode(t *testing.T) {
	b := startBackend(t)
	b.status = http.StatusBadRequest
	_, err := native.Login(t.Context(), native.Config{Via: b.URL + "/app", Open: browse(t, make(chan seen, 1))})
	refusal, ok := errors.AsType[*native.TokenError](err)
	if !ok || refusal.Status != http.StatusBadRequest || refusal.Code != "invalid_grant" {
		t.Errorf("got %v", err)
	}
}

// What is no backend at all is not said to have refused a code: there is none yet.
func TestViaWhereNoBackendIs(t *testing.T) {
	b := startBackend(t)
	_, err := native.Login(t.Context(), native.Config{Via: b.URL + "/elsewhere"})
	if err == nil || !strings.Contains(err.Error(), "it gave no configuration: status 404") || strings.Contains(err.Error(), "redeemed") {
		t.Errorf("got %v", err)
	}
}
