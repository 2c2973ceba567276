package provider

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// signWith signs {"sub":"alice"} with any key, under any kid.
func signWith(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(typeJWT).WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{"sub": "alice"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newTestKey(t *testing.T, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	record, err := newSigningKey(alg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parseKeys([]storage.Key{record}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys[0].JSONWebKey
}

func openTestKeyring(t *testing.T, cfg *Config) *keyring {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = storagetest.NewModel()
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	keys, err := openKeyring(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.close)
	return keys
}

// TestKeyringVerifies: each token has one thing wrong, RFC 8725 §3.
func TestKeyringVerifies(t *testing.T) {
	private := map[jose.SignatureAlgorithm]jose.JSONWebKey{}
	var fixed []jose.JSONWebKey
	for _, alg := range signingAlgorithms {
		private[alg] = newTestKey(t, alg)
		fixed = append(fixed, private[alg])
	}
	keys := openTestKeyring(t, &Config{FixedKeys: fixed})
	foreign := newTestKey(t, jose.RS256)
	rsaKey := private[jose.RS256]
	rsaPublic, err := x509.MarshalPKIXPublicKey(rsaKey.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	accessToken, err := keys.sign(t.Context(), jose.RS256, typeAccessToken, map[string]any{"sub": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"` + rsaKey.KeyID + `"}`))
	tests := []struct {
		name, token string
		good        bool
	}{
		{"RS256", signWith(t, jose.RS256, rsaKey.Key, rsaKey.KeyID), true},
		{"ES256", signWith(t, jose.ES256, private[jose.ES256].Key, private[jose.ES256].KeyID), true},
		{"PS256", signWith(t, jose.PS256, private[jose.PS256].Key, private[jose.PS256].KeyID), true},
		{"ES384", signWith(t, jose.ES384, private[jose.ES384].Key, private[jose.ES384].KeyID), true},
		{"EdDSA", signWith(t, jose.EdDSA, private[jose.EdDSA].Key, private[jose.EdDSA].KeyID), true},
		{"another typ", accessToken, false},
		{"a foreign key", signWith(t, jose.RS256, foreign.Key, rsaKey.KeyID), false},
		{"an unknown kid", signWith(t, jose.RS256, rsaKey.Key, "unknown"), false},
		{"no kid", signWith(t, jose.RS256, rsaKey.Key, ""), false},
		{"the kid of another key", signWith(t, jose.RS256, rsaKey.Key, private[jose.ES256].KeyID), false},
		{"another algorithm of the same key", signWith(t, jose.PS256, rsaKey.Key, rsaKey.KeyID), false},
		{"a longer hash", signWith(t, jose.RS512, rsaKey.Key, rsaKey.KeyID), false},
		{"HMAC with the public key", signWith(t, jose.HS256, rsaPublic, rsaKey.KeyID), false},
		{"alg none", none + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice"}`)) + ".", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims, err := keys.verify(t.Context(), tt.token, typeJWT)
			if good := err == nil && claims["sub"] == "alice"; good != tt.good {
				t.Errorf("verify: %v, %v", claims, err)
			}
		})
	}
}

// meetingStore lets two who read the keys first wait for each other.
type meetingStore struct {
	storage.Store
	mu    sync.Mutex
	reads int
	both  chan struct{}
}

func (s *meetingStore) Keys(ctx context.Context) ([]storage.Key, error) {
	keys, err := s.Store.Keys(ctx)
	s.mu.Lock()
	s.reads++
	reads := s.reads
	s.mu.Unlock()
	switch {
	case reads == 2:
		close(s.both)
	case reads < 2:
		<-s.both
	}
	return keys, err
}

// TestOneSecret: two processes that begin on an empty store at once.
func TestOneSecret(t *testing.T) {
	store := &meetingStore{Store: storagetest.NewModel(), both: make(chan struct{})}
	secrets := make([][]byte, 2)
	var all sync.WaitGroup
	for i := range secrets {
		all.Go(func() {
			var err error
			if secrets[i], err = masterSecret(t.Context(), store); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(secrets[0]) != 32 || !bytes.Equal(secrets[0], secrets[1]) {
		t.Errorf("secrets %x and %x", secrets[0], secrets[1])
	}
}

// TestSecretThatIsTakenAway: no second one is made at once, and nobody hangs.
func TestSecretThatIsTakenAway(t *testing.T) {
	store := storagetest.NewModel()
	if _, err := masterSecret(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	keys, err := store.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), storage.Changes{DeleteKeys: []string{keys[0].ID}}); err != nil {
		t.Fatal(err)
	}
	if _, err := masterSecret(t.Context(), store); !errors.Is(err, storage.ErrSeen) {
		t.Errorf("got %v", err)
	}
}

// TestDerivedKeysDiffer: by purpose and by secret.
func TestDerivedKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, secret := range []string{"one secret", "another secret"} {
		k := &keyring{secret: []byte(secret)}
		for _, purpose := range []string{"token hmac", "csrf", "pending request"} {
			key := string(k.derive(purpose))
			if len(key) != 32 || seen[key] || key != string(k.derive(purpose)) {
				t.Errorf("%s, %s: %x", secret, purpose, key)
			}
			seen[key] = true
		}
	}
}
