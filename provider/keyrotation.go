package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/storage"
)

// The life of a signing key:
//
//	made and published → signs → retired, still published → not published → removed
//	         lead        every         overlap                  memory
//
// A relying party may keep the JWKS for documentMaxAge, so a key is published
// for longer than that before it signs. What it signed must verify until it
// expires, so the key is published until then. An ID token comes back to the
// provider long after that, as the hint at a sign-out (RP-Initiated Logout §4):
// the provider itself remembers the key for as long as a session may last.

// keyPolicy says how long signing keys live.
type keyPolicy struct {
	lead    time.Duration // from publication to the first signature
	overlap time.Duration // from the last signature until it need not be published
	memory  time.Duration // from then to removal
	every   time.Duration // how long a key signs; 0: until RotateKeys is called
}

const (
	// keyCheckInterval is how often the stored keys are looked at. Whoever reads
	// the JWKS has them looked at as well (keyring.refresh).
	keyCheckInterval = time.Minute
	// keyRetryInterval is how often keys that are missing are tried for.
	keyRetryInterval = time.Second
	// keySlack is what the overlap has beyond the lifetime of tokens: another
	// process notices a rotation up to keyCheckInterval later, and clocks differ.
	keySlack = 2 * time.Minute
	// shortTokens is how long what a client has no lifetime for lives at most:
	// signed authorization responses, say.
	shortTokens = 2 * time.Minute
	// minKeyLead is for those who keep the JWKS as long as they may, and for the
	// processes that must publish the key first.
	minKeyLead = documentMaxAge + keyCheckInterval
	// defaultKeyLead is Config.KeyLead's.
	defaultKeyLead = 10 * time.Minute
	// maxSigningKeys bounds how many keys of one algorithm are published.
	maxSigningKeys = 64
)

// Reasons for which keys do not rotate.
var (
	// ErrUnknownAlgorithm says that the provider does not sign with an algorithm.
	ErrUnknownAlgorithm = errors.New("unknown signing algorithm")
	// ErrRotationPending says that the next keys are published already.
	ErrRotationPending = errors.New("the next signing keys are published already")
	// ErrKeysFixed says that the configuration has fixed keys.
	ErrKeysFixed = errors.New("the signing keys are fixed by the configuration")
	// ErrTooManyKeys says that too many older keys are still needed.
	ErrTooManyKeys = fmt.Errorf("%d signing keys of an algorithm are published, and all are still needed", maxSigningKeys)
)

// keyPolicy follows from the configuration: no token outlives the overlap.
func (cfg *Config) keyPolicy() keyPolicy {
	all := []Lifetimes{cfg.Lifetimes.or(defaultLifetimes)}
	for _, c := range cfg.Clients {
		if c.Lifetimes != nil {
			all = append(all, *c.Lifetimes)
		}
	}
	longest := shortTokens
	for _, l := range all {
		longest = max(longest, time.Duration(l.IDToken), time.Duration(l.AccessToken))
	}
	policy := keyPolicy{lead: time.Duration(cfg.KeyLead), overlap: longest + keySlack, every: time.Duration(cfg.KeyRotation)}
	policy.memory = time.Duration(cfg.Lifetimes.or(defaultLifetimes).Session)
	if policy.lead == 0 {
		policy.lead = defaultKeyLead
	}
	return policy
}

// validateKeys refuses a rotation that relying parties could not follow.
func (cfg *Config) validateKeys() error {
	policy := cfg.keyPolicy()
	switch {
	case policy.lead < minKeyLead:
		return &invalid{field: "key_lead", reason: fmt.Sprintf("%s is less than %s: relying parties may keep the old keys for %s", policy.lead, minKeyLead, documentMaxAge)}
	case policy.every < 0:
		return &invalid{field: "key_rotation", reason: fmt.Sprintf("%s is negative", policy.every)}
	case policy.every == 0:
		return nil
	case policy.every < policy.lead:
		return &invalid{field: "key_rotation", reason: fmt.Sprintf("%s is less than key_lead, %s", policy.every, policy.lead)}
	case len(cfg.FixedKeys) > 0:
		return &invalid{field: "key_rotation", reason: "fixed keys do not rotate"}
	}
	return nil
}

