package provider

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/oidclab/oidclab/storage"
)

// signingSet is the signing keys at one moment. It never changes: another one takes
// its place. The methods of a nil set find nothing.
type signingSet struct {
	stored   []storage.Key // what it was made of
	version  uint64        // that of the store's keys, or of earlier ones
	keys     []*signingKey // in the order of signingAlgorithms, and in which they sign
	document staticDocument
	// until is when the first of the published keys need not be in the document
	// any longer; zero for never.
	until time.Time
}

// signingKey is a private key with its times.
type signingKey struct {
	jose.JSONWebKey
	// from is when the key begins to sign, until when it need not be published
	// any longer; zero for the last one of its algorithm.
	from, until time.Time
	// headers are the encoded headers of what it signs, by "typ".
	headers map[string]string
}

// prepare makes what does not change from signature to signature. It refuses a key
// that is not for its algorithm.
func (key *signingKey) prepare() error {
	key.headers = make(map[string]string)
	for _, typ := range []string{typeJWT, typeAccessToken, typeLogoutToken} {
		header, err := protectedHeader(key.Algorithm, key.KeyID, typ)
		if err != nil {
			return err
		}
		key.headers[typ] = header
	}
	_, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key.JSONWebKey}, nil)
	return err
}

// newSigningSet checks the keys and prepares the document of those that are
// published. Those of one algorithm are in the order in which they sign.
func newSigningSet(keys []*signingKey, now time.Time) (*signingSet, error) {
	// One order, so that the document and its ETag outlive a restart.
	slices.SortStableFunc(keys, func(a, b *signingKey) int {
		return cmp.Compare(algorithmOrder(a.Algorithm), algorithmOrder(b.Algorithm))
	})
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	ids := map[string]bool{"": true}
	var until time.Time
	for _, key := range keys {
		if ids[key.KeyID] {
			return nil, fmt.Errorf("kid %q: every key needs one of its own", key.KeyID)
		}
		ids[key.KeyID] = true
		if err := key.prepare(); err != nil {
			return nil, fmt.Errorf("key %s: %w", key.KeyID, err)
		}
		if !published(key.until, now) {
			continue
		}
		public.Keys = append(public.Keys, key.Public())
		if !key.until.IsZero() && (until.IsZero() || key.until.Before(until)) {
			until = key.until
		}
	}
	body, err := json.Marshal(public)
	return &signingSet{keys: keys, document: newStaticDocument(body), until: until}, err
}

func algorithmOrder(alg string) int {
	return slices.Index(signingAlgorithms, jose.SignatureAlgorithm(alg))
}

// signer returns the key that signs with alg now: of those that have begun, the
// last; nil if there is none. The clock decides at each signature, so that a key
// takes over at its moment, whenever the set was made.
func (s *signingSet) signer(alg jose.SignatureAlgorithm, now time.Time) *signingKey {
	if s == nil {
		return nil
	}
	var found *signingKey
	for _, key := range s.keys {
		if key.Algorithm == string(alg) && (found == nil || !key.from.After(now)) {
			found = key
		}
	}
	return found
}

// verifier returns the public key that a token's header names, or nil. The key
// says the algorithm, not the token alone (RFC 8725 §3.1).
func (s *signingSet) verifier(header jose.Header) any {
	if s == nil {
		return nil
	}
	for _, key := range s.keys {
		if key.KeyID == header.KeyID && key.Algorithm == header.Algorithm {
			return key.Public().Key
		}
	}
	return nil
}

// find returns the key of a stored record, nil if the set does not have it.
func (s *signingSet) find(id string) *signingKey {
	if s == nil {
		return nil
	}
	for _, key := range s.keys {
		if key.KeyID == id {
			return key
		}
	}
	return nil
}

// parseKeys reads stored signing keys, in the order in which they sign. Private keys
// that known has are not parsed again; the others are parsed at once, since the first
// one on a curve costs some milliseconds.
func parseKeys(stored []storage.Key, known *signingSet) ([]*signingKey, error) {
	keys := make([]*signingKey, len(stored))
	var group errgroup.Group
	for i, record := range stored {
		keys[i] = &signingKey{from: activeFrom(record), until: record.ExpiresAt}
		if same := known.find(record.ID); same != nil {
			keys[i].JSONWebKey = same.JSONWebKey
			continue
		}
		group.Go(func() error {
			private, err := x509.ParsePKCS8PrivateKey(record.Material)
			if err != nil {
				return fmt.Errorf("stored key %s: %w", record.ID, err)
			}
			keys[i].JSONWebKey = jose.JSONWebKey{Key: private, KeyID: record.ID, Algorithm: record.Algorithm, Use: useSignature}
			return nil
		})
	}
	return keys, group.Wait()
}

// withoutTimes are fixed keys: the last one of an algorithm signs.
func withoutTimes(keys []jose.JSONWebKey) []*signingKey {
	var list []*signingKey
	for _, key := range keys {
		list = append(list, &signingKey{JSONWebKey: key})
	}
	return list
}

// inSigningOrder returns the signing keys among keys, those that begin to sign
// first before the others.
func inSigningOrder(keys []storage.Key) []storage.Key {
	signing := slices.DeleteFunc(slices.Clone(keys), func(k storage.Key) bool { return k.Use != useSignature })
	slices.SortFunc(signing, func(a, b storage.Key) int {
		return cmp.Or(activeFrom(a).Compare(activeFrom(b)), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return signing
}

// activeFrom is when a stored key begins to sign.
func activeFrom(key storage.Key) time.Time {
	if key.ActiveFrom.IsZero() {
		return key.CreatedAt
	}
	return key.ActiveFrom
}
