package provider

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/oidclab/oidclab/storage"
)

// The uses of storage.Key.
const (
	useSignature = "sig"
	useSecret    = "secret"
)

// keyAttempts is how often a change of the stored keys that another process
// overtook is tried.
const keyAttempts = 3

// rsaAlgorithms need keys that take a while to make.
var rsaAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256}

// makeFirst makes the keys that the store lacks. What needs no RSA key does not
// wait for one. Those are begun together, and no two take equally long: the one that
// is there first is for RS256, which most clients ask for.
func (k *keyring) makeFirst(ctx context.Context) {
	first := beginRSAKeys(k.lacking(ctx, rsaAlgorithms))
	defer first.wait()
	quick := slices.DeleteFunc(slices.Clone(signingAlgorithms), func(alg jose.SignatureAlgorithm) bool {
		return slices.Contains(rsaAlgorithms, alg)
	})
	for _, algorithms := range [][]jose.SignatureAlgorithm{quick, {jose.RS256}, {jose.PS256}} {
		k.failed(k.change(ctx, func(stored []storage.Key, now time.Time) (keyPlan, error) {
			return keyPlan{keys: stored, rsaKeys: first}.withFirst(algorithms, now)
		}))
		k.announce(algorithms)
	}
}

// lacking is how many of the algorithms have no stored key. That the store cannot
// be read, the change that follows says.
func (k *keyring) lacking(ctx context.Context, algorithms []jose.SignatureAlgorithm) int {
	stored, err := k.load(ctx)
	if err != nil {
		return 0
	}
	return len(keyPlan{keys: stored}.without(algorithms))
}

// announce ends the waiting for the first keys of these algorithms.
func (k *keyring) announce(algorithms []jose.SignatureAlgorithm) {
	for _, alg := range algorithms {
		close(k.made[alg])
	}
	for _, made := range k.made {
		select {
		case <-made:
		default:
			return
		}
	}
	close(k.ready)
}

// keyPlan is what the stored signing keys are to become.
type keyPlan struct {
	keys []storage.Key
	// once are the conditions: what no other process may have done before.
	once []storage.Once
	// rsaKeys are in the making already, nil if none is.
	rsaKeys *rsaKeys
}

// change reads the stored signing keys, stores what plan makes of them, and
// takes the result into use. Within the process, one change waits for the other;
// of two processes that make the same key at once, the slower one looks again.
func (k *keyring) change(ctx context.Context, plan func(stored []storage.Key, now time.Time) (keyPlan, error)) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt := 1; ; attempt++ {
		stored, err := k.load(ctx)
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		wanted, err := plan(k.policy.retire(stored, now), now)
		if err != nil {
			return err
		}
		changes := keyChanges(stored, k.policy.retire(wanted.keys, now))
		changes.At, changes.Once = now, wanted.once
		if !changes.Empty() {
			err = k.store.Commit(ctx, changes)
		}
		switch {
		case errors.Is(err, storage.ErrSeen) && attempt < keyAttempts:
			continue
		case err != nil:
			return fmt.Errorf("store signing keys: %w", err)
		}
		if changes.Empty() {
			return nil
		}
		k.report(ctx, stored, changes)
		_, err = k.load(ctx)
		return err
	}
}

// report logs a rotation and a removal.
func (k *keyring) report(ctx context.Context, stored []storage.Key, changes storage.Changes) {
	for _, key := range changes.Keys {
		known := slices.ContainsFunc(stored, func(s storage.Key) bool { return s.ID == key.ID && s.ActiveFrom.Equal(key.ActiveFrom) })
		if !known && !key.ActiveFrom.IsZero() { // the first key of an algorithm replaces none
			k.log.InfoContext(ctx, "signing key rotated", "alg", key.Algorithm, "kid", key.ID, "signs_from", key.ActiveFrom)
		}
	}
	for _, id := range changes.DeleteKeys {
		k.log.InfoContext(ctx, "signing key removed", "kid", id)
	}
}

// keyChanges is what has to be written to make the stored keys the wanted ones.
func keyChanges(stored, wanted []storage.Key) (c storage.Changes) {
	for _, key := range wanted {
		if !slices.ContainsFunc(stored, func(s storage.Key) bool { return sameKey(s, key) }) {
			c.Keys = append(c.Keys, key)
		}
	}
	for _, key := range stored {
		if !slices.ContainsFunc(wanted, func(w storage.Key) bool { return w.ID == key.ID }) {
			c.DeleteKeys = append(c.DeleteKeys, key.ID)
		}
	}
	return c
}

func sameKey(a, b storage.Key) bool {
	return a.ID == b.ID && a.ActiveFrom.Equal(b.ActiveFrom) && a.ExpiresAt.Equal(b.ExpiresAt)
}

