package provider_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// The tests of this file rotate the keys of several providers on one store.

// keyReplicas are two providers with the store's keys.
func keyReplicas(t *testing.T, store storage.Store) (a, b *inProcess) {
	t.Helper()
	providertest.LendKeys(t, store)
	a, b = serving(t, provider.Config{Store: store}), serving(t, provider.Config{Store: store})
	for _, op := range []*inProcess{a, b} {
		if err := op.provider().Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// readJWKS reads /jwks, which must be answered. etag is what is known already.
func readJWKS(t *testing.T, op *inProcess, etag string) answer {
	t.Helper()
	a := op.answer(t, http.MethodGet, "/jwks", nil, func(r *http.Request) { r.Header.Set("If-None-Match", etag) })
	if a.Status != http.StatusOK && a.Status != http.StatusNotModified {
		t.Fatalf("jwks: %d %s", a.Status, a.Raw)
	}
	return a
}

// TestRotationIsSeenAtReplicas: whoever gets a token of one provider finds its key
// at the other, with no time between.
func TestRotationIsSeenAtReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := keyReplicas(t, storagetest.NewModel())
		before := readJWKS(t, b, "")
		rotateNow(t, a)
		token := a.token(t, redeem(a.code(t))).text("id_token")
		kid, _ := headerOf(t, token)["kid"].(string)
		after := readJWKS(t, b, before.Header.Get("ETag"))
		if after.Status != http.StatusOK || after.Header.Get("ETag") == before.Header.Get("ETag") {
			t.Errorf("b has the keys of before: %d, ETag %s", after.Status, after.Header.Get("ETag"))
		}
		if keys := jwksOf(t, b); keys[kid] == "" || !maps.Equal(keys, jwksOf(t, a)) {
			t.Errorf("b publishes %v, and a signs with %s", keys, kid)
		}
		// From then on nothing changes.
		if again := readJWKS(t, b, ""); again.Raw != after.Raw || again.Header.Get("ETag") != after.Header.Get("ETag") {
			t.Errorf("other bytes: %s", again.Raw)
		}
		if again := readJWKS(t, b, after.Header.Get("ETag")); again.Status != http.StatusNotModified || again.Raw != "" {
			t.Errorf("answer %d %s", again.Status, again.Raw)
		}
		rotateNow(t, b)
		if got, want := states(t, a, "ES256"), states(t, b, "ES256"); !slices.Equal(got[provider.KeyCurrent], want[provider.KeyCurrent]) {
			t.Errorf("the operator is shown %v at a, %v at b", got, want)
		}
	})
}

// hangingStore answers questions about keys when their context ends.
type hangingStore struct {
	storage.Store
	hangs atomic.Bool
}

func (s *hangingStore) hang(ctx context.Context) error {
	if !s.hangs.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *hangingStore) KeysVersion(ctx context.Context) (uint64, error) {
	if err := s.hang(ctx); err != nil {
		return 0, err
	}
	return s.Store.KeysVersion(ctx)
}

func (s *hangingStore) Keys(ctx context.Context) ([]storage.Key, error) {
	if err := s.hang(ctx); err != nil {
		return nil, err
	}
	return s.Store.Keys(ctx)
}

// TestKeysWhileTheStoreFails: those that are known are served, until the store can
// be asked again.
func TestKeysWhileTheStoreFails(t *testing.T) {
	for _, method := range []string{"KeysVersion", "Keys"} {
		t.Run(method, func(t *testing.T) {
			store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
			a, b := keyReplicas(t, store)
			before := readJWKS(t, b, "")
			rotateNow(t, a)
			store.fail(method)
			if got := readJWKS(t, b, ""); got.Raw != before.Raw {
				t.Errorf("answer %s", got.Raw)
			}
			store.repair()
			if got := readJWKS(t, b, ""); got.Raw == before.Raw {
				t.Error("the keys of before are served when the store can be asked again")
			}
		})
	}
}

// TestKeysWhileTheStoreHangs: nobody waits long.
func TestKeysWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hangingStore{Store: storagetest.NewModel()}
		a, b := keyReplicas(t, store)
		before := readJWKS(t, b, "")
		rotateNow(t, a)
		store.hangs.Store(true)
		defer store.hangs.Store(false)
		pass(time.Minute) // the look that is due hangs, too
		began := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if got := readJWKS(t, b, ""); got.Raw != before.Raw {
					t.Errorf("answer %s", got.Raw)
				}
			})
		}
		both.Wait()
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("answered after %s", waited)
		}
	})
}

// countingStore counts how often the keys themselves are read.
type countingStore struct {
	storage.Store
	reads atomic.Int32
}

func (s *countingStore) Keys(ctx context.Context) ([]storage.Key, error) {
	s.reads.Add(1)
	return s.Store.Keys(ctx)
}

// TestKeysAreReadWhenTheyChange: and not at each request.
func TestKeysAreReadWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{Store: storagetest.NewModel()}
		a, b := keyReplicas(t, store)
		readJWKS(t, b, "")
		rotateNow(t, a)
		// The same keys, written once more: the version is another one.
		keys, err := store.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Commit(t.Context(), storage.Changes{Keys: keys}); err != nil {
			t.Fatal(err)
		}
		for _, op := range []*inProcess{a, b} {
			store.reads.Store(0)
			for range 10 {
				readJWKS(t, op, "")
			}
			if n := store.reads.Load(); n != 1 {
				t.Errorf("read %d times, want once", n)
			}
		}
	})
}

// BenchmarkJWKS compares GET /jwks with keys of the store, which is asked whether
// they have changed, with keys that cannot.
func BenchmarkJWKS(b *testing.B) {
	for _, bb := range []struct {
		name   string
		config provider.Config
	}{{"fixed", provider.Config{FixedKeys: fixedKeys()}}, {"stored", provider.Config{}}} {
		b.Run(bb.name, func(b *testing.B) {
			store, err := bolt.Open(filepath.Join(b.TempDir(), "op.db"), &bolt.Options{NoSync: true})
			if err != nil {
				b.Fatal(err)
			}
			bb.config.Issuer, bb.config.Store, bb.config.Clients = "http://op.localhost", store, providertest.DefaultClients()
			providertest.LendKeys(b, store)
			p, err := provider.New(b.Context(), bb.config)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _, _ = p.Close(), store.Close() })
			if err := p.Ready(b.Context()); err != nil {
				b.Fatal(err)
			}
			benchmarkGet(b, p, "/jwks")
		})
	}
}

func benchmarkGet(b *testing.B, handler http.Handler, path string) {
	b.Helper()
	b.ReportAllocs()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("answer %d %s", w.Code, w.Body)
		}
	}
}
