package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/sync/singleflight"
)

// How long keys from a jwks_uri are used, and how often they are asked for.
const (
	keysFresh  = 10 * time.Minute // as long as that, nobody asks again without need
	keysUsable = time.Hour        // as long as that, if asking again fails
	keysRetry  = 5 * time.Second  // no sooner, after a failure
	// A signature by an unknown key is a reason to ask again, and anybody can
	// send one: so many fetches within so long, for each jwks_uri.
	refetchBurst  = 3
	refetchWindow = 10 * time.Second
	maxKeySets    = 256 // kept; beyond, the one that was not used for longest goes
)

// errNoClientKeys says that the registration has no keys.
var errNoClientKeys = errors.New("the client registered neither jwks nor jwks_uri")

// clientKeys verifies what clients sign, with the keys that stand in their
// registration or at their jwks_uri (OIDC Core §10.1).
type clientKeys struct {
	outbound *outbound
	flights  singleflight.Group // by jwks_uri: one fetch at a time

	mu    sync.Mutex
	sets  map[string]*fetchedKeys // by jwks_uri
	clock uint64                  // counts uses
}

// fetchedKeys is what is known of one jwks_uri. clientKeys.mu guards it.
type fetchedKeys struct {
	set     *keySet // the last good one; nil if there is none
	arrived time.Time
	err     error // why the last fetch failed; nil if it did not
	failed  time.Time
	fetches []time.Time // the last few
	used    uint64
}

func newClientKeys(o *outbound) *clientKeys {
	return &clientKeys{outbound: o, sets: map[string]*fetchedKeys{}}
}

// verify checks that the client signed token, with any of its keys that fits
// the token's alg and kid, and decodes what it signed into each of dest, as
// jwt.JSONWebToken.Claims does. A jwks_uri is asked again if no key verifies,
// since the client may have a new one.
//
// It accepts every asymmetric algorithm that the token was parsed for: whether
// it is the one that the client registered, the caller has to check, and typ,
// iss, aud, exp and jti as well. The error completes a sentence such as "The
// request object cannot be verified: …", and holds nothing secret.
func (k *clientKeys) verify(ctx context.Context, c *client, token *jwt.JSONWebToken, dest ...any) error {
	if err := k.checkSignature(ctx, c, token); err != nil {
		return err
	}
	// The signature was checked just now.
	if token.UnsafeClaimsWithoutVerification(dest...) != nil {
		return errBadClaims
	}
	return nil
}

func (k *clientKeys) checkSignature(ctx context.Context, c *client, token *jwt.JSONWebToken) error {
	// 1. Keys in the registration are all that there are.
	if c.JWKS != nil {
		set, err := inlineJWKS(c.JWKS)
		if err != nil {
			return fmt.Errorf("the client's jwks %w", err)
		}
		return set.verify(token)
	}
	if c.JWKSURI == "" {
		return errNoClientKeys
	}
	// 2. Those that were fetched before, or are fetched now.
	set, err := k.fetched(ctx, c.JWKSURI, nil)
	if set == nil {
		return fmt.Errorf("the client's jwks_uri %w", err)
	}
	if set.verify(token) == nil {
		return nil
	}
	// 3. Those that are there by now (OIDC Core §10.1.1), or the same if it is
	//    too soon to ask again.
	if set, err = k.fetched(ctx, c.JWKSURI, set); err != nil {
		return fmt.Errorf("the client's jwks_uri %w", err)
	}
	return set.verify(token)
}

// fetched returns the keys at uri. known is a set that did not do: unless it is
// nil, another is fetched, as far as the limits allow. It returns a set and an
// error if a fetch failed and the set is what was there before.
func (k *clientKeys) fetched(ctx context.Context, uri string, known *keySet) (*keySet, error) {
	if set := k.fresh(uri, known); set != nil {
		return set, nil
	}
	type result struct {
		set *keySet
		err error
	}
	// The fetch is for all who wait, so it does not end with the first of them.
	flight := k.flights.DoChan(uri, func() (any, error) {
		set, err := k.fetch(context.WithoutCancel(ctx), uri, known)
		return result{set, err}, nil
	})
	select {
	case landed := <-flight:
		r := landed.Val.(result) // made above
		return r.set, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fresh returns the set that is kept for uri if it need not be fetched.
func (k *clientKeys) fresh(uri string, known *keySet) *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.sets[uri]
	if f == nil {
		return nil
	}
	k.clock++
	f.used = k.clock
	if f.set == known || time.Since(f.arrived) >= keysFresh {
		return nil
	}
	return f.set
}

// fetch asks for the keys at uri unless that is not due.
func (k *clientKeys) fetch(ctx context.Context, uri string, known *keySet) (*keySet, error) {
	if set := k.fresh(uri, known); set != nil {
		return set, nil // another fetch has just ended
	}
	f, due := k.due(uri)
	if due {
		set, err := k.download(ctx, uri)
		k.note(f, set, err)
	}
	return k.usable(f)
}

// due finds or makes the entry of uri, and says whether it may be fetched now.
func (k *clientKeys) due(uri string) (*fetchedKeys, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.sets[uri]
	if f == nil {
		k.makeRoom()
		k.clock++
		f = &fetchedKeys{used: k.clock}
		k.sets[uri] = f
	}
	now := time.Now()
	if f.err != nil && now.Sub(f.failed) < keysRetry {
		return f, false
	}
	if len(f.fetches) == refetchBurst {
		if now.Sub(f.fetches[0]) < refetchWindow {
			return f, false
		}
		f.fetches = f.fetches[1:]
	}
	f.fetches = append(f.fetches, now)
	return f, true
}

// makeRoom lets the set go that was not used for longest.
func (k *clientKeys) makeRoom() {
	if len(k.sets) < maxKeySets {
		return
	}
	oldest := ""
	for uri, f := range k.sets {
		if oldest == "" || f.used < k.sets[oldest].used {
			oldest = uri
		}
	}
	delete(k.sets, oldest)
}

// download fetches and reads a JWK Set.
func (k *clientKeys) download(ctx context.Context, uri string) (*keySet, error) {
	body, err := k.outbound.get(ctx, uri, "application/jwk-set+json, application/json")
	if err != nil {
		return nil, err
	}
	set, err := parseJWKS(body)
	if errors.Is(err, errPrivateKey) {
		return nil, err
	}
	if err != nil {
		return nil, k.outbound.failed(ctx, uri, err)
	}
	return set, nil
}

// note keeps the outcome of a fetch. A failure leaves the set that was there,
// but a private key in public ends it at once.
func (k *clientKeys) note(f *fetchedKeys, set *keySet, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.err = err
	if err == nil {
		f.set, f.arrived = set, time.Now()
		return
	}
	f.failed = time.Now()
	if errors.Is(err, errPrivateKey) {
		f.set = nil
	}
}

// usable returns the set that is there, if it is not too old, and why it is not
// newer.
func (k *clientKeys) usable(f *fetchedKeys) (*keySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.set != nil && time.Since(f.arrived) < keysUsable {
		return f.set, f.err
	}
	return nil, f.err
}
