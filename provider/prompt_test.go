package provider_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// signedIn returns a browser in which alice signed in and allowed the public
// client, and the ID token that it got.
func signedIn(t *testing.T, op *providertest.Server) (b *providertest.Browser, idToken string) {
	t.Helper()
	b = providertest.NewBrowser(t)
	callback := b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice")
	return b, postForm(t, op.URL()+"/token", redeem(callback.Query().Get("code")), nil).text("id_token")
}

func TestPromptNone(t *testing.T) {
	op := providertest.Start(t, nil)
	silent := codeRequest().with(params{"prompt": "none"})
	b, idToken := signedIn(t, op)
	bobs := postForm(t, op.URL()+"/token", redeem(
		providertest.NewBrowser(t).SignIn(authorizeURL(op, codeRequest()), "bob", "bob").Query().Get("code")), nil).text("id_token")
	tests := []struct {
		name    string
		browser *providertest.Browser
		change  params
		want    string
	}{
		{"signed in and allowed", b, nil, ""},
		{"with the user's hint", b, params{"id_token_hint": idToken}, ""},
		{"max_age satisfied", b, params{"max_age": "10000"}, ""},
		{"fewer scopes than allowed", b, params{"scope": "openid"}, ""},
		{"nobody signed in", providertest.NewBrowser(t), nil, "login_required"},
		{"another user's hint", b, params{"id_token_hint": bobs}, "login_required"},
		{"max_age zero", b, params{"max_age": "0"}, "login_required"},
		{"a scope not allowed yet", b, params{"scope": "openid phone"}, "consent_required"},
		{"another client", b, params{"client_id": providertest.ConfidentialClient}, "consent_required"},
		{"another client, no scope", b, params{"client_id": providertest.ConfidentialClient, "scope": ""}, "consent_required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := tt.browser.Get(authorizeURL(op, silent.with(tt.change)))
			if page.Callback == nil {
				t.Fatalf("a page was shown: %d\n%s", page.Status, page.Body)
			}
			got := page.Callback.Query()
			if got.Get("error") != tt.want || got.Has("code") != (tt.want == "") {
				t.Errorf("error %q, code %v; want error %q", got.Get("error"), got.Has("code"), tt.want)
			}
			if got.Get("state") != "state-0123456789" || got.Get("iss") != op.URL() {
				t.Errorf("state %q, iss %q", got.Get("state"), got.Get("iss"))
			}
		})
	}
}

func TestWhatAsksForALogin(t *testing.T) {
	op := providertest.Start(t, nil)
	b, idToken := signedIn(t, op)
	before := claimsOf(t, idToken)["auth_time"]
	for _, tt := range []struct {
		name   string
		change params
		login  bool
	}{
		{"nothing special", nil, false},
		{"max_age satisfied", params{"max_age": "10000"}, false},
		{"unknown parameters, display, locales, hints", params{
			"x": "y", "display": "popup", "ui_locales": "de", "claims_locales": "de", "login_hint": "bob", "acr_values": "1",
		}, false},
		{"prompt=login", params{"prompt": "login"}, true},
		{"prompt=select_account", params{"prompt": "select_account"}, true},
		{"max_age=0", params{"max_age": "0"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page := b.Get(authorizeURL(op, codeRequest().with(tt.change)))
			if got := page.Callback == nil && page.URL.Path == "/login"; got != tt.login {
				t.Fatalf("login page: %v, want %v (%s)", got, tt.login, page.URL)
			}
			if !tt.login {
				return
			}
			done := b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
			if done.Callback == nil {
				t.Fatalf("after the login: %d at %s\n%s", done.Status, done.URL, done.Body)
			}
			tokens := postForm(t, op.URL()+"/token", redeem(done.Callback.Query().Get("code")), nil)
			after := claimsOf(t, tokens.text("id_token"))["auth_time"]
			if after.(float64) < before.(float64) {
				t.Errorf("auth_time %v is before the first %v", after, before)
			}
		})
	}
}

// TestHintOfAnotherUser: who signs in as another than the hint names is not
// asked for ever, the client learns it.
func TestHintOfAnotherUser(t *testing.T) {
	op := providertest.Start(t, nil)
	_, idToken := signedIn(t, op)
	b := providertest.NewBrowser(t)
	page := b.Get(authorizeURL(op, codeRequest().with(params{"id_token_hint": idToken})))
	page = b.Submit(page, "submit", map[string]string{"username": "bob", "password": "bob"})
	wantRedirectError(t, op, page, "query", "login_required")
}

