package provider_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// Clients beside the default ones, see startWithMore.
const (
	opaqueClient     = "opaque" // public, opaque access tokens for resourceAudience
	resourceServer   = "api"    // confidential, may introspect what is for resourceAudience
	resourceSecret   = "api-secret-api-secret-api-secret"
	resourceAudience = "https://api.example"
)

func moreClients() []provider.Client {
	clients := providertest.DefaultClients()
	opaque := clients[0]
	opaque.ID, opaque.AccessTokenFormat, opaque.Audience = opaqueClient, "opaque", []string{resourceAudience}
	api := provider.Client{ID: resourceServer, Secret: resourceSecret, ResourceServer: resourceAudience}
	return append(clients, opaque, api)
}

func startWithMore(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: moreClients()})
}

func asResourceServer(r *http.Request) { r.SetBasicAuth(resourceServer, resourceSecret) }

// tokensOf signs alice in at one of the clients and redeems the code.
func tokensOf(t *testing.T, op *providertest.Server, client, scope string) answer {
	t.Helper()
	request, auth := codeRequest().with(params{"client_id": client, "scope": scope}), func(*http.Request) {}
	if client == providertest.ConfidentialClient {
		auth = asWeb
	}
	code := signIn(t, op, request).Get("code")
	a := postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": client}), auth)
	if a.Status != http.StatusOK {
		t.Fatalf("redeem: %d %s", a.Status, a.Raw)
	}
	return a
}

// tamper changes one part of a token that has dots in it, and keeps the rest. It does so in
// the middle: an opaque one begins with the time, by which it is looked up.
func tamper(token string, part int) string {
	parts := strings.Split(token, ".")
	changed := []byte(parts[part])
	middle := &changed[len(changed)/2]
	if *middle == 'A' {
		*middle = 'B'
	} else {
		*middle = 'A'
	}
	parts[part] = string(changed)
	return strings.Join(parts, ".")
}

// serving is a provider in process, made of any configuration: what is missing
// in it is filled in.
func serving(t *testing.T, config provider.Config) *inProcess {
	t.Helper()
	if config.Issuer == "" {
		config.Issuer = "http://op.localhost"
	}
	if config.Store == nil {
		config.Store = storagetest.NewModel()
		if config.FixedKeys == nil {
			providertest.LendKeys(t, config.Store)
		}
	}
	if config.Clients == nil {
		config.Clients = providertest.DefaultClients()
	}
	p, err := provider.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return &inProcess{handler: p, cookies: map[string]string{}}
}

// everyAlgorithm is what the provider signs with.
var everyAlgorithm = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// fixedKeys are a signing key of each algorithm, the same in every call.
var fixedKeys = sync.OnceValue(func() []jose.JSONWebKey {
	var keys []jose.JSONWebKey
	add := func(alg jose.SignatureAlgorithm, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		keys = append(keys, jose.JSONWebKey{Key: key, KeyID: "fixed-" + string(alg), Algorithm: string(alg), Use: "sig"})
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	add(jose.RS256, rsaKey, err)
	pssKey, err := rsa.GenerateKey(rand.Reader, 2048)
	add(jose.PS256, pssKey, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add(jose.ES256, ecKey, err)
	longerKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	add(jose.ES384, longerKey, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	add(jose.EdDSA, edKey, err)
	return keys
})

// storedKey is a key as the store has it, made a moment ago.
func storedKey(t *testing.T, alg string) storage.Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return storage.Key{ID: hex.EncodeToString(sum[:8]), Use: "sig", Algorithm: alg, Material: der, CreatedAt: time.Now()}
}

func newRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// errStore is what a faultyStore fails with. No answer may show it.
var errStore = errors.New("read /var/lib/secret/path: input/output error")

// faultyStore fails those methods that a test has broken.
type faultyStore struct {
	storage.Store
	mu     sync.Mutex
	broken map[string]bool
	// onCommit looks at what is committed and may refuse it.
	onCommit func(storage.Changes) error
}

// startFaulty runs a provider whose store can be broken.
func startFaulty(t *testing.T, o providertest.Options) (*providertest.Server, *faultyStore) {
	t.Helper()
	faulty := &faultyStore{broken: map[string]bool{}}
	configure := o.Configure
	o.Configure = func(c *provider.Config) {
		faulty.Store = c.Store
		c.Store = faulty
		if configure != nil {
			configure(c)
		}
	}
	op := providertest.Start(t, &o)
	if err := op.Provider.Ready(t.Context()); err != nil { // its own keys must not meet the faults
		t.Fatal(err)
	}
	return op, faulty
}

func (s *faultyStore) fail(methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, method := range methods {
		s.broken[method] = true
	}
}

// setOnCommit sets onCommit while the store is in use.
func (s *faultyStore) setOnCommit(look func(storage.Changes) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCommit = look
}

func (s *faultyStore) repair() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.broken)
}

