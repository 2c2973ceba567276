package provider_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestRestartKeepsEverything: a second process on the same file goes on where
// the first stopped.
func TestRestartKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provider.db")
	var document, sealed string
	var tokens, opaque answer
	var cookies map[string]string
	run := func(use func(op *inProcess)) {
		store, err := bolt.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := provider.New(t.Context(), provider.Config{Issuer: "http://op.localhost", Store: store, Clients: moreClients()})
		if err != nil {
			t.Fatal(err)
		}
		use(&inProcess{handler: p, cookies: maps.Clone(cookies)})
		if err := errors.Join(p.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	run(func(op *inProcess) {
		op.cookies = map[string]string{}
		document = op.answer(t, http.MethodGet, "/jwks", nil, nil).Raw
		tokens = op.token(t, redeem(op.code(t)))
		code := op.authorize(t, codeRequest().with(params{"client_id": opaqueClient})).Get("code")
		opaque = op.token(t, redeem(code).with(params{"client_id": opaqueClient}))
		sealed = op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"prompt": "login"}).values().Encode(), nil, nil).Header().Get("Location")
		cookies = op.cookies
	})
	run(func(op *inProcess) {
		if got := op.answer(t, http.MethodGet, "/jwks", nil, nil).Raw; got != document {
			t.Errorf("the keys changed:\n%s\n%s", document, got)
		}
		for name, token := range map[string]string{"JWT": tokens.text("access_token"), "opaque": opaque.text("access_token")} {
			if got := op.userinfo(t, token); got != http.StatusOK {
				t.Errorf("userinfo, %s: %d", name, got)
			}
		}
		if got := op.token(t, refreshRequest(tokens.text("refresh_token"))); got.Status != http.StatusOK {
			t.Errorf("refresh: %d %s", got.Status, got.Raw)
		}
		if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})); !got.Has("code") {
			t.Errorf("the session: %v", got)
		}
		form := inputs(t, op.do(t, http.MethodGet, sealed, nil, nil).Body.String())
		form.Set("username", "alice")
		form.Set("password", "alice")
		if rec := op.do(t, http.MethodPost, "/login", form, nil); !strings.HasPrefix(rec.Header().Get("Location"), providertest.RedirectURI) {
			t.Errorf("a login that began before: %d to %q", rec.Code, rec.Header().Get("Location"))
		}
		rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(tokens.text("id_token")).values().Encode(), nil, nil)
		if rec.Code != http.StatusSeeOther {
			t.Errorf("an ID token of before as hint: %d", rec.Code)
		}
	})
}

// TestProvidersShareNothing: what one signs or seals, another does not accept.
func TestProvidersShareNothing(t *testing.T) {
	first, second := serving(t, provider.Config{}), serving(t, provider.Config{})
	tokens := first.token(t, redeem(first.code(t)))
	if got := second.userinfo(t, tokens.text("access_token")); got != http.StatusUnauthorized {
		t.Errorf("access token: %d", got)
	}
	wantError(t, second.token(t, refreshRequest(tokens.text("refresh_token"))), 400, "invalid_grant")
	second.cookies = maps.Clone(first.cookies)
	if got := second.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != "login_required" {
		t.Errorf("session: %q", got)
	}
}

// jwksOf is what a provider publishes.
func jwksOf(t *testing.T, op *inProcess) map[string]string {
	t.Helper()
	keys := map[string]string{}
	list, _ := op.answer(t, http.MethodGet, "/jwks", nil, nil).Body["keys"].([]any)
	for _, raw := range list {
		key, _ := raw.(map[string]any)
		keys[key["kid"].(string)] = key["alg"].(string)
	}
	return keys
}

