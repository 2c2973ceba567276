package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const (
	keyClient      = "key-client"    // authenticates by private_key_jwt
	signingClient  = "secret-signer" // authenticates by client_secret_jwt
	signingSecret  = "a-secret-of-more-than-thirty-two-bytes"
	assertionTypeV = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// rpKeys are the keys of relying parties, by algorithm.
var rpKeys = sync.OnceValue(func() map[jose.SignatureAlgorithm]crypto.Signer {
	keys := map[jose.SignatureAlgorithm]crypto.Signer{}
	for _, key := range fixedKeys() {
		if key.Algorithm == string(jose.RS256) { // any RSA key will do
			keys[jose.RS256], keys[jose.PS256] = key.Key.(crypto.Signer), key.Key.(crypto.Signer)
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys[jose.ES256], keys[jose.EdDSA], keys["Ed25519"] = ec, ed, ed
	return keys
})

// publicKeys is the public side of keys as a client registers it, without "kid".
func publicKeys(t *testing.T, keys ...crypto.Signer) map[string]any {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var jwks map[string]any
	if err := json.Unmarshal(raw, &jwks); err != nil {
		t.Fatal(err)
	}
	return jwks
}

// signed is a compact JWS of claims with a "typ" and, if not "", a "kid".
func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, kid, typ string, claims any) string { //nolint:revive // a JWS has that many parts
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	if private, ok := key.(ed25519.PrivateKey); ok && alg == "Ed25519" { // a name that go-jose does not know
		key = provider.Ed25519Signer(private)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// assertionClaims are those of a valid assertion, with a "jti" of its own.
func assertionClaims(op *providertest.Server, client string) map[string]any {
	return map[string]any{
		"iss": client, "sub": client, "aud": op.URL() + "/token", "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
}

// asserting is a client_credentials request that authenticates by an assertion.
func asserting(assertion string) params {
	return params{"grant_type": "client_credentials", "client_assertion_type": assertionTypeV, "client_assertion": assertion}
}

func assertionClients(t *testing.T) []provider.Client {
	t.Helper()
	var keys []crypto.Signer
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		keys = append(keys, rpKeys()[alg])
	}
	return append(providertest.DefaultClients(),
		provider.Client{
			ID: keyClient, TokenEndpointAuthMethod: "private_key_jwt", JWKS: publicKeys(t, keys...), GrantTypes: []string{"client_credentials"},
		},
		provider.Client{
			ID: "rsa-only", TokenEndpointAuthMethod: "private_key_jwt", TokenEndpointAuthSigningAlg: "RS256",
			JWKS: publicKeys(t, keys...), GrantTypes: []string{"client_credentials"},
		},
		provider.Client{
			ID: signingClient, TokenEndpointAuthMethod: "client_secret_jwt", Secret: signingSecret, GrantTypes: []string{"client_credentials"},
		},
	)
}

func startWithAssertions(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: assertionClients(t)})
}

// TestAssertionAlgorithms: each algorithm that is announced authenticates.
func TestAssertionAlgorithms(t *testing.T) {
	op := startWithAssertions(t)
	for alg, key := range rpKeys() {
		assertion := signed(t, alg, key, "", "JWT", assertionClaims(op, keyClient))
		if a := postForm(t, op.URL()+"/token", asserting(assertion), nil); a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", alg, a.Status, a.Raw)
		}
	}
	assertion := signed(t, jose.HS256, []byte(signingSecret), "", "JWT", assertionClaims(op, signingClient))
	if a := postForm(t, op.URL()+"/token", asserting(assertion), nil); a.Status != http.StatusOK {
		t.Errorf("HS256: %d %s", a.Status, a.Raw)
	}
}

// TestAssertionAudiences: the issuer, the token endpoint and the endpoint that
// is called, alone or among others (RFC 7523 §3).
func TestAssertionAudiences(t *testing.T) {
	op := startWithAssertions(t)
	for _, tt := range []struct {
		name, path string
		aud        any
		want       int
	}{
		{"issuer", "/token", op.URL(), http.StatusOK},
		{"token endpoint", "/token", op.URL() + "/token", http.StatusOK},
		{"list", "/token", []string{"https://other.example", op.URL()}, http.StatusOK},
		{"own endpoint", "/revoke", op.URL() + "/revoke", http.StatusOK},
		{"token endpoint elsewhere", "/introspect", op.URL() + "/token", http.StatusOK},
		{"another endpoint", "/token", op.URL() + "/revoke", http.StatusUnauthorized},
		{"another provider", "/token", "https://other.example", http.StatusUnauthorized},
		{"a longer name", "/token", op.URL() + ".example", http.StatusUnauthorized},
		{"none", "/token", nil, http.StatusUnauthorized},
		{"empty list", "/token", []string{}, http.StatusUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := assertionClaims(op, keyClient)
			claims["aud"] = tt.aud
			if tt.aud == nil {
				delete(claims, "aud")
			}
			request := asserting(signed(t, jose.ES256, rpKeys()[jose.ES256], "", "JWT", claims)).with(params{"token": "some-token"})
			if a := postForm(t, op.URL()+tt.path, request, nil); a.Status != tt.want {
				t.Errorf("%d %s, want %d", a.Status, a.Raw, tt.want)
			}
		})
	}
}

