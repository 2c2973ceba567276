package api_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/clients/api"
)

func TestKeysAreFetchedOnceAndAgainForANewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.api.Close()
		verify := func() error {
			_, err := b.api.Verify(t.Context(), b.provider.token(t, nil))
			return err
		}
		for range 3 {
			if err := verify(); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.provider.asked(); got != 1 {
			t.Errorf("keys fetched %d times for one key", got)
		}

		// A kid that nobody knows costs one fetch, however often it is sent.
		time.Sleep(time.Minute)
		unknown := withKid(t, b.provider, "k9")
		for range 20 {
			if _, err := b.api.Verify(t.Context(), unknown); !errors.Is(err, api.ErrKey) {
				t.Fatal(err)
			}
		}
		if got := b.provider.asked(); got != 2 {
			t.Errorf("keys fetched %d times, want 2", got)
		}

		time.Sleep(time.Minute)
		b.provider.rotate(t, "k2", "ES256")
		if err := verify(); err != nil {
			t.Errorf("after rotation: %v", err)
		}
	})
}

func TestWithdrawnKeyIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.api.Close()
		token := b.provider.token(t, claims{"exp": time.Now().Add(time.Hour).Unix()})
		if _, err := b.api.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		b.provider.rotate(t, "k2", "ES256")
		time.Sleep(10 * time.Minute)
		if _, err := b.api.Verify(t.Context(), token); !errors.Is(err, api.ErrKey) {
			t.Errorf("got %v", err)
		}
	})
}

func TestIssuerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.api.Close()
		token := b.provider.token(t, claims{"exp": time.Now().Add(time.Hour).Unix()})

		b.provider.setDown(true)
		resp := b.call(t, "GET", "/api/me", token, "")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("never seen its keys: status %d, %v", resp.StatusCode, resp.Header)
		}

		// It is asked again as soon as a token comes.
		b.provider.setDown(false)
		if resp := b.call(t, "GET", "/api/me", token, ""); resp.StatusCode != http.StatusOK {
			t.Errorf("back again: status %d", resp.StatusCode)
		}

		// Old keys serve while the issuer is away, and it is not asked for each call.
		b.provider.setDown(true)
		time.Sleep(10 * time.Minute)
		b.provider.refused = 0
		for range 5 {
			if resp := b.call(t, "GET", "/api/me", token, ""); resp.StatusCode != http.StatusOK {
				t.Errorf("away with known keys: status %d", resp.StatusCode)
			}
		}
		if b.provider.refused != 2 { // metadata at two places, once
			t.Errorf("asked %d times", b.provider.refused)
		}
	})
}

func TestOneFetchForManyCallers(t *testing.T) {
	b := newBench(t)
	token := b.provider.token(t, nil)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := b.api.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.provider.asked(); got > 3 {
		t.Errorf("keys fetched %d times", got)
	}
}

func TestKeyDocumentsAreChecked(t *testing.T) {
	ok := newIssuer(t, providerURL, "RS256")
	for name, handler := range map[string]http.HandlerFunc{
		"metadata of another issuer": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"issuer":"` + appURL + `","jwks_uri":"` + providerURL + `/jwks"}`))
		},
		"metadata without jwks_uri": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"issuer":"` + providerURL + `"}`))
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`<html>`)) },
		"too much": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/jwks" {
				ok.ServeHTTP(w, r)
				return
			}
			w.Write([]byte(`{"keys":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			a, err := api.New(api.Config{
				Issuers: []api.Issuer{{URL: providerURL, Audience: audience}}, DBPath: t.TempDir() + "/api.db",
				HTTPClient: &http.Client{Transport: network{providerURL: handler}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if _, err := a.Verify(t.Context(), b.provider.token(t, nil)); !errors.Is(err, api.ErrKeysUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}