// retire says until when the keys that have a successor are published, and drops
// those whose time is over. A time that was said is never taken back: tokens may
// have been signed under longer lifetimes than today's.
func (p keyPolicy) retire(keys []storage.Key, now time.Time) []storage.Key {
	kept := inSigningOrder(keys)
	for i := range kept {
		successor := slices.IndexFunc(kept[i+1:], func(k storage.Key) bool { return k.Algorithm == kept[i].Algorithm })
		if successor < 0 {
			kept[i].ExpiresAt = time.Time{}
			continue
		}
		if until := activeFrom(kept[i+1+successor]).Add(p.overlap); until.After(kept[i].ExpiresAt) {
			kept[i].ExpiresAt = until
		}
	}
	newer := map[string]int{} // how many keys of an algorithm are newer
	for i := range slices.Backward(kept) {
		over := !published(kept[i].ExpiresAt, now) && (newer[kept[i].Algorithm] >= maxSigningKeys || !kept[i].ExpiresAt.Add(p.memory).After(now))
		if newer[kept[i].Algorithm]++; over {
			kept[i].ID = ""
		}
	}
	return slices.DeleteFunc(kept, func(k storage.Key) bool { return k.ID == "" })
}

// published reports whether a key has to be in the JWKS, by the time until which
// it has to.
func published(until, now time.Time) bool { return until.IsZero() || until.After(now) }

// lookAfter keeps the signing keys right until ctx ends: it makes what is still
// missing, rotates by the schedule, removes what is over, and notices what other
// processes did.
func (k *keyring) lookAfter(ctx context.Context) {
	for {
		interval := keyCheckInterval
		if k.wait(ctx) != nil {
			interval = keyRetryInterval
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return
		}
		err := k.change(ctx, k.upkeep)
		if ctx.Err() != nil {
			return
		}
		if k.failed(err); err != nil {
			k.log.ErrorContext(ctx, "cannot look after the signing keys", "cause", err)
		}
	}
}

// upkeep is the plan of lookAfter.
func (k *keyring) upkeep(stored []storage.Key, now time.Time) (keyPlan, error) {
	plan, err := keyPlan{keys: stored}.withFirst(signingAlgorithms, now)
	if err != nil || k.policy.every == 0 {
		return plan, err
	}
	due := slices.DeleteFunc(slices.Clone(signingAlgorithms), func(alg jose.SignatureAlgorithm) bool {
		next := activeFrom(*plan.last(alg)).Add(k.policy.every)
		return next.Add(-k.policy.lead).After(now)
	})
	return plan.rotated(due, now, now.Add(k.policy.lead))
}

// rotated adds a successor to the last key of each of the algorithms.
func (p keyPlan) rotated(algorithms []jose.SignatureAlgorithm, now, from time.Time) (keyPlan, error) {
	for _, alg := range algorithms {
		inUse := 0
		for _, key := range p.keys {
			if key.Algorithm == string(alg) && published(key.ExpiresAt, now) {
				inUse++
			}
		}
		if inUse >= maxSigningKeys {
			return p, ErrTooManyKeys
		}
	}
	return p.withNew(algorithms, now, from)
}

// pending returns those of the algorithms whose next key is published, and signs
// nothing yet, and the others.
func (p keyPlan) pending(algorithms []jose.SignatureAlgorithm, now time.Time) (pending, others []jose.SignatureAlgorithm) {
	for _, alg := range algorithms {
		if last := p.last(alg); last != nil && activeFrom(*last).After(now) {
			pending = append(pending, alg)
		} else {
			others = append(others, alg)
		}
	}
	return pending, others
}

// activated lets the published keys of the algorithms sign from now on.
func (p keyPlan) activated(algorithms []jose.SignatureAlgorithm, now time.Time) keyPlan {
	p.keys = slices.Clone(p.keys)
	for i := range p.keys {
		if slices.Contains(algorithms, jose.SignatureAlgorithm(p.keys[i].Algorithm)) && activeFrom(p.keys[i]).After(now) {
			p.keys[i].ActiveFrom = now
		}
	}
	return p
}