// TestFixedKeys are used as they are, and never stored.
func TestFixedKeys(t *testing.T) {
	store := storagetest.NewModel()
	op := serving(t, provider.Config{Store: store, FixedKeys: fixedKeys()})
	want := map[string]string{"fixed-RS256": "RS256", "fixed-PS256": "PS256", "fixed-ES256": "ES256", "fixed-ES384": "ES384", "fixed-EdDSA": "EdDSA"}
	if diff := cmp.Diff(want, jwksOf(t, op)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	tokens := op.token(t, redeem(op.code(t)))
	for kind, kid := range map[string]string{"id_token": "fixed-RS256", "access_token": "fixed-ES256"} {
		if got := headerOf(t, tokens.text(kind))["kid"]; got != kid {
			t.Errorf("%s is signed with %v, want %s", kind, got, kid)
		}
	}
	stored, err := store.Keys(t.Context())
	if err != nil || len(stored) != 1 || stored[0].Use != "secret" {
		t.Errorf("stored keys: %d, %v", len(stored), err)
	}
}

// TestNewestKeySigns: a key that is followed by another of its algorithm only
// verifies.
func TestNewestKeySigns(t *testing.T) {
	store := storagetest.NewModel()
	before := serving(t, provider.Config{Store: store, FixedKeys: fixedKeys()})
	old := before.token(t, redeem(before.code(t)))
	newer := fixedKeys()[0]
	newer.KeyID, newer.Key = "newer", newRSAKey(t)
	after := serving(t, provider.Config{Store: store, FixedKeys: append(slices.Clone(fixedKeys()), newer)})
	after.cookies = before.cookies
	if got := jwksOf(t, after); len(got) != 6 || got["fixed-RS256"] == "" || got["newer"] == "" {
		t.Errorf("keys %v", got)
	}
	fresh := after.token(t, redeem(after.code(t)))
	if got := headerOf(t, fresh.text("id_token"))["kid"]; got != "newer" {
		t.Errorf("a new ID token is signed with %v", got)
	}
	for name, hint := range map[string]string{"old": old.text("id_token"), "new": fresh.text("id_token")} {
		silent := codeRequest().with(params{"prompt": "none", "id_token_hint": hint})
		if got := after.authorize(t, silent); !got.Has("code") {
			t.Errorf("%s hint: %v", name, got)
		}
	}
}

// TestTokensVerifyByTheJWKS: for a stranger who knows the issuer only.
func TestTokensVerifyByTheJWKS(t *testing.T) {
	for _, alg := range everyAlgorithm {
		t.Run(alg, func(t *testing.T) {
			clients := providertest.DefaultClients()
			clients[0].IDTokenSignedResponseAlg = alg
			op := providertest.Start(t, &providertest.Options{Clients: clients})
			discovered, err := oidc.NewProvider(t.Context(), op.URL())
			if err != nil {
				t.Fatal(err)
			}
			verifier := discovered.Verifier(&oidc.Config{ClientID: providertest.PublicClient, SupportedSigningAlgs: []string{alg}})
			idToken := tokensOf(t, op, providertest.PublicClient, "openid").text("id_token")
			if _, err := verifier.Verify(t.Context(), idToken); err != nil {
				t.Error(err)
			}
			if _, err := verifier.Verify(t.Context(), tamper(idToken, 1)); err == nil {
				t.Error("other claims verify")
			}
		})
	}
}

// TestKeysCannotBeRead: there is no provider without its keys.
func TestKeysCannotBeRead(t *testing.T) {
	for _, method := range []string{"Keys", "Commit"} {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{method: true}}
		_, err := provider.New(t.Context(), provider.Config{Issuer: "http://op.localhost", Store: store})
		if !errors.Is(err, errStore) {
			t.Errorf("%s fails: %v", method, err)
		}
	}
}

