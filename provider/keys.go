package provider

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/storage"
)

// Media types in the "typ" header, RFC 8725 §3.11.
const (
	typeJWT         = "JWT"    // ID tokens, OIDC Core §2
	typeAccessToken = "at+jwt" // RFC 9068 §2.1
	// typeLogoutToken is that of Back-Channel Logout §2.4.
	typeLogoutToken = "logout+jwt" //nolint:gosec // a media type
)

// signingAlgorithms are what the provider signs with. RS256 comes first: every
// provider must offer it (OIDC Discovery §3).
var signingAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// errKeysUnavailable says that the signing keys could not be made.
var errKeysUnavailable = errors.New("signing keys are not available")

// keyring holds the provider's keys: the secret from which symmetric keys are
// derived, at once, and the signing keys, as soon as they are made.
type keyring struct {
	secret []byte

	ready    chan struct{} // closed when the fields below are set
	err      error
	signers  map[signerID]jose.Signer
	public   jose.JSONWebKeySet
	document staticDocument // the public set as served
}

type signerID struct {
	alg jose.SignatureAlgorithm
	typ string
}

// openKeyring loads the keys from the store and makes what is missing. RSA
// keys take a while, so signing keys come in the background; see wait.
func openKeyring(ctx context.Context, store storage.Store, fixed []jose.JSONWebKey) (*keyring, error) {
	stored, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	k := &keyring{ready: make(chan struct{})}
	if k.secret, err = masterSecret(ctx, store, stored); err != nil {
		return nil, err
	}
	// Not the caller's ctx: its end must not leave half a set of keys.
	background := context.WithoutCancel(ctx)
	go func() {
		defer close(k.ready)
		private, err := signingKeys(background, store, stored, fixed)
		if err == nil {
			err = k.install(private)
		}
		if err != nil {
			k.err = fmt.Errorf("%w: %w", errKeysUnavailable, err)
		}
	}()
	return k, nil
}