func (s *faultyStore) fault(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken[method] {
		return errStore
	}
	return nil
}

func (s *faultyStore) AccessToken(ctx context.Context, id storage.Digest) (storage.AccessToken, storage.Grant, error) {
	if err := s.fault("AccessToken"); err != nil {
		return storage.AccessToken{}, storage.Grant{}, err
	}
	return s.Store.AccessToken(ctx, id)
}

func (s *faultyStore) RefreshToken(ctx context.Context, id storage.Digest) (storage.RefreshToken, storage.Grant, error) {
	if err := s.fault("RefreshToken"); err != nil {
		return storage.RefreshToken{}, storage.Grant{}, err
	}
	return s.Store.RefreshToken(ctx, id)
}

func (s *faultyStore) Session(ctx context.Context, id storage.Digest) (storage.Session, error) {
	if err := s.fault("Session"); err != nil {
		return storage.Session{}, err
	}
	return s.Store.Session(ctx, id)
}

func (s *faultyStore) Client(ctx context.Context, id string) (storage.Client, error) {
	if err := s.fault("Client"); err != nil {
		return storage.Client{}, err
	}
	return s.Store.Client(ctx, id)
}

func (s *faultyStore) Clients(ctx context.Context) ([]storage.Client, error) {
	if err := s.fault("Clients"); err != nil {
		return nil, err
	}
	return s.Store.Clients(ctx)
}

func (s *faultyStore) HasOrigin(ctx context.Context, origin string) (bool, error) {
	if err := s.fault("HasOrigin"); err != nil {
		return false, err
	}
	return s.Store.HasOrigin(ctx, origin)
}

func (s *faultyStore) Keys(ctx context.Context) ([]storage.Key, error) {
	if err := s.fault("Keys"); err != nil {
		return nil, err
	}
	return s.Store.Keys(ctx)
}

func (s *faultyStore) KeysVersion(ctx context.Context) (uint64, error) {
	if err := s.fault("KeysVersion"); err != nil {
		return 0, err
	}
	return s.Store.KeysVersion(ctx)
}

func (s *faultyStore) Ping(ctx context.Context) error {
	if err := s.fault("Ping"); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}

func (s *faultyStore) Commit(ctx context.Context, c storage.Changes) error {
	if err := s.fault("Commit"); err != nil {
		return err
	}
	s.mu.Lock()
	onCommit := s.onCommit
	s.mu.Unlock()
	if onCommit != nil {
		if err := onCommit(c); err != nil {
			return err
		}
	}
	return s.Store.Commit(ctx, c)
}

// wantUnavailable checks the answer to a request that our own fault spoils: to
// be tried again, and without a word of the cause.
func wantUnavailable(t *testing.T, a answer) {
	t.Helper()
	wantError(t, a, http.StatusServiceUnavailable, "temporarily_unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(a.Raw, "input/output") || strings.Contains(a.Raw, "/var/lib") {
		t.Errorf("the answer shows the cause: %s", a.Raw)
	}
}

// sameStore is a provider of other clients or users over op's store and issuer,
// as after a restart with a changed configuration.
func sameStore(t *testing.T, op *providertest.Server, clients []provider.Client, users []provider.User) *inProcess {
	t.Helper()
	return serving(t, provider.Config{Issuer: op.URL(), Store: op.Store, Clients: clients, Users: users})
}

// answer sends a request and reads the JSON in its answer.
func (op *inProcess) answer(t *testing.T, method, target string, form url.Values, change func(*http.Request)) answer {
	t.Helper()
	rec := op.do(t, method, target, form, change)
	a := answer{Status: rec.Code, Header: rec.Header(), Raw: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.Body)
	return a
}

// unsigned is a JWT with "alg": "none" (RFC 7519 §6).
func unsigned(payload, typ string) string {
	header, err := json.Marshal(map[string]string{"alg": "none", "typ": typ})
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(header) + "." + payload + "."
}
