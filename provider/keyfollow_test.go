package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// The tests of this file see a rotation from outside: through relying parties
// that keep the JWKS, and when the store fails meanwhile.

// RoundTrip makes the provider a transport, so that a client library can reach
// it where there is no network.
func (op *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	op.handler.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// cachingParty keeps the JWKS as long as it may, and never asks earlier.
type cachingParty struct {
	op      *inProcess
	keys    oidc.StaticKeySet
	expires time.Time
}

func (rp *cachingParty) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	if !time.Now().Before(rp.expires) {
		rec := httptest.NewRecorder()
		rp.op.handler.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/jwks", nil))
		var seconds int
		if _, err := fmt.Sscanf(rec.Header().Get("Cache-Control"), "public, max-age=%d,", &seconds); err != nil {
			return nil, err
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil {
			return nil, err
		}
		rp.expires, rp.keys.PublicKeys = time.Now().Add(time.Duration(seconds)*time.Second), nil
		for _, key := range set.Keys {
			rp.keys.PublicKeys = append(rp.keys.PublicKeys, key.Key)
		}
	}
	return rp.keys.VerifySignature(ctx, token)
}

// TestRelyingPartiesFollowARotation: at every minute of it, all tokens that have
// not expired verify: for a party that never asks for an unknown key, and for
// go-oidc, which does.
func TestRelyingPartiesFollowARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := providertest.DefaultClients()
		clients[0].IDTokenSignedResponseAlg = "ES256"
		op := serving(t, provider.Config{Clients: clients})
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: op})
		discovered, err := oidc.NewProvider(ctx, "http://op.localhost")
		if err != nil {
			t.Fatal(err)
		}
		config := &oidc.Config{ClientID: providertest.PublicClient, SupportedSigningAlgs: []string{"ES256"}}
		verifiers := map[string]*oidc.IDTokenVerifier{
			"caching": oidc.NewVerifier("http://op.localhost", &cachingParty{op: op}, config),
			"go-oidc": discovered.VerifierContext(ctx, config),
		}
		signedBy := map[any]bool{}
		var living []string
		for minute := range 40 {
			if minute == 5 {
				rotate(t, op)
			}
			token := op.token(t, redeem(op.code(t))).text("id_token")
			signedBy[headerOf(t, token)["kid"]] = true
			if living = append(living, token); len(living) > 10 { // lifetimes.id_token
				living = living[1:]
			}
			for name, verifier := range verifiers {
				for age, token := range living {
					if _, err := verifier.Verify(t.Context(), token); err != nil {
						t.Fatalf("minute %d: %s refuses token %d of %d: %v", minute, name, age, len(living), err)
					}
				}
			}
			pass(time.Minute - time.Second)
		}
		if len(signedBy) != 2 {
			t.Errorf("%d keys signed", len(signedBy))
		}
	})
}

// TestRotationNowIsForPartiesThatAsk: the price of not waiting.
func TestRotationNowIsForPartiesThatAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{})
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: op})
		config := &oidc.Config{ClientID: providertest.PublicClient}
		caching := oidc.NewVerifier("http://op.localhost", &cachingParty{op: op}, config)
		asking := oidc.NewVerifier("http://op.localhost", oidc.NewRemoteKeySet(ctx, "http://op.localhost/jwks"), config)
		verify := func(verifier *oidc.IDTokenVerifier) error {
			_, err := verifier.Verify(t.Context(), op.token(t, redeem(op.code(t))).text("id_token"))
			return err
		}
		if err := errors.Join(verify(caching), verify(asking)); err != nil {
			t.Fatal(err)
		}
		rotateNow(t, op)
		if err := verify(asking); err != nil {
			t.Errorf("a party that asks for unknown keys: %v", err)
		}
		if err := verify(caching); err == nil {
			t.Error("a party that does not ask accepts what it cannot know")
		}
		pass(5 * time.Minute)
		if err := verify(caching); err != nil {
			t.Errorf("the same after its cache has expired: %v", err)
		}
	})
}

// TestHintOfAnOldKey: the provider remembers a key for as long as somebody may be
// signed in with an ID token that it signed, then says that it does not.
func TestHintOfAnOldKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := provider.Config{Explain: true, Store: storagetest.NewModel()}
		op := serving(t, config)
		hint := op.token(t, redeem(op.code(t))).text("id_token")
		signedWith := current(t, op, "RS256")
		silent := codeRequest().with(params{"prompt": "none", "id_token_hint": hint})
		rotateNow(t, op)
		pass(overlap - notice) // long after the hint itself has expired
		if got := op.authorize(t, silent); !got.Has("code") {
			t.Errorf("hint of a retiring key: %v", got)
		}
		pass(2 * notice)
		wantKeys(t, op, 0, 0) // it is not published any more
		if got := op.authorize(t, silent); !got.Has("code") {
			t.Errorf("hint of a retired key: %v", got)
		}
		pass(memory - overlap - 2*notice)
		if err := op.provider().Close(); err != nil {
			t.Fatal(err)
		}
		op = serving(t, config)
		if _, known := jwksOf(t, op)[signedWith]; known {
			t.Error("the key is published again after a restart")
		}
		if rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(hint).values().Encode(), nil, nil); rec.Code >= http.StatusBadRequest {
			t.Errorf("at the logout of the oldest session: %d %s", rec.Code, rec.Body)
		}

		pass(overlap + 2*notice)
		got := op.authorize(t, silent)
		const want = "id_token_hint is signed with a key that the provider does not have, or no longer."
		if got.Get("error") != "invalid_request" || !strings.HasPrefix(got.Get("error_description"), want) {
			t.Errorf("hint of a removed key: %v", got)
		}
		rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(hint).values().Encode(), nil, nil)
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("at logout: %d %s", rec.Code, rec.Body)
		}
	})
}