// masterSecret returns the stored secret, or makes and stores one.
func masterSecret(ctx context.Context, store storage.Store, stored []storage.Key) ([]byte, error) {
	for _, key := range stored {
		if key.Use == "secret" {
			return key.Material, nil
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // crypto/rand never fails
	now := time.Now().UTC()
	key := storage.Key{ID: "secret-" + randomString(8), Use: "secret", Material: secret, CreatedAt: now}
	if err := store.Commit(ctx, storage.Changes{At: now, Keys: []storage.Key{key}}); err != nil {
		return nil, fmt.Errorf("store the secret: %w", err)
	}
	return secret, nil
}

// signingKeys returns the private keys, oldest first for each algorithm.
func signingKeys(ctx context.Context, store storage.Store, stored []storage.Key, fixed []jose.JSONWebKey) ([]jose.JSONWebKey, error) {
	if len(fixed) > 0 {
		return slices.Clone(fixed), nil
	}
	var private []jose.JSONWebKey
	for _, key := range stored {
		if key.Use != "sig" {
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(key.Material)
		if err != nil {
			return nil, fmt.Errorf("stored key %s: %w", key.ID, err)
		}
		private = append(private, jose.JSONWebKey{Key: parsed, KeyID: key.ID, Algorithm: key.Algorithm, Use: "sig"})
	}
	changes := storage.Changes{At: time.Now().UTC()}
	for _, alg := range signingAlgorithms {
		if slices.ContainsFunc(private, func(k jose.JSONWebKey) bool { return k.Algorithm == string(alg) }) {
			continue
		}
		key, record, err := newSigningKey(alg, changes.At)
		if err != nil {
			return nil, err
		}
		private = append(private, key)
		changes.Keys = append(changes.Keys, record)
	}
	if !changes.Empty() {
		if err := store.Commit(ctx, changes); err != nil {
			return nil, fmt.Errorf("store signing keys: %w", err)
		}
	}
	return private, nil
}

// newSigningKey makes a key for alg. Its "kid" is the RFC 7638 thumbprint.
func newSigningKey(alg jose.SignatureAlgorithm, now time.Time) (jose.JSONWebKey, storage.Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no keys are made for %s", alg)
	}
	if err != nil {
		return jose.JSONWebKey{}, storage.Key{}, err
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(alg), Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.JSONWebKey{}, storage.Key{}, err
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return jose.JSONWebKey{}, storage.Key{}, err
	}
	return key, storage.Key{ID: key.KeyID, Use: "sig", Algorithm: string(alg), Material: der, CreatedAt: now}, nil
}

// install makes the signers and the public set. The newest key of an algorithm signs.
func (k *keyring) install(private []jose.JSONWebKey) error {
	k.signers = make(map[signerID]jose.Signer)
	// One order, so that the document and its ETag outlive a restart; the age
	// decides among the keys of one algorithm.
	slices.SortStableFunc(private, func(a, b jose.JSONWebKey) int {
		return cmp.Compare(algorithmOrder(a), algorithmOrder(b))
	})
	for _, key := range private {
		if key.KeyID == "" || len(k.public.Key(key.KeyID)) > 0 {
			return fmt.Errorf("kid %q: every key needs one of its own", key.KeyID)
		}
		alg := jose.SignatureAlgorithm(key.Algorithm)
		for _, typ := range []string{typeJWT, typeAccessToken, typeLogoutToken} {
			options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
			if err != nil {
				return fmt.Errorf("key %s: %w", key.KeyID, err)
			}
			k.signers[signerID{alg, typ}] = signer
		}
		k.public.Keys = append(k.public.Keys, key.Public())
	}
	for _, alg := range signingAlgorithms {
		if k.signers[signerID{alg, typeJWT}] == nil {
			return fmt.Errorf("there is no key for %s", alg)
		}
	}
	body, err := json.Marshal(k.public)
	k.document = newStaticDocument(body)
	return err
}

func algorithmOrder(key jose.JSONWebKey) int {
	return slices.Index(signingAlgorithms, jose.SignatureAlgorithm(key.Algorithm))
}

// wait blocks until the signing keys are there.
func (k *keyring) wait(ctx context.Context) error {
	select {
	case <-k.ready:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sign returns claims as a compact JWS of the given type.
func (k *keyring) sign(ctx context.Context, alg jose.SignatureAlgorithm, typ string, claims map[string]any) (string, error) {
	if err := k.wait(ctx); err != nil {
		return "", err
	}
	signer := k.signers[signerID{alg, typ}]
	if signer == nil {
		return "", fmt.Errorf("%w: none signs %s as %s", errKeysUnavailable, typ, alg)
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// verify checks that the provider itself signed token, whichever of its
// published keys it used, and returns the claims. It does not check "exp",
// "iss" or "aud".
func (k *keyring) verify(ctx context.Context, token, typ string) (map[string]any, error) {
	if err := k.wait(ctx); err != nil {
		return nil, err
	}
	parsed, err := jwt.ParseSigned(token, signingAlgorithms)
	if err != nil {
		return nil, err
	}
	header := parsed.Headers[0]
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return nil, fmt.Errorf("typ is %q, not %q", got, typ)
	}
	for _, key := range k.public.Key(header.KeyID) {
		// RFC 8725 §3.1: the key says the algorithm, not the token alone.
		if key.Algorithm != header.Algorithm {
			continue
		}
		var claims map[string]any
		if err := parsed.Claims(key.Key, &claims); err != nil {
			return nil, err
		}
		return claims, nil
	}
	return nil, fmt.Errorf("no key %q for %s", header.KeyID, header.Algorithm)
}

// derive returns a 256-bit key for one purpose, from the secret (RFC 5869).
func (k *keyring) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.secret, nil, "oidclab "+purpose, 32)
	if err != nil {
		panic(err) // 32 bytes are always within HKDF's limit
	}
	return key
}

// randomString returns n random bytes as base64url.
func randomString(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
