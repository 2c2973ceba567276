package provider_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// unsignedClients: the public one gets ID tokens without a signature.
func unsignedClients() []provider.Client {
	clients := providertest.DefaultClients()
	clients[0].IDTokenSignedResponseAlg = "none"
	clients[0].ResponseTypes = []string{"code", "code token"}
	return clients
}

func startUnsigned(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: unsignedClients(), Configure: allowUnsigned})
}

func allowUnsigned(c *provider.Config) { c.InsecureUnsignedIDTokens = true }

// TestUnsignedIDTokens: the token is all that another one is, but for what needs
// an algorithm.
func TestUnsignedIDTokens(t *testing.T) {
	op := startUnsigned(t)
	redeemed := tokensFor(t, op, codeRequest())
	refreshed := postForm(t, op.URL()+"/token", refreshRequest(redeemed.text("refresh_token")), nil)
	for name, a := range map[string]answer{"redeemed": redeemed, "refreshed": refreshed} {
		token := a.text("id_token")
		if diff := cmp.Diff(map[string]any{"alg": "none", "typ": "JWT"}, headerOf(t, token)); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", name, diff)
		}
		if !strings.HasSuffix(token, ".") {
			t.Errorf("%s: a signature: %s", name, token)
		}
		claims := claimsOf(t, token)
		for claim, want := range map[string]any{"iss": op.URL(), "aud": providertest.PublicClient, "sub": "248289761001", "at_hash": nil} {
			if claims[claim] != want {
				t.Errorf("%s: %s: %v, want %v", name, claim, claims[claim], want)
			}
		}
	}
	if claimsOf(t, redeemed.text("id_token"))["nonce"] != "nonce-0123456789" {
		t.Error("without its nonce")
	}
	if got := headerOf(t, tokensOf(t, op, providertest.ConfidentialClient, "openid").text("id_token"))["alg"]; got != "RS256" {
		t.Errorf("another client's ID token has alg %v", got)
	}
}

// TestUnsignedIDTokenIsNoHint: anybody could have written it.
func TestUnsignedIDTokenIsNoHint(t *testing.T) {
	op := startUnsigned(t)
	b := providertest.NewBrowser(t)
	code := b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice").Query().Get("code")
	hint := postForm(t, op.URL()+"/token", redeem(code), nil).text("id_token")
	silent := codeRequest().with(params{"prompt": "none", "id_token_hint": hint})
	wantRedirectError(t, op, b.Get(authorizeURL(op, silent)), "query", "invalid_request")
	wantErrorPage(t, b.Get(op.URL()+"/logout?"+goodLogout(hint).values().Encode()), "invalid_request", "id_token_hint")
}

// TestUnsignedSwitchIsSaid at the start, in the metadata and on the pages.
func TestUnsignedSwitchIsSaid(t *testing.T) {
	const name = "insecure_unsigned_id_tokens"
	for _, on := range []bool{true, false} {
		var logs safeBuffer
		op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
			if on {
				c.Clients = unsignedClients()
			}
			c.InsecureUnsignedIDTokens, c.Logger = on, slog.New(slog.NewTextHandler(&logs, nil))
		}})
		if got := strings.Contains(logs.String(), name+" is on"); got != on {
			t.Errorf("%v: in the log: %v", on, got)
		}
		algs, _ := get(t, op.URL()+openIDConfiguration, nil).Body["id_token_signing_alg_values_supported"].([]any)
		if got := algs[len(algs)-1] == "none"; got != on {
			t.Errorf("%v: metadata: %v", on, algs)
		}
		if algs[0] != "RS256" {
			t.Errorf("%v: RS256 is missing: %v", on, algs)
		}
		b := providertest.NewBrowser(t)
		login := b.Get(authorizeURL(op, codeRequest()))
		consent := b.Submit(login, "submit", map[string]string{"username": "alice", "password": "alice"})
		for page, text := range map[string]string{"login": login.Body, "consent": consent.Body} {
			if got := strings.Contains(text, name); got != on {
				t.Errorf("%v: on the %s page: %v", on, page, got)
			}
		}
	}
}

// TestRegisterForUnsignedIDTokens: with the switch, and never for what comes
// through the browser.
func TestRegisterForUnsignedIDTokens(t *testing.T) {
	unsigned := publicDocument().with(document{"id_token_signed_response_alg": "none"})
	hybrid := unsigned.with(document{
		"response_types": []string{"code id_token"}, "grant_types": []string{"authorization_code", "implicit"},
	})
	on, off := providertest.Start(t, &providertest.Options{Configure: allowUnsigned}), providertest.Start(t, nil)
	for name, a := range map[string]answer{
		"without the switch": register(t, off, unsigned), "through the browser": register(t, on, hybrid),
	} {
		if a.Status != http.StatusBadRequest || a.text("error") != "invalid_client_metadata" ||
			!strings.HasPrefix(a.text("error_description"), "id_token_signed_response_alg") {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
	}
	client := registered(t, on, unsigned)
	if got := headerOf(t, dynamicTokens(t, on, client).text("id_token"))["alg"]; got != "none" {
		t.Errorf("alg %v", got)
	}

	// The operator turns the switch off.
	code := signIn(t, on, codeRequest().with(params{"client_id": client.text("client_id")})).Get("code")
	after := sameStore(t, on, nil, nil)
	a := after.token(t, redeem(code).with(params{"client_id": client.text("client_id")}))
	wantError(t, a, http.StatusBadRequest, "unauthorized_client")
	if !strings.HasPrefix(a.text("error_description"), "The client is registered for ID tokens without a signature") {
		t.Errorf("error_description %q", a.text("error_description"))
	}
}
