package providertest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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
	keys := borrow()
	if keys == nil {
		keys = []storage.Key{newRSAKey(tb, "RS256"), newRSAKey(tb, "PS256")}
	}
	tb.Cleanup(func() {
		lender.Lock()
		defer lender.Unlock()
		lender.free = append(lender.free, keys)
	})
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

// newRSAKey makes a key as the provider would.
func newRSAKey(tb testing.TB, alg string) storage.Key {
	tb.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatalf("make an RSA key: %v", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private}).Thumbprint(crypto.SHA256)
	if err != nil {
		tb.Fatalf("name an RSA key: %v", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatalf("encode an RSA key: %v", err)
	}
	return storage.Key{ID: base64.RawURLEncoding.EncodeToString(thumbprint), Use: "sig", Algorithm: alg, Material: der}
}
