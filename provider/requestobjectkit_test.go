package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// Clients that send request objects.
const (
	objectClient = "objects"      // any algorithm
	strictClient = "must-sign"    // require_signed_request_object
	rs256Client  = "rs256-alone"  // registered for RS256
	bareClient   = "without-keys" // has no keys
)

func objectClients(t *testing.T) []provider.Client {
	t.Helper()
	var keys []crypto.Signer
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		keys = append(keys, rpKeys()[alg])
	}
	clients := providertest.DefaultClients()
	add := func(id string, jwks map[string]any, change func(*provider.Client)) {
		c := clients[0]
		c.ID, c.JWKS, c.Audience = id, jwks, []string{resourceOne, resourceTwo}
		change(&c)
		clients = append(clients, c)
	}
	jwks := publicKeys(t, keys...)
	add(objectClient, jwks, func(*provider.Client) {})
	add(strictClient, jwks, func(c *provider.Client) { c.RequireSignedRequestObject = true })
	add(rs256Client, jwks, func(c *provider.Client) { c.RequestObjectSigningAlg = "RS256" })
	add(bareClient, nil, func(*provider.Client) {})
	return clients
}

func startWithObjects(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: objectClients(t)})
}

// members are the claims of a request object.
type members map[string]any

// objectMembers are a whole request of the client, and all that is said about it.
func objectMembers(op *providertest.Server, client string) members {
	m := members{
		"iss": client, "aud": op.URL(), "jti": "once", "iat": time.Now().Unix(),
		"nbf": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	for name, value := range codeRequest() {
		m[name] = value
	}
	m["client_id"] = client
	return m
}

// with returns a changed copy, in which nil takes a member away.
func (m members) with(changes members) members {
	c := maps.Clone(m)
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// object signs the members as a request object.
func object(t *testing.T, alg jose.SignatureAlgorithm, m members) string {
	t.Helper()
	return signed(t, alg, rpKeys()[alg], "", "oauth-authz-req+jwt", map[string]any(m))
}

// signedText is a compact JWS of any text.
func signedText(t *testing.T, payload string) string {
	t.Helper()
	return compact(t, jose.JSONWebKey{Key: rpKeys()[jose.ES256]}, "JWT", payload)
}

// newECKey is a key that nobody registered.
func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func base64url(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// byValue is a request with an object and nothing else (RFC 9101 §5).
func byValue(client, object string) params { return params{"client_id": client, "request": object} }

// redeemFor redeems a code of a client with the public client's verifier.
func redeemFor(t *testing.T, op *providertest.Server, client, code string) answer {
	t.Helper()
	a := postForm(t, op.URL()+"/token", redeem(code).with(params{"client_id": client}), nil)
	if a.Status != http.StatusOK {
		t.Fatalf("redeem: %d %s", a.Status, a.Raw)
	}
	return a
}
