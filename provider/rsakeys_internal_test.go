package provider

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// heldStore does not store the keys of some algorithms before it may.
type heldStore struct {
	storage.Store
	held []string
	may  chan struct{}
}

func (s *heldStore) Commit(ctx context.Context, c storage.Changes) error {
	if slices.ContainsFunc(c.Keys, func(k storage.Key) bool { return slices.Contains(s.held, k.Algorithm) }) {
		<-s.may
	}
	return s.Store.Commit(ctx, c)
}

// TestFirstKeysDoNotWait: what needs no RSA key waits for none, and RS256 does not
// wait for the key of PS256.
func TestFirstKeysDoNotWait(t *testing.T) {
	for _, tt := range []struct {
		held      []string
		available []jose.SignatureAlgorithm
	}{
		{[]string{"PS256"}, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256}},
		{[]string{"PS256", "RS256"}, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA}},
	} {
		store := &heldStore{storagetest.NewModel(), tt.held, make(chan struct{})}
		keys := openTestKeyring(t, &Config{Store: store})
		for _, alg := range tt.available {
			if _, err := keys.signer(t.Context(), alg); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
		select {
		case <-keys.ready:
			t.Errorf("ready without %v", tt.held)
		default:
		}
		close(store.may)
		if err := keys.wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestFirstRSAKey: the key that is made first is used first, and none of those in the
// making is used twice or lost.
func TestFirstRSAKey(t *testing.T) {
	slow, quick := newTestKey(t, jose.RS256).Key, newTestKey(t, jose.RS256).Key
	coming := &rsaKeys{coming: 2, made: make(chan rsaKey, 2)}
	coming.made <- rsaKey{key: quick.(*rsa.PrivateKey)}
	coming.made <- rsaKey{key: slow.(*rsa.PrivateKey)}
	plan, now := keyPlan{rsaKeys: coming}, time.Now()
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256} {
		var err error
		if plan, err = plan.withFirst([]jose.SignatureAlgorithm{alg}, now); err != nil {
			t.Fatal(err)
		}
	}
	for alg, want := range map[jose.SignatureAlgorithm]any{jose.RS256: quick, jose.PS256: slow} {
		got, err := x509.ParsePKCS8PrivateKey(plan.last(alg).Material)
		if err != nil || !want.(*rsa.PrivateKey).Equal(got) {
			t.Errorf("%s: another key, %v", alg, err)
		}
	}
	another, err := coming.next()
	if err != nil || another.Equal(quick) || another.Equal(slow) {
		t.Errorf("a third key: %v", err)
	}
}

// TestRSAKeyThatCannotBeMade: whoever waits for it is told.
func TestRSAKeyThatCannotBeMade(t *testing.T) {
	refused := errors.New("no randomness")
	coming := &rsaKeys{coming: 1, made: make(chan rsaKey, 1)}
	coming.made <- rsaKey{err: refused}
	if _, err := (keyPlan{rsaKeys: coming}).withFirst([]jose.SignatureAlgorithm{jose.RS256}, time.Now()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// TestRSAKeysThatAreThere: none is made for an algorithm that has one.
func TestRSAKeysThatAreThere(t *testing.T) {
	store := storagetest.NewModel()
	keys := openTestKeyring(t, &Config{Store: store})
	if n := keys.lacking(t.Context(), []jose.SignatureAlgorithm{jose.HS256, jose.PS384}); n != 2 {
		t.Errorf("%d are lacking, want 2", n)
	}
	if err := keys.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := keys.lacking(t.Context(), rsaAlgorithms); n != 0 {
		t.Errorf("%d are lacking, want none", n)
	}
}
