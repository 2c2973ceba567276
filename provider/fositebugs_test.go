package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// The tests of this file stand for fosite's open bugs: each fails on an engine
// that is used as it comes.

// PKCE downgrade (ory/fosite#883): fosite forgets the challenge before it
// compares the verifier, so that a second try without a verifier passes.
func TestFositePKCEDowngrade(t *testing.T) {
	op := providertest.Start(t, nil)
	// A confidential client with PKCE: for a public one the second try fails anyway.
	request := webRequest().with(params{"code_challenge": challenge(verifier), "code_challenge_method": "S256"})
	code := signIn(t, op, request).Get("code")
	token := params{"grant_type": "authorization_code", "code": code, "redirect_uri": providertest.RedirectURI}
	wantError(t, postForm(t, op.URL()+"/token", token.with(params{"code_verifier": strings.Repeat("x", 43)}), asWeb), 400, "invalid_grant")
	wantError(t, postForm(t, op.URL()+"/token", token, asWeb), 400, "invalid_grant")
	if a := postForm(t, op.URL()+"/token", token.with(params{"code_verifier": verifier}), asWeb); a.Status != http.StatusOK {
		t.Errorf("the right verifier: %d %s", a.Status, a.Raw)
	}
}

// A verifier without a challenge must not pass either: RFC 9700 §2.1.1.
func TestFositeVerifierWithoutChallenge(t *testing.T) {
	op := providertest.Start(t, nil)
	code := signIn(t, op, webRequest()).Get("code")
	token := params{"grant_type": "authorization_code", "code": code, "redirect_uri": providertest.RedirectURI, "code_verifier": verifier}
	wantError(t, postForm(t, op.URL()+"/token", token, asWeb), 400, "invalid_grant")
}

// Any client that replays another's spent code or refresh token has fosite
// revoke the victim's tokens.
func TestFositeForeignReplayRevokesNothing(t *testing.T) {
	op := providertest.Start(t, nil)
	code := signIn(t, op, codeRequest()).Get("code")
	tokens := postForm(t, op.URL()+"/token", redeem(code), nil)
	foreign := params{"grant_type": "authorization_code", "code": code, "redirect_uri": providertest.RedirectURI, "code_verifier": verifier}
	wantError(t, postForm(t, op.URL()+"/token", foreign, asWeb), 400, "invalid_grant")
	if info := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))); info.Status != http.StatusOK {
		t.Errorf("the victim's access token died of a foreign code: %d", info.Status)
	}
	rotated := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil)
	foreign = params{"grant_type": "refresh_token", "refresh_token": tokens.text("refresh_token")}
	wantError(t, postForm(t, op.URL()+"/token", foreign, asWeb), 400, "invalid_grant")
	if a := postForm(t, op.URL()+"/token", refreshRequest(rotated.text("refresh_token")), nil); a.Status != http.StatusOK {
		t.Errorf("the victim's family died of a foreign refresh token: %d %s", a.Status, a.Raw)
	}
}

// An unknown grant is unsupported_grant_type, not invalid_request; a client
// that must authenticate gets a challenge.
func TestFositeErrorCodes(t *testing.T) {
	op := providertest.Start(t, nil)
	wantError(t, postForm(t, op.URL()+"/token", params{"grant_type": "magic", "client_id": "spa"}, nil), 400, "unsupported_grant_type")
	a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, func(r *http.Request) { r.SetBasicAuth("web", "wrong") })
	wantError(t, a, 401, "invalid_client")
	if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic realm=") {
		t.Errorf("WWW-Authenticate: %q", got)
	}
}

// fosite finds the response type only after the scope, and so sends a hybrid
// request's scope error to the query.
func TestFositeHybridScopeErrorGoesToTheFragment(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].Scope = "openid"
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	request := codeRequest().with(params{"response_type": "code id_token", "scope": "openid email"})
	wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, request)), "fragment", "invalid_scope")
}

// fosite's Arguments ignore case: "OPENID" would count as openid.
func TestFositeScopesAreCaseSensitive(t *testing.T) {
	op := providertest.Start(t, nil)
	tokens := tokensFor(t, op, codeRequest().with(params{"scope": "OPENID profile"}))
	if _, ok := tokens.Body["id_token"]; ok || tokens.text("scope") != "profile" {
		t.Errorf("scope %q, id_token %v", tokens.text("scope"), ok)
	}
	wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{
		"response_type": "id_token", "scope": "OPENID",
	}))), "fragment", "invalid_request")
}

// Plain http to another machine is refused for every response type, where
// fosite's hybrid handler would not look.
func TestFositePlainHTTPRedirects(t *testing.T) {
	store := openStore(t)
	remote := provider.Client{
		ID: "remote", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"http://rp.example/callback"},
		GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"code id_token"},
	}
	config := provider.Config{Issuer: "http://op.localhost", Store: store, Clients: []provider.Client{remote}}
	if _, err := provider.New(t.Context(), config); err == nil || !strings.Contains(err.Error(), "insecure_http_redirect_uris") {
		t.Errorf("error: %v, want one that names the switch", err)
	}
	remote.InsecureHTTPRedirectURIs = true
	op := providertest.Start(t, &providertest.Options{Clients: []provider.Client{remote}})
	request := codeRequest().with(params{"client_id": "remote", "redirect_uri": "http://rp.example/callback", "response_type": "code id_token"})
	if got := signIn(t, op, request); !got.Has("code") {
		t.Errorf("with the switch: %v", keysOf(got))
	}
	// What is weakened says so where it matters.
	b := providertest.NewBrowser(t)
	login := b.Get(authorizeURL(op, request))
	consent := b.Submit(login, "submit", map[string]string{"username": "bob", "password": "bob"})
	for _, page := range []*providertest.Page{login, consent} {
		if !strings.Contains(page.Body, "insecure_http_redirect_uris") {
			t.Errorf("%s does not say that a check is off", page.URL.Path)
		}
	}
}

// A response mode needs no entry in the client's registration.
func TestFositeResponseModesNeedNoRegistration(t *testing.T) {
	op := providertest.Start(t, nil)
	callback := providertest.NewBrowser(t).SignIn(authorizeURL(op, codeRequest().with(params{"response_mode": "fragment"})), "alice", "alice")
	if got := onlyIn(t, callback, "fragment"); !got.Has("code") {
		t.Errorf("parameters: %v", keysOf(got))
	}
}

// fosite takes http and https loopback redirects for the same.
func TestFositeLoopbackSchemesDiffer(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].RedirectURIs = []string{"https://127.0.0.1/callback"}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"redirect_uri": "http://127.0.0.1:8000/callback"})))
	wantErrorPage(t, page, "invalid_request", "redirect_uri")
}