func TestLoginHintFillsTheForm(t *testing.T) {
	op := providertest.Start(t, nil)
	page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"login_hint": "bob"})))
	if page.Field("username") != "bob" {
		t.Errorf("username is %q, want bob", page.Field("username"))
	}
}

// TestPagesShowTheClient: what the registration says of the client is on the
// login and consent pages.
func TestPagesShowTheClient(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].ClientURI, clients[0].LogoURI = "https://rp.example/about", "https://rp.example/logo.png"
	clients[0].PolicyURI, clients[0].TOSURI = "https://rp.example/privacy", "https://rp.example/terms"
	clients[0].InitiateLoginURI = "https://rp.example/start?x=1"
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	b := providertest.NewBrowser(t)
	login := b.Get(authorizeURL(op, codeRequest()))
	consent := b.Submit(login, "submit", map[string]string{"username": "alice", "password": "alice"})
	for _, page := range []*providertest.Page{login, consent} {
		for _, want := range []string{
			clients[0].Name, clients[0].ClientURI, clients[0].LogoURI, clients[0].PolicyURI, clients[0].TOSURI,
			"https://rp.example/start?x=1&amp;iss=" + url.QueryEscape(op.URL()), // OIDC Core §4
		} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("%s does not show %s", page.URL.Path, want)
			}
		}
		if strings.Contains(page.Body, "Weakened") {
			t.Errorf("%s warns of nothing", page.URL.Path)
		}
	}
	b.Submit(consent, "allow", nil)
	if again := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "login"}))); !strings.Contains(again.Body, "asks you to sign in again") {
		t.Error("the page does not say that it is a second login")
	}
}

func TestConsent(t *testing.T) {
	op := providertest.Start(t, nil)
	b := providertest.NewBrowser(t)
	login := func(p params) *providertest.Page {
		page := b.Get(authorizeURL(op, p))
		if page.Callback == nil && page.URL.Path == "/login" {
			page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
		}
		return page
	}
	asked := func(p params) bool {
		page := login(p)
		return page.Callback == nil && page.URL.Path == "/consent"
	}
	t.Run("denied", func(t *testing.T) {
		wantRedirectError(t, op, b.Submit(login(codeRequest()), "deny", nil), "query", "access_denied")
		hybrid := login(codeRequest().with(params{"response_type": "code id_token"}))
		wantRedirectError(t, op, b.Submit(hybrid, "deny", nil), "fragment", "access_denied")
	})
	t.Run("a denial is not remembered as consent", func(t *testing.T) {
		if !asked(codeRequest()) {
			t.Error("no consent page")
		}
	})
	t.Run("allowed once, remembered", func(t *testing.T) {
		if done := b.Submit(login(codeRequest()), "allow", nil); done.Callback == nil || !done.Callback.Query().Has("code") {
			t.Fatalf("no code: %d", done.Status)
		}
		if asked(codeRequest()) {
			t.Error("asked again for the same scopes")
		}
		if !asked(codeRequest().with(params{"scope": "openid profile phone"})) {
			t.Error("not asked for a new scope")
		}
		if !asked(codeRequest().with(params{"client_id": providertest.ConfidentialClient})) {
			t.Error("not asked for another client")
		}
		if !asked(codeRequest().with(params{"prompt": "consent"})) {
			t.Error("not asked at prompt=consent")
		}
	})
	t.Run("scopes add up", func(t *testing.T) {
		b.Submit(login(codeRequest().with(params{"scope": "openid phone"})), "allow", nil)
		if asked(codeRequest().with(params{"scope": "openid phone profile"})) {
			t.Error("asked again for scopes that were allowed one after the other")
		}
	})
	t.Run("no scope is a question, too, once", func(t *testing.T) {
		noScope := codeRequest().with(params{"client_id": providertest.ConfidentialClient, "scope": ""})
		page := login(noScope)
		if page.URL.Path != "/consent" {
			t.Fatalf("not asked: %v", page.Callback)
		}
		b.Submit(page, "allow", nil)
		if asked(noScope) {
			t.Error("asked again")
		}
	})
	t.Run("per user", func(t *testing.T) {
		other := providertest.NewBrowser(t)
		page := other.Get(authorizeURL(op, codeRequest()))
		if page = other.Submit(page, "submit", map[string]string{"username": "bob", "password": "bob"}); page.URL.Path != "/consent" {
			t.Errorf("bob was not asked: %s", page.URL)
		}
	})
	t.Run("prompt=none after prompt=consent given", func(t *testing.T) {
		if page := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "none"}))); page.Callback.Query().Get("code") == "" {
			t.Errorf("callback: %s", page.Callback)
		}
	})
}

