package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// keysFresh is how long a fetched key set is used without asking again, so
	// that a key which the issuer withdrew is forgotten.
	keysFresh = 5 * time.Minute
	// refetchPause bounds how often an unknown kid makes this server ask: a kid
	// is whatever the sender wrote, and must not be a way to flood the issuer.
	refetchPause = 3 * time.Second
	// fetchLimit is the time for one fetch, metadata and keys together.
	fetchLimit = 5 * time.Second
	// maxDocument bounds what is read of an issuer's answer.
	maxDocument = 256 << 10
)

// trusted is an issuer with its keys.
type trusted struct {
	Issuer
	subjects string
	keys     *keySet
}

func newTrusted(i Issuer, client *http.Client) *trusted {
	subjects := i.SubjectsOf
	if subjects == "" {
		subjects = i.URL
	}
	return &trusted{Issuer: i, subjects: subjects, keys: &keySet{issuer: i.URL, url: i.JWKSURL, client: client}}
}

// keySet holds one issuer's public keys and fetches them when needed.
type keySet struct {
	issuer string
	url    string // "" = ask the issuer's metadata
	client *http.Client
	flight singleflight.Group

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when the keys were had
	asked   time.Time // when they were last asked for, with or without success
}

// key returns the key that header names. It asks the issuer when there are no
// keys yet, when they are old, and when the kid is unknown: an issuer announces
// a new key by using it (OpenID Connect Core §10.1.1).
func (s *keySet) key(ctx context.Context, header jose.Header) (*jose.JSONWebKey, error) {
	key, fetched, asked := s.lookup(header)
	switch {
	case key != nil && (fetched < keysFresh || asked < refetchPause):
		return key, nil
	case key == nil && fetched < refetchPause:
		return nil, fmt.Errorf("%w is %q", ErrKey, header.KeyID)
	}
	if err := s.refresh(ctx); err != nil {
		if key != nil {
			return key, nil // the issuer is away; what it published last still holds
		}
		return nil, err
	}
	if key, _, _ = s.lookup(header); key == nil {
		return nil, fmt.Errorf("%w is %q", ErrKey, header.KeyID)
	}
	return key, nil
}

// lookup finds a public signing key by kid and algorithm, and says how long ago
// the set was fetched and asked for. A key is used for what its owner made it
// (RFC 7517 §4.2, §4.4).
func (s *keySet) lookup(header jose.Header) (key *jose.JSONWebKey, fetched, asked time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fetched, asked = time.Since(s.fetched), time.Since(s.asked)
	for i := range s.keys {
		k := &s.keys[i]
		if k.KeyID == header.KeyID && k.KeyID != "" && k.IsPublic() &&
			(k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || k.Algorithm == header.Algorithm) {
			return k, fetched, asked
		}
	}
	return nil, fetched, asked
}

// refresh fetches the set anew. Callers who come at the same time share one
// fetch, which goes on when one of them leaves.
func (s *keySet) refresh(ctx context.Context) error {
	_, err, _ := s.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		defer cancel()
		keys, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = time.Now()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
		}
		s.keys, s.fetched = keys, s.asked
		return nil, nil
	})
	return err
}

func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	location := s.url
	if location == "" {
		var err error
		if location, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, location, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// "Implementations SHOULD ignore JWKs … that use kty values that are not
		// understood by them" (RFC 7517 §5).
		if json.Unmarshal(raw, &key) == nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// discover reads jwks_uri from the issuer's metadata: that of OAuth (RFC 8414)
// or, where there is none, that of OpenID Connect Discovery.
func (s *keySet) discover(ctx context.Context) (string, error) {
	issuer, err := url.Parse(s.issuer)
	if err != nil {
		return "", err
	}
	// RFC 8414 §3.1 puts the well-known path before the issuer's own path, OpenID
	// Connect Discovery §4.1 behind it.
	path := strings.TrimSuffix(issuer.Path, "/")
	oauth := *issuer
	oauth.Path = "/.well-known/oauth-authorization-server" + path
	oidc := *issuer
	oidc.Path = path + "/.well-known/openid-configuration"

	var meta struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err = s.get(ctx, oauth.String(), &meta); err != nil {
		if err = s.get(ctx, oidc.String(), &meta); err != nil {
			return "", err
		}
	}
	// "The issuer value returned MUST be identical" (RFC 8414 §3.3).
	if meta.Issuer != s.issuer {
		return "", fmt.Errorf("the metadata of %s are those of %q", s.issuer, meta.Issuer)
	}
	if meta.JWKSURI == "" {
		return "", fmt.Errorf("the metadata of %s name no jwks_uri", s.issuer)
	}
	return meta.JWKSURI, nil
}

func (s *keySet) get(ctx context.Context, location string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d", location, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", location, err)
	}
	if len(body) > maxDocument {
		return fmt.Errorf("GET %s: more than %d bytes", location, maxDocument)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", location, err)
	}
	return nil
}