// TestAssertionRefusals takes away or breaks one thing of a valid assertion.
func TestAssertionRefusals(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{
		Clients: assertionClients(t), Configure: func(c *provider.Config) { c.Explain = true },
	})
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, says string
		change     map[string]any
		key        any
		alg        jose.SignatureAlgorithm
	}{
		{name: "no sub", says: "has no sub", change: map[string]any{"sub": nil}},
		{name: "no iss", says: "iss and sub", change: map[string]any{"iss": nil}},
		{name: "another iss", says: "iss and sub", change: map[string]any{"iss": "web"}},
		{name: "sub of another client", says: "by the method that it registered", change: map[string]any{"sub": "web"}},
		{name: "sub of nobody", says: "not registered", change: map[string]any{"sub": "nobody"}},
		{
			name: "another aud", says: "for somebody else. Expected: " + op.URL() + " or " + op.URL() + "/token. Arrived: https://other.example.",
			change: map[string]any{"aud": "https://other.example"},
		},
		{name: "no exp", says: "has no exp", change: map[string]any{"exp": nil}},
		{name: "expired", says: "has expired", change: map[string]any{"exp": in(-5 * time.Minute)}},
		{name: "exp far away", says: "too far away", change: map[string]any{"exp": in(25 * time.Hour)}},
		{name: "nbf to come", says: "not valid yet", change: map[string]any{"nbf": in(65 * time.Second)}},
		{name: "iat to come", says: "from the future", change: map[string]any{"iat": in(65 * time.Second)}},
		{name: "no jti", says: "jti of client_assertion", change: map[string]any{"jti": nil}},
		{name: "long jti", says: "jti of client_assertion", change: map[string]any{"jti": strings.Repeat("x", 257)}},
		{name: "exp as text", says: "malformed", change: map[string]any{"exp": "soon"}},
		{name: "another key", says: "key", key: foreign},
		{name: "HS256 with the public key's bytes", says: "by the method that it registered", key: []byte(strings.Repeat("k", 32)), alg: jose.HS256},
		{name: "algorithm that is not accepted", says: "not a JWT signed by", alg: jose.RS512, key: rpKeys()[jose.RS256]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := assertionClaims(op, keyClient)
			for name, value := range tt.change {
				claims[name] = value
				if value == nil {
					delete(claims, name)
				}
			}
			if tt.alg == "" {
				tt.alg = jose.ES256
			}
			if tt.key == nil {
				tt.key = rpKeys()[tt.alg]
			}
			a := postForm(t, op.URL()+"/token", asserting(signed(t, tt.alg, tt.key, "", "JWT", claims)), nil)
			wantError(t, a, http.StatusUnauthorized, "invalid_client")
			if !strings.Contains(a.text("error_description"), tt.says) {
				t.Errorf("description %q does not say %q", a.text("error_description"), tt.says)
			}
			if a.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
}

// TestAssertionSkew: a clock that is slightly off is no reason to refuse.
func TestAssertionSkew(t *testing.T) {
	op := startWithAssertions(t)
	for name, value := range map[string]time.Duration{"nbf": 8 * time.Second, "iat": 8 * time.Second, "exp": -8 * time.Second} {
		claims := assertionClaims(op, keyClient)
		claims[name] = time.Now().Add(value).Unix()
		a := postForm(t, op.URL()+"/token", asserting(signed(t, jose.ES256, rpKeys()[jose.ES256], "", "JWT", claims)), nil)
		if a.Status != http.StatusOK {
			t.Errorf("%s %s from now: %d %s", name, value, a.Status, a.Raw)
		}
	}
}

// TestAssertionForm removes or breaks one parameter of the request.
func TestAssertionForm(t *testing.T) {
	op := startWithAssertions(t)
	valid := func(client string, alg jose.SignatureAlgorithm, key any) params {
		return asserting(signed(t, alg, key, "", "JWT", assertionClaims(op, client)))
	}
	es256 := func() params { return valid(keyClient, jose.ES256, rpKeys()[jose.ES256]) }
	for _, tt := range []struct {
		name   string
		form   params
		change func(*http.Request)
		status int
		code   string
	}{
		{"no type", es256().with(params{"client_assertion_type": ""}), nil, 401, "invalid_client"},
		{"another type", es256().with(params{"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}), nil, 401, "invalid_client"},
		{"no assertion", es256().with(params{"client_assertion": ""}), nil, 401, "invalid_client"},
		{"no JWT", es256().with(params{"client_assertion": "x"}), nil, 401, "invalid_client"},
		{"unsigned", es256().with(params{"client_assertion": unsigned("e30", "JWT")}), nil, 401, "invalid_client"},
		{"another client_id", es256().with(params{"client_id": "web"}), nil, 401, "invalid_client"},
		{"a secret, too", es256().with(params{"client_secret": "x"}), nil, 400, "invalid_request"},
		{"the header, too", es256(), asWeb, 400, "invalid_request"},
		{"client_id alone", params{"grant_type": "client_credentials", "client_id": keyClient}, nil, 401, "invalid_client"},
		{"another registered algorithm", valid("rsa-only", jose.ES256, rpKeys()[jose.ES256]), nil, 401, "invalid_client"},
		{"a secret that is not the client's", valid(signingClient, jose.HS256, []byte(strings.Repeat("k", 32))), nil, 401, "invalid_client"},
		{"a key where a secret is registered", valid(signingClient, jose.ES256, rpKeys()[jose.ES256]), nil, 401, "invalid_client"},
		{"the same client_id", es256().with(params{"client_id": keyClient}), nil, 200, ""},
		{"the registered algorithm", valid("rsa-only", jose.RS256, rpKeys()[jose.RS256]), nil, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := postForm(t, op.URL()+"/token", tt.form, tt.change)
			if a.Status != tt.status || a.text("error") != tt.code {
				t.Errorf("%d %s; want %d %s", a.Status, a.Raw, tt.status, tt.code)
			}
		})
	}
}

// TestAssertionOnce: an assertion is spent by the first request that carries it,
// also by one that fails afterwards, and by one of many at once.
func TestAssertionOnce(t *testing.T) {
	op := startWithAssertions(t)
	sign := func(claims map[string]any) params {
		return asserting(signed(t, jose.ES256, rpKeys()[jose.ES256], "", "JWT", claims))
	}
	t.Run("after success", func(t *testing.T) {
		request := sign(assertionClaims(op, keyClient))
		if a := postForm(t, op.URL()+"/token", request, nil); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		wantError(t, postForm(t, op.URL()+"/token", request, nil), http.StatusUnauthorized, "invalid_client")
	})
	t.Run("after failure", func(t *testing.T) {
		request := sign(assertionClaims(op, keyClient))
		wantError(t, postForm(t, op.URL()+"/token", request.with(params{"scope": "unheard-of"}), nil), http.StatusBadRequest, "invalid_scope")
		wantError(t, postForm(t, op.URL()+"/token", request, nil), http.StatusUnauthorized, "invalid_client")
	})
	t.Run("the same jti in another assertion", func(t *testing.T) {
		claims := assertionClaims(op, keyClient)
		if a := postForm(t, op.URL()+"/token", sign(claims), nil); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		claims["iat"] = time.Now().Add(-time.Second).Unix()
		wantError(t, postForm(t, op.URL()+"/token", sign(claims), nil), http.StatusUnauthorized, "invalid_client")
	})
	t.Run("the same jti of another client", func(t *testing.T) {
		first, second := assertionClaims(op, keyClient), assertionClaims(op, "rsa-only")
		second["jti"] = first["jti"]
		for _, request := range []params{sign(first), asserting(signed(t, jose.RS256, rpKeys()[jose.RS256], "", "JWT", second))} {
			if a := postForm(t, op.URL()+"/token", request, nil); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Raw)
			}
		}
	})
	t.Run("64 at once", func(t *testing.T) {
		request := sign(assertionClaims(op, keyClient))
		statuses := make(chan int)
		for range 64 {
			go func() {
				resp, err := http.DefaultClient.Do(formRequest(t.Context(), t, op.URL()+"/token", request, nil))
				if err != nil {
					statuses <- 0
					return
				}
				_ = resp.Body.Close()
				statuses <- resp.StatusCode
			}()
		}
		count := map[int]int{}
		for range 64 {
			count[<-statuses]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusUnauthorized] != 63 {
			t.Errorf("statuses: %v; want one 200 and 63 times 401", count)
		}
	})
}

// TestAssertionStoreFails: what cannot be noted is not accepted.
func TestAssertionStoreFails(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{Clients: assertionClients(t)})
	store.fail("Commit")
	assertion := signed(t, jose.ES256, rpKeys()[jose.ES256], "", "JWT", assertionClaims(op, keyClient))
	wantUnavailable(t, postForm(t, op.URL()+"/token", asserting(assertion), nil))
}