// TestRotationWhileTokensAreIssued: nobody gets an error, and all tokens are good.
func TestRotationWhileTokensAreIssued(t *testing.T) {
	op := serving(t, provider.Config{})
	wantKeys(t, op, 0, 0)
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				own := &inProcess{handler: op.handler, cookies: map[string]string{}}
				form := url.Values{"grant_type": {"client_credentials"}}
				a := own.answer(t, http.MethodPost, "/token", form, asWeb)
				inspect := url.Values{"token": {a.text("access_token")}}
				if got := own.answer(t, http.MethodPost, "/introspect", inspect, asWeb); got.Body["active"] != true {
					t.Errorf("introspection of %d %s: %s", a.Status, a.Raw, got.Raw)
					return
				}
			}
		})
	}
	for range 5 {
		rotateNow(t, op)
	}
	close(done)
	all.Wait()
	wantKeys(t, op, 0, 5)
}

// TestQuickKeysDoNotWait: what is signed with an elliptic curve does not wait for
// RSA keys, and the JWKS does.
func TestQuickKeysDoNotWait(t *testing.T) {
	made := make(chan struct{})
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(c storage.Changes) error {
		if slices.ContainsFunc(c.Keys, func(k storage.Key) bool { return k.Algorithm == "RS256" }) {
			<-made
		}
		return nil
	}}
	op := serving(t, provider.Config{Store: store})
	credentials := url.Values{"grant_type": {"client_credentials"}}
	bounded, cancelBounded := context.WithTimeout(t.Context(), time.Minute) // it would wait for ever
	defer cancelBounded()
	asWebNow := func(r *http.Request) {
		asWeb(r)
		*r = *r.WithContext(bounded)
	}
	if a := op.answer(t, http.MethodPost, "/token", credentials, asWebNow); a.Status != http.StatusOK {
		t.Errorf("a token with ES256: %d %s", a.Status, a.Raw)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"/jwks", "/readyz"} {
		request := func(r *http.Request) { *r = *r.WithContext(impatient) }
		if a := op.answer(t, http.MethodGet, path, nil, request); a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s while RSA keys are made: %d %s", path, a.Status, a.Raw)
		}
	}
	close(made)
	wantKeys(t, op, 0, 0)
}

// TestKeysOfAnOlderVersion: what its store lacks is made at the start.
func TestKeysOfAnOlderVersion(t *testing.T) {
	store := storagetest.NewModel()
	op := serving(t, provider.Config{Store: store})
	old := jwksOf(t, op)
	if err := op.provider().Close(); err != nil {
		t.Fatal(err)
	}
	remove := storage.Changes{}
	for kid, alg := range old {
		if alg == "PS256" || alg == "ES384" {
			remove.DeleteKeys = append(remove.DeleteKeys, kid)
		}
	}
	// The note that they were made would be swept by then.
	if _, err := store.Sweep(t.Context(), time.Now().Add(2*time.Hour), 100); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	op = serving(t, provider.Config{Store: store})
	wantKeys(t, op, 0, 0)
	for kid, alg := range jwksOf(t, op) {
		if removed := alg == "PS256" || alg == "ES384"; removed == (old[kid] != "") {
			t.Errorf("%s: the key is new: %v", alg, removed)
		}
	}
}

// TestStoreFailsDuringRotation: what there is goes on, and the next minute helps.
func TestStoreFailsDuringRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
		op := serving(t, provider.Config{Store: store, KeyRotation: provider.Duration(time.Hour)})
		wantKeys(t, op, 0, 0)
		first := current(t, op, "ES256")
		for _, method := range []string{"Keys", "Commit"} {
			store.fail(method)
			if err := op.provider().RotateKeys(t.Context()); !errors.Is(err, errStore) {
				t.Errorf("%s fails: %v", method, err)
			}
			store.repair()
		}
		store.fail("Keys", "Commit")
		pass(3 * time.Hour)
		if got := current(t, op, "ES256"); got != first {
			t.Errorf("%s signs", got)
		}
		if a := op.answer(t, http.MethodGet, "/jwks", nil, nil); a.Status != http.StatusOK {
			t.Errorf("jwks: %d", a.Status)
		}
		store.repair()
		pass(notice)
		wantKeys(t, op, 1, 0) // with its full lead, however late
	})
}

// TestUnknownKeyWhileTheStoreFails: no token is called bad for our own fault.
func TestUnknownKeyWhileTheStoreFails(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op, other := serving(t, provider.Config{Store: store}), serving(t, provider.Config{})
	wantKeys(t, op, 0, 0)
	foreign := other.token(t, redeem(other.code(t))).text("access_token")
	if got := op.userinfo(t, foreign); got != http.StatusUnauthorized {
		t.Errorf("a foreign token: %d", got)
	}
	store.fail("Keys")
	if got := op.userinfo(t, foreign); got != http.StatusServiceUnavailable {
		t.Errorf("when the store cannot say: %d", got)
	}
}

// TestKeysComeLater: a store that fails at the start is asked again.
func TestKeysComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(c storage.Changes) error {
			if len(c.Keys) > 0 && c.Keys[0].Use == "sig" {
				return errStore
			}
			return nil
		}}
		op := serving(t, provider.Config{Store: store})
		if err := op.provider().Ready(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("ready: %v", err)
		}
		for _, rotate := range []func(context.Context, ...string) error{op.provider().RotateKeys, op.provider().RotateKeysNow} {
			if err := rotate(t.Context()); !errors.Is(err, errStore) {
				t.Errorf("rotate: %v", err)
			}
		}
		if _, err := op.provider().SigningKeys(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("keys: %v", err)
		}
		store.setOnCommit(nil)
		pass(time.Second)
		wantKeys(t, op, 0, 0)
	})
}