// TestNoSigningKeys: what needs them says "try again", the rest goes on.
func TestNoSigningKeys(t *testing.T) {
	tests := []struct {
		name string
		keys []jose.JSONWebKey
		// refuse says what of the store fails.
		refuse func(storage.Changes) error
		stored []storage.Key
	}{
		{name: "they cannot be stored", refuse: func(c storage.Changes) error {
			if len(c.Keys) > 0 && c.Keys[0].Use == "sig" {
				return errStore
			}
			return nil
		}},
		{name: "a stored key is damaged", stored: []storage.Key{{ID: "x", Use: "sig", Algorithm: "RS256", Material: []byte("damaged")}}},
		{name: "an algorithm is missing", keys: fixedKeys()[:4]},
		{name: "a kid twice", keys: changedKey(2, func(k *jose.JSONWebKey) { k.KeyID = "fixed-RS256" })},
		{name: "no kid", keys: changedKey(0, func(k *jose.JSONWebKey) { k.KeyID = "" })},
		{name: "a symmetric key", keys: changedKey(2, func(k *jose.JSONWebKey) { k.Key = []byte("0123456789abcdef0123456789abcdef") })},
		{name: "an algorithm of another kind of key", keys: changedKey(0, func(k *jose.JSONWebKey) { k.Algorithm = "ES256" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: tt.refuse}
			if err := store.Commit(t.Context(), storage.Changes{Keys: tt.stored}); err != nil {
				t.Fatal(err)
			}
			p, err := provider.New(t.Context(), provider.Config{
				Issuer: "http://op.localhost", Store: store, Clients: providertest.DefaultClients(), FixedKeys: tt.keys,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Ready(t.Context()); err == nil {
				t.Fatal("the provider is ready")
			}
			op := &inProcess{handler: p, cookies: map[string]string{}}
			wantUnavailable(t, op.answer(t, http.MethodGet, "/jwks", nil, nil))
			wantUnavailable(t, op.answer(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, asWeb))
			if a := op.answer(t, http.MethodGet, "/readyz", nil, nil); a.Status != http.StatusServiceUnavailable || a.Raw != `{"status":"not ready"}` {
				t.Errorf("readyz: %d %s", a.Status, a.Raw)
			}
			for _, path := range []string{"/healthz", openIDConfiguration} {
				if a := op.answer(t, http.MethodGet, path, nil, nil); a.Status != http.StatusOK {
					t.Errorf("%s: %d", path, a.Status)
				}
			}
		})
	}
}

// changedKey is fixedKeys with a change to one of them.
func changedKey(index int, change func(*jose.JSONWebKey)) []jose.JSONWebKey {
	keys := slices.Clone(fixedKeys())
	change(&keys[index])
	return keys
}

// TestReadyWaits for keys in the making, as long as its caller does.
func TestReadyWaits(t *testing.T) {
	made := make(chan struct{})
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(c storage.Changes) error {
		if len(c.Keys) > 0 && c.Keys[0].Use == "sig" {
			<-made
		}
		return nil
	}}
	p, err := provider.New(t.Context(), provider.Config{Issuer: "http://op.localhost", Store: store})
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Ready(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("before: %v", err)
	}
	op := &inProcess{handler: p}
	if a := op.answer(t, http.MethodGet, openIDConfiguration, nil, nil); a.Status != http.StatusOK {
		t.Errorf("metadata: %d", a.Status)
	}
	close(made)
	if err := p.Ready(t.Context()); err != nil {
		t.Errorf("after: %v", err)
	}
}

// TestAccessTokenIsNoHint: the same key signs both, so "typ" tells them apart.
func TestAccessTokenIsNoHint(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].AccessTokenAlg = "RS256"
	op := serving(t, provider.Config{Clients: clients})
	tokens := op.token(t, redeem(op.code(t)))
	for kind, want := range map[string]string{"id_token": "", "access_token": "invalid_request"} {
		silent := codeRequest().with(params{"prompt": "none", "id_token_hint": tokens.text(kind)})
		if got := op.authorize(t, silent).Get("error"); got != want {
			t.Errorf("%s as hint: error %q, want %q", kind, got, want)
		}
	}
}