// rotate publishes the next keys of the algorithms, or lets the next ones sign at
// once. No algorithms are all.
func (k *keyring) rotate(ctx context.Context, names []string, atOnce bool) error {
	algorithms, err := namedAlgorithms(names)
	switch {
	case err != nil:
		return err
	case k.fixed:
		return ErrKeysFixed
	}
	if err := k.wait(ctx); err != nil {
		return err
	}
	return k.change(ctx, func(stored []storage.Key, now time.Time) (keyPlan, error) {
		plan := keyPlan{keys: stored}
		pending, others := plan.pending(algorithms, now)
		switch {
		case atOnce:
			return plan.activated(pending, now).rotated(others, now, now)
		case len(others) == 0:
			return keyPlan{}, ErrRotationPending
		}
		return plan.rotated(others, now, now.Add(k.policy.lead))
	})
}

// namedAlgorithms are the algorithms with these names (RFC 7518 §3.1), in the
// provider's order; all for none.
func namedAlgorithms(names []string) ([]jose.SignatureAlgorithm, error) {
	if len(names) == 0 {
		return signingAlgorithms, nil
	}
	var named []jose.SignatureAlgorithm
	for _, alg := range signingAlgorithms {
		if slices.Contains(names, string(alg)) {
			named = append(named, alg)
		}
	}
	for _, name := range names {
		if !slices.Contains(named, jose.SignatureAlgorithm(name)) {
			return nil, fmt.Errorf("%w: %q is not one of %v", ErrUnknownAlgorithm, name, signingAlgorithms)
		}
	}
	return named, nil
}

// RotateKeys publishes the next signing keys, of the algorithms named ("RS256")
// or of all. They sign after Config.KeyLead, when whoever keeps the JWKS has seen
// them; the keys until then are published until the last token that they signed
// has expired. ErrRotationPending says that all of them are published already:
// nothing has changed then.
func (p *Provider) RotateKeys(ctx context.Context, algorithms ...string) error {
	return p.keys.rotate(ctx, algorithms, false)
}

// RotateKeysNow lets the next signing keys, of the algorithms named or of all, sign
// at once: those that are published already, or else new ones. A relying party that
// does not look for a key that it does not know fails until it reads the JWKS again.
func (p *Provider) RotateKeysNow(ctx context.Context, algorithms ...string) error {
	return p.keys.rotate(ctx, algorithms, true)
}

// KeyState says where in its life a signing key is.
type KeyState string

// The states of a signing key, in order.
const (
	KeyNext     KeyState = "next"     // published, and signs nothing yet
	KeyCurrent  KeyState = "current"  // signs
	KeyRetiring KeyState = "retiring" // published for what it has signed
)

// SigningKey describes a signing key. It has no key material.
type SigningKey struct {
	ID        string   `json:"kid"`
	Algorithm string   `json:"alg"`
	State     KeyState `json:"state"`
	// ActiveFrom is when it begins to sign.
	ActiveFrom time.Time `json:"active_from,omitzero"`
	// PublishedUntil is when it is removed; zero as long as it has no successor.
	PublishedUntil time.Time `json:"published_until,omitzero"`
}

// SigningKeys describes the keys that are published, those of one algorithm in
// the order in which they sign.
func (p *Provider) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	if err := p.keys.wait(ctx); err != nil {
		return nil, err
	}
	p.keys.refresh(ctx)
	set, now := p.keys.current.Load(), time.Now()
	var list []SigningKey
	for _, key := range set.keys {
		state := KeyRetiring
		switch {
		case !published(key.until, now):
			continue
		case key == set.signer(jose.SignatureAlgorithm(key.Algorithm), now):
			state = KeyCurrent
		case key.from.After(now):
			state = KeyNext
		}
		list = append(list, SigningKey{ID: key.KeyID, Algorithm: key.Algorithm, State: state, ActiveFrom: key.from, PublishedUntil: key.until})
	}
	return list, nil
}
