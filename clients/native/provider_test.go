package native_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/native"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// startProvider runs the real provider with the lab's native client.
func startProvider(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: []provider.Client{{
		ID: "native", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"http://127.0.0.1/callback"},
		GrantTypes: []string{"authorization_code", "refresh_token"},
	}}})
}

func TestLoginAtProvider(t *testing.T) {
	op := startProvider(t)
	browser := providertest.NewBrowser(t)
	pages := make(chan seen, 1)
	open := func(ctx context.Context, target string) error {
		callback := browser.SignIn(target, "alice", "alice")
		go func() { pages <- get(t, ctx, callback.String(), nil) }()
		return nil
	}
	r, err := native.Login(t.Context(), native.Config{Issuer: op.URL(), Open: open})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name() != "Alice Liddell" || r.Claims["email"] != "alice@example.com" || r.Tokens.Access == "" || r.Tokens.Refresh == "" || r.Tokens.ID == "" {
		t.Errorf("got %+v", *r)
	}
	if p := <-pages; !strings.Contains(p.body, "Signed in as Alice Liddell") {
		t.Error(p.body)
	}
}

func TestDeniedAtProvider(t *testing.T) {
	op := startProvider(t)
	browser := providertest.NewBrowser(t)
	open := func(ctx context.Context, target string) error {
		login := browser.Get(target)
		consent := browser.Submit(login, "submit", map[string]string{"username": "bob", "password": "bob"})
		callback := browser.Submit(consent, "deny", nil).Callback
		go get(t, ctx, callback.String(), nil)
		return nil
	}
	_, err := native.Login(t.Context(), native.Config{Issuer: op.URL(), Open: open})
	if refusal, ok := errors.AsType[*native.AuthorizationError](err); !ok || refusal.Code != "access_denied" {
		t.Errorf("got %v", err)
	}
}

// TestProviderNeedsTheVerifier shows that PKCE holds: a code that was asked
// for with another challenge is of no use to this login (RFC 7636 §4.6).
func TestProviderNeedsTheVerifier(t *testing.T) {
	op := startProvider(t)
	browser := providertest.NewBrowser(t)
	open := func(ctx context.Context, target string) error {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		param("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")(u) // RFC 7636 appendix B
		callback := browser.SignIn(u.String(), "alice", "alice")
		go get(t, ctx, callback.String(), nil)
		return nil
	}
	_, err := native.Login(t.Context(), native.Config{Issuer: op.URL(), Open: open})
	if refusal, ok := errors.AsType[*native.TokenError](err); !ok || refusal.Code != "invalid_grant" {
		t.Errorf("got %v", err)
	}
}

func TestProviderIsDown(t *testing.T) {
	op := startProvider(t)
	browser := providertest.NewBrowser(t)
	open := func(ctx context.Context, target string) error {
		callback := browser.SignIn(target, "alice", "alice")
		op.SetDown(true)
		go get(t, ctx, callback.String(), nil)
		return nil
	}
	_, err := native.Login(t.Context(), native.Config{Issuer: op.URL(), Open: open})
	if refusal, ok := errors.AsType[*native.TokenError](err); !ok || refusal.Status != 503 {
		t.Errorf("got %v", err)
	}
}
