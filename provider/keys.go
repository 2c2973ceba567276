package provider

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
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
var signingAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

var (
	// errKeysUnavailable says that the signing keys could not be made or read.
	errKeysUnavailable = errors.New("signing keys are not available")
	// errUnknownKey says that no key has the "kid" of a token.
	errUnknownKey = errors.New("no such key")
)

// keyring holds the provider's keys: the secret from which symmetric keys are
// derived, and the signing keys. The store is where the signing keys are: the
// keyring follows it, so that a restart goes on where the keys were, and
// providers that share a store share the keys.
type keyring struct {
	secret []byte
	store  storage.Store
	fixed  bool // the keys are the configuration's, not the store's
	policy keyPolicy
	log    *slog.Logger

	current atomic.Pointer[signingSet] // nil until there is a key
	loading chan struct{}              // held while the set is read and replaced
	turn    chan struct{}              // held by who changes the stored keys

	// made has a channel for each algorithm, closed when the algorithm has its
	// first key, or when it could not be had; ready is closed after all of them.
	made    map[jose.SignatureAlgorithm]chan struct{}
	ready   chan struct{}
	failure atomic.Pointer[error] // why the last change failed, nil if it did not

	stop    context.CancelFunc
	stopped chan struct{} // closed when nothing works in the background any more
}

// openKeyring reads the secret, or makes one, and starts to look after the
// signing keys in the background: RSA keys take a while. See wait and close.
func openKeyring(ctx context.Context, cfg *Config) (*keyring, error) {
	secret, err := masterSecret(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	// Not the caller's ctx: its end must not leave the keys alone.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &keyring{
		secret: secret, store: cfg.Store, fixed: len(cfg.FixedKeys) > 0, policy: cfg.keyPolicy(), log: cfg.Logger,
		turn: make(chan struct{}, 1), loading: make(chan struct{}, 1),
		made:  make(map[jose.SignatureAlgorithm]chan struct{}),
		ready: make(chan struct{}), stop: stop, stopped: make(chan struct{}),
	}
	for _, alg := range signingAlgorithms {
		k.made[alg] = make(chan struct{})
	}
	go func() {
		defer close(k.stopped)
		if k.fixed {
			k.failed(k.useFixed(cfg.FixedKeys))
			k.announce(signingAlgorithms)
			return
		}
		k.makeFirst(context.WithoutCancel(background))
		k.lookAfter(background)
	}()
	return k, nil
}

// close ends the work in the background, and waits for keys in the making.
func (k *keyring) close() {
	k.stop()
	<-k.stopped
}

// masterSecret returns the stored secret, or makes and stores one.
func masterSecret(ctx context.Context, store storage.Store) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		stored, err := store.Keys(ctx)
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		for _, key := range stored {
			if key.Use == useSecret {
				return key.Material, nil
			}
		}
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // crypto/rand never fails
		now := time.Now().UTC()
		key := storage.Key{ID: "secret-" + randomString(8), Use: useSecret, Material: secret, CreatedAt: now}
		err = store.Commit(ctx, storage.Changes{At: now, Keys: []storage.Key{key}, Once: []storage.Once{firstOf("secret", now)}})
		switch {
		case err == nil:
			return secret, nil
		case !errors.Is(err, storage.ErrSeen) || attempt == keyAttempts: // not that another process was faster
			return nil, fmt.Errorf("store the secret: %w", err)
		}
	}
}

// wait blocks until all signing keys are there.
func (k *keyring) wait(ctx context.Context) error {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	set, now := k.current.Load(), time.Now()
	for _, alg := range signingAlgorithms {
		if set.signer(alg, now) == nil {
			return k.unavailable(alg)
		}
	}
	return nil
}

// signer returns the key that signs with alg at the moment. It waits for the
// first one to be made.
func (k *keyring) signer(ctx context.Context, alg jose.SignatureAlgorithm) (*signingKey, error) {
	if made, ok := k.made[alg]; ok {
		select {
		case <-made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if key := k.current.Load().signer(alg, time.Now()); key != nil {
			return key, nil
		}
	}
	return nil, k.unavailable(alg)
}

func (k *keyring) unavailable(alg jose.SignatureAlgorithm) error {
	if cause := k.failure.Load(); cause != nil {
		return fmt.Errorf("%w: %w", errKeysUnavailable, *cause)
	}
	return fmt.Errorf("%w: there is none for %s", errKeysUnavailable, alg)
}

// failed notes why the keys are not what they should be, or that they are.
func (k *keyring) failed(err error) {
	if err == nil {
		k.failure.Store(nil)
		return
	}
	k.failure.Store(&err)
}

// sign returns claims as a compact JWS of the given type.
func (k *keyring) sign(ctx context.Context, alg jose.SignatureAlgorithm, typ string, claims any) (string, error) {
	key, err := k.signer(ctx, alg)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return key.compact(typ, payload)
}

// verify checks that the provider itself signed token, whichever of the keys that
// it remembers it used, and returns the claims. It does not check "exp",
// "iss" or "aud". errUnknownKey says that the key is none of them.
func (k *keyring) verify(ctx context.Context, token, typ string) (map[string]any, error) {
	parsed, err := jwt.ParseSigned(token, signingAlgorithms)
	if err != nil {
		return nil, err
	}
	header := parsed.Headers[0]
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return nil, fmt.Errorf("typ is %q, not %q", got, typ)
	}
	key, err := k.publicKey(ctx, header)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := parsed.Claims(key, &claims); err != nil {
		return nil, err
	}
	return claims, nil
}

// publicKey finds the key that a token says it was signed with. The store is
// asked for one that is not known: another process may have made it.
func (k *keyring) publicKey(ctx context.Context, header jose.Header) (any, error) {
	if _, err := k.signer(ctx, jose.SignatureAlgorithm(header.Algorithm)); err != nil {
		return nil, err
	}
	key := k.current.Load().verifier(header)
	if key == nil && header.KeyID != "" && !k.fixed {
		if _, err := k.load(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", errKeysUnavailable, err)
		}
		key = k.current.Load().verifier(header)
	}
	if key == nil {
		return nil, fmt.Errorf("%w: %q for %s", errUnknownKey, header.KeyID, header.Algorithm)
	}
	return key, nil
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
	return encode(b)
}
