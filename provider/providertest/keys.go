package providertest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/oidclab/oidclab/storage"
)

// lender has RSA keys that no running server uses.
var lender struct {
	sync.Mutex
	free [][]storage.Key
}

// LendKeys puts RSA keys into an empty store until the test ends: to make new
// ones takes longer than all the rest of a provider's start. Two providers that
// run at the same time never have the same keys; one that comes after another
// may.
func LendKeys(tb testing.TB, store storage.Store) {
	tb.Helper()
	if lend(tb, store) {
		return
	}
	keys, err := newRSAKeys()
	if err != nil {
		tb.Fatal(err)
	}
	put(tb, store, keys)
}

// lend is LendKeys where there are keys that nobody uses, and reports whether there
// are.
func lend(tb testing.TB, store storage.Store) bool {
	tb.Helper()
	keys := borrow()
	if keys != nil {
		put(tb, store, keys)
	}
	return keys != nil
}

// put stores keys, and has them given back at the end.
func put(tb testing.TB, store storage.Store, keys []storage.Key) {
	tb.Helper()
	tb.Cleanup(func() { giveBack(keys) })
	now := time.Now().UTC()
	changes := storage.Changes{At: now}
	for _, key := range keys {
		key.CreatedAt = now
		changes.Keys = append(changes.Keys, key)
	}
	if err := store.Commit(tb.Context(), changes); err != nil {
		tb.Fatalf("store RSA keys: %v", err)
	}
}

func giveBack(keys []storage.Key) {
	lender.Lock()
	defer lender.Unlock()
	lender.free = append(lender.free, keys)
}

// takeOver takes the RSA keys that a provider has made, which is gone, for the next
// one. A test may have left none.
func takeOver(ctx context.Context, store storage.Store) {
	stored, err := store.Keys(ctx)
	if err != nil {
		return
	}
	var keys []storage.Key
	for _, alg := range rsaAlgorithms {
		if i := slices.IndexFunc(stored, func(k storage.Key) bool { return k.Algorithm == alg }); i >= 0 {
			key := stored[i]
			keys = append(keys, storage.Key{ID: key.ID, Use: key.Use, Algorithm: key.Algorithm, Material: key.Material})
		}
	}
	if len(keys) == len(rsaAlgorithms) {
		giveBack(keys)
	}
}

// borrow takes keys from those that nobody uses; nil if there are none.
func borrow() []storage.Key {
	lender.Lock()
	defer lender.Unlock()
	last := len(lender.free) - 1
	if last < 0 {
		return nil
	}
	keys := lender.free[last]
	lender.free = lender.free[:last]
	return keys
}

// rsaAlgorithms have keys that take a while to make.
var rsaAlgorithms = []string{"RS256", "PS256"}

// newRSAKeys makes a key for each of them.
func newRSAKeys() ([]storage.Key, error) {
	keys := make([]storage.Key, len(rsaAlgorithms))
	var group errgroup.Group
	for i, alg := range rsaAlgorithms {
		group.Go(func() (err error) {
			keys[i], err = newRSAKey(alg)
			return err
		})
	}
	return keys, group.Wait()
}

// newRSAKey makes a key as the provider would.
func newRSAKey(alg string) (storage.Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return storage.Key{}, fmt.Errorf("make an RSA key: %w", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private}).Thumbprint(crypto.SHA256)
	if err != nil {
		return storage.Key{}, fmt.Errorf("name an RSA key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return storage.Key{}, fmt.Errorf("encode an RSA key: %w", err)
	}
	return storage.Key{ID: base64.RawURLEncoding.EncodeToString(thumbprint), Use: "sig", Algorithm: alg, Material: der}, nil
}