func TestSkipConsent(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].SkipConsent = true
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	b := providertest.NewBrowser(t)
	page := b.Submit(b.Get(authorizeURL(op, codeRequest())), "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.Callback == nil {
		t.Fatalf("%d at %s", page.Status, page.URL)
	}
	if page := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "consent"}))); page.URL.Path != "/consent" {
		t.Error("prompt=consent shows no page")
	}
}

func TestScopes(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
		c.Scopes = []provider.Scope{{Name: "notes:read", Description: "Read your notes"}}
	}})
	for _, tt := range []struct {
		name, scope, want string
		change            params
	}{
		{"unknown ones are ignored", "openid nonsense profile", "openid profile", nil},
		{"case matters", "openid OPENID Profile", "openid", nil},
		{"twice is once", "openid email email", "openid email", nil},
		{"the operator's own", "openid notes:read", "openid notes:read", nil},
		{"none at all", "", "", nil},
		{"without openid", "profile", "profile", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tokens := tokensFor(t, op, codeRequest().with(params{"scope": tt.scope}).with(tt.change))
			if got := tokens.text("scope"); got != tt.want {
				t.Errorf("scope %q, want %q", got, tt.want)
			}
			if _, ok := tokens.Body["id_token"]; ok != strings.HasPrefix(tt.want, "openid") {
				t.Errorf("id_token present: %v", ok)
			}
			if _, ok := tokens.Body["refresh_token"]; ok {
				t.Error("a refresh token without offline_access")
			}
		})
	}
	t.Run("offline_access is ignored without a code", func(t *testing.T) {
		got := signIn(t, op, codeRequest().with(params{"response_type": "id_token token"}))
		if strings.Contains(got.Get("scope"), "offline_access") {
			t.Errorf("scope %q", got.Get("scope"))
		}
	})
}

func TestStateAndNonceAreTheClientsBusiness(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, tt := range []struct{ name, state, nonce string }{
		{"short", "x", "y"},
		{"absent", "", ""},
		{"128 characters", strings.Repeat("aZ09-._~", 16), strings.Repeat("n", 43)},
		{"everything", `a b&c=d+e%f#g"h<i>ü`, `a b&c=d+e%f#g"h<i>ü`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := signIn(t, op, codeRequest().with(params{"state": tt.state, "nonce": tt.nonce}))
			if got.Has("state") != (tt.state != "") || got.Get("state") != tt.state {
				t.Errorf("state %q (present: %v), want %q", got.Get("state"), got.Has("state"), tt.state)
			}
			tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil)
			nonce, present := claimsOf(t, tokens.text("id_token"))["nonce"]
			if present != (tt.nonce != "") || present && nonce != tt.nonce {
				t.Errorf("nonce %q (present: %v), want %q", nonce, present, tt.nonce)
			}
		})
	}
}

func TestIDTokenHoldsNothingUnasked(t *testing.T) {
	op := providertest.Start(t, nil)
	claims := claimsOf(t, tokensFor(t, op, codeRequest()).text("id_token"))
	want := []string{"acr", "amr", "at_hash", "aud", "auth_time", "exp", "iat", "iss", "nonce", "sid", "sub"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(claims))); diff != "" {
		t.Error(diff)
	}
}

func TestIDTokenAlgorithmPerClient(t *testing.T) {
	for _, alg := range everyAlgorithm {
		t.Run(alg, func(t *testing.T) {
			clients := providertest.DefaultClients()
			clients[0].IDTokenSignedResponseAlg, clients[0].AccessTokenAlg = alg, alg
			op := providertest.Start(t, &providertest.Options{Clients: clients})
			tokens := tokensFor(t, op, codeRequest())
			for _, token := range []string{"id_token", "access_token"} {
				header := headerOf(t, tokens.text(token))
				if header["alg"] != alg || header["kid"] == "" {
					t.Errorf("%s header: %v", token, header)
				}
			}
			if info := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))); info.Status != http.StatusOK {
				t.Errorf("userinfo: %d %s", info.Status, info.Raw)
			}
		})
	}
}