// load takes the stored signing keys into use, and returns them in the order in
// which they sign. What was read last is what is used last.
func (k *keyring) load(ctx context.Context) ([]storage.Key, error) {
	select {
	case k.loading <- struct{}{}:
		defer func() { <-k.loading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// The version is read first: that of older keys has refresh look once more.
	version, err := k.store.KeysVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the version of the keys: %w", err)
	}
	all, err := k.store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	stored, before, now := inSigningOrder(all), k.current.Load(), time.Now()
	if before != nil && published(before.until, now) && slices.EqualFunc(before.stored, stored, sameKey) {
		same := *before
		same.version = version
		k.current.Store(&same)
		return stored, nil
	}
	keys, err := parseKeys(stored, before)
	if err != nil {
		return nil, err
	}
	set, err := newSigningSet(keys, now)
	if err != nil {
		return nil, err
	}
	set.stored, set.version = stored, version
	k.current.Store(set)
	return stored, nil
}

// keyPatience is how long whoever asks for the keys waits for the store to say
// whether it has others.
const keyPatience = time.Second

// refresh takes the stored signing keys into use if they have changed: what
// another process signs with already must be in the keys that this one shows.
// A store that cannot be asked leaves those that are known, whose signatures
// verify meanwhile.
func (k *keyring) refresh(ctx context.Context) {
	if k.fixed {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	version, err := k.store.KeysVersion(bounded)
	if set := k.current.Load(); err == nil && (set == nil || set.version != version) {
		_, err = k.load(bounded)
	}
	if err != nil && ctx.Err() == nil {
		k.log.WarnContext(ctx, "cannot ask the store for signing keys; it may have others than are shown", "cause", err)
	}
}

// useFixed takes the configuration's keys into use. All algorithms must be there.
func (k *keyring) useFixed(keys []jose.JSONWebKey) error {
	for _, alg := range signingAlgorithms {
		if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool { return key.Algorithm == string(alg) }) {
			return fmt.Errorf("there is no key for %s", alg)
		}
	}
	set, err := newSigningSet(withoutTimes(keys), time.Now())
	if err == nil {
		k.current.Store(set)
	}
	return err
}

// withFirst adds a key for each of the algorithms that has none.
func (p keyPlan) withFirst(algorithms []jose.SignatureAlgorithm, now time.Time) (keyPlan, error) {
	return p.withNew(p.without(algorithms), now, time.Time{})
}

// without are those of the algorithms that have no key.
func (p keyPlan) without(algorithms []jose.SignatureAlgorithm) []jose.SignatureAlgorithm {
	return slices.DeleteFunc(slices.Clone(algorithms), func(alg jose.SignatureAlgorithm) bool { return p.last(alg) != nil })
}

// last returns the key of an algorithm that begins to sign last, nil if it has none.
func (p keyPlan) last(alg jose.SignatureAlgorithm) *storage.Key {
	for i := range slices.Backward(p.keys) {
		if p.keys[i].Algorithm == string(alg) {
			return &p.keys[i]
		}
	}
	return nil
}

// withNew adds a new key for each of the algorithms. A key has one successor: of
// two processes that make it at once, one is refused.
func (p keyPlan) withNew(algorithms []jose.SignatureAlgorithm, now, from time.Time) (keyPlan, error) {
	made := make([]storage.Key, len(algorithms))
	newKey := p.newKey // of p as it is: below it changes
	var group errgroup.Group
	for i, alg := range algorithms {
		after, created := "nothing", now
		if last := p.last(alg); last != nil {
			after = last.ID
			if !last.CreatedAt.Before(now) { // the clock is coarse, and the order must not be
				created = last.CreatedAt.Add(time.Nanosecond)
			}
		}
		p.once = append(p.once, firstOf(string(alg)+" key after "+after, now))
		group.Go(func() (err error) {
			made[i], err = newKey(alg, created)
			made[i].ActiveFrom = from
			return err
		})
	}
	err := group.Wait()
	p.keys = append(slices.Clone(p.keys), made...)
	return p, err
}

// firstOf is the condition to be the first that makes something. It need not
// hold longer than a process may take between reading the keys and storing them.
func firstOf(what string, now time.Time) storage.Once {
	return storage.Once{ID: onceID("key", what), ExpiresAt: now.Add(10 * time.Minute)}
}

// newKey makes a key for alg, of one that is in the making if it can.
func (p keyPlan) newKey(alg jose.SignatureAlgorithm, now time.Time) (storage.Key, error) {
	if p.rsaKeys == nil || !slices.Contains(rsaAlgorithms, alg) {
		return newSigningKey(alg, now)
	}
	private, err := p.rsaKeys.next()
	if err != nil {
		return storage.Key{}, err
	}
	return keyRecord(alg, private, now)
}

// newSigningKey makes a key for alg. RS256 and PS256 could share a key, but one key
// is for one algorithm (RFC 8725 §3.1).
func newSigningKey(alg jose.SignatureAlgorithm, now time.Time) (storage.Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case jose.RS256, jose.PS256:
		private, err = newRSAKey()
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no keys are made for %s", alg)
	}
	if err != nil {
		return storage.Key{}, err
	}
	return keyRecord(alg, private, now)
}

// keyRecord is what is stored of a new key. Its "kid" is the RFC 7638 thumbprint.
func keyRecord(alg jose.SignatureAlgorithm, private crypto.Signer, now time.Time) (storage.Key, error) {
	thumbprint, err := (&jose.JSONWebKey{Key: private}).Thumbprint(crypto.SHA256)
	if err != nil {
		return storage.Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return storage.Key{
		ID: base64.RawURLEncoding.EncodeToString(thumbprint), Use: useSignature, Algorithm: string(alg), Material: der, CreatedAt: now,
	}, err
}
