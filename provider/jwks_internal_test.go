package provider

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// testKeys are a client's private keys, made once.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for _, name := range []string{"RSA", "RSA 2"} {
		keys[name] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-256 2": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		keys[name] = must(ecdsa.GenerateKey(curve, rand.Reader))
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	keys["Ed25519"] = must(edwards, err)
	return keys
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// publicJWK is the JWK of a test key with more members.
func publicJWK(name string, more map[string]any) map[string]any {
	return with(jose.JSONWebKey{Key: testKeys()[name].Public()}, more)
}

func privateJWK(name string) map[string]any { return with(jose.JSONWebKey{Key: testKeys()[name]}, nil) }

func with(key jose.JSONWebKey, more map[string]any) map[string]any {
	members := map[string]any{}
	if err := json.Unmarshal(must(key.MarshalJSON()), &members); err != nil {
		panic(err)
	}
	maps.Copy(members, more)
	return members
}

// jwksOf is a JWK Set.
func jwksOf(keys ...map[string]any) map[string]any {
	return map[string]any{"keys": append([]map[string]any{}, keys...)}
}

func encoded(set map[string]any) []byte { return must(json.Marshal(set)) }

// signedBy is a token that a test key signed, with a kid if it is not empty.
func signedBy(t *testing.T, name string, alg jose.SignatureAlgorithm, kid string) *jwt.JSONWebToken {
	t.Helper()
	options := &jose.SignerOptions{}
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: testKeys()[name]}, options)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(map[string]any{"iss": "rp"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return parsedToken(t, raw)
}

// parsedToken reads a token of any algorithm, as no caller should.
func parsedToken(t *testing.T, raw string) *jwt.JSONWebToken {
	t.Helper()
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256,
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestParseJWKS(t *testing.T) {
	rsaKey := func(more map[string]any) map[string]any { return publicJWK("RSA", more) }
	octets := func(n int) string { return base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, n)) }
	odd := base64.RawURLEncoding.EncodeToString(append([]byte{0x7f}, bytes.Repeat([]byte{0xff}, 255)...))
	many := slices.Repeat([]map[string]any{rsaKey(nil)}, maxKeys+1)
	without := func(name, member string) map[string]any {
		key := publicJWK(name, nil)
		delete(key, member)
		return key
	}
	for _, tt := range []struct {
		name     string
		document any // a string as it stands, or what becomes JSON
		keys     int
		ignored  string
		err      error
	}{
		{"a key", jwksOf(rsaKey(nil)), 1, "", nil},
		{"keys of each kind", jwksOf(rsaKey(nil), publicJWK("P-256", nil), publicJWK("P-384", nil), publicJWK("P-521", nil), publicJWK("Ed25519", nil)), 5, "", nil},
		{"members that nobody knows", map[string]any{"keys": []any{rsaKey(map[string]any{"foo": 1})}, "bar": 2}, 1, "", nil},
		{"no keys", jwksOf(), 0, "", nil},
		{"as many keys as may be", jwksOf(many[:maxKeys]...), maxKeys, "", nil},
		{"for signatures", jwksOf(rsaKey(map[string]any{"use": "sig", "key_ops": []string{"sign", "verify"}})), 1, "", nil},

		{"one key too many", jwksOf(many...), 0, "", errManyKeys},
		{"nothing", "", 0, "", errNotJWKS},
		{"no JSON", "<html>", 0, "", errNotJWKS},
		{"more than a document", `{"keys":[]} {}`, 0, "", errNotJWKS},
		{"no object", []string{"keys"}, 0, "", errNotJWKS},
		{"null", nil, 0, "", errNotJWKS},
		{"a key alone", rsaKey(nil), 0, "", errNotJWKS},
		{"another spelling", map[string]any{"Keys": []any{rsaKey(nil)}}, 0, "", errNotJWKS},
		{"keys that are no list", map[string]any{"keys": rsaKey(nil)}, 0, "", errNotJWKS},
		{"keys null", map[string]any{"keys": nil}, 0, "", errNotJWKS},
		{"a key that is no object", map[string]any{"keys": []any{"RSA"}}, 0, "", errNotJWKS},
		{"a key that is null", map[string]any{"keys": []any{nil}}, 0, "", errNotJWKS},
		{"a member twice", `{"keys":[],"keys":[]}`, 0, "", errNotJWKS},
		{"a member of a key twice", `{"keys":[{"kty":"EC","kty":"oct"}]}`, 0, "", errNotJWKS},

		{"a private RSA key", jwksOf(publicJWK("P-256", nil), privateJWK("RSA")), 0, "", errPrivateKey},
		{"a private EC key", jwksOf(privateJWK("P-256")), 0, "", errPrivateKey},
		{"a private Ed25519 key", jwksOf(privateJWK("Ed25519")), 0, "", errPrivateKey},
		{"a private member alone", jwksOf(rsaKey(map[string]any{"qi": "AA"})), 0, "", errPrivateKey},
		{"a private key for another use", jwksOf(with(jose.JSONWebKey{Key: testKeys()["RSA"], Use: "enc"}, nil)), 0, "", errPrivateKey},

		{"a symmetric key", jwksOf(map[string]any{"kty": "oct", "k": octets(32)}), 0, "key 1 is symmetric", nil},
		{"an unknown kty", jwksOf(map[string]any{"kty": "XYZ", "d": "AA"}), 0, "key 1 is of a kty that is not supported", nil},
		{"no kty", jwksOf(without("RSA", "kty")), 0, "key 1 is of a kty that is not supported", nil},
		{"a kty that is no text", jwksOf(publicJWK("RSA", map[string]any{"kty": 1})), 0, "", errNotJWKS},
		{"an unknown kty beside another", jwksOf(map[string]any{"kty": "XYZ"}, rsaKey(nil)), 1, "key 1 is of a kty that is not supported", nil},
		{"an unknown curve", jwksOf(publicJWK("P-256", map[string]any{"crv": "secp256k1"})), 0, "key 1 is not readable: unsupported elliptic curve 'secp256k1'", nil},
		{"a curve with a long name", jwksOf(publicJWK("P-256", map[string]any{"crv": strings.Repeat("x", 1000)})), 0, "key 1 is not readable: unsupported elliptic curve '" + strings.Repeat("x", 50), nil},
		{"a curve for agreement", jwksOf(publicJWK("Ed25519", map[string]any{"crv": "X25519"})), 0, "key 1 is not readable: ", nil},
		{"a point beside the curve", jwksOf(publicJWK("P-256", map[string]any{"x": octets(32)})), 0, "key 1 is not readable: invalid EC key, X/Y are not on declared curve", nil},
		{"no modulus", jwksOf(without("RSA", "n")), 0, "key 1 is not readable: invalid RSA key, missing n/e values", nil},
		{"1024 bits", jwksOf(rsaKey(map[string]any{"n": octets(128)})), 0, "key 1 is an RSA key of 1024 bits, fewer than 2048", nil},
		{"2047 bits", jwksOf(rsaKey(map[string]any{"n": odd})), 0, "key 1 is an RSA key of 2047 bits, fewer than 2048", nil},
		{"too many bits", jwksOf(rsaKey(map[string]any{"n": octets(1024)})), 0, "key 1 is not readable: invalid RSA key, modulus too large", nil},
		{"for encryption", jwksOf(rsaKey(map[string]any{"use": "enc"})), 0, "key 1 is not for signatures (use)", nil},
		{"for wrapping", jwksOf(rsaKey(map[string]any{"key_ops": []string{"wrapKey"}})), 0, "key 1 is not for verifying (key_ops)", nil},
		{"key_ops that is no list", jwksOf(rsaKey(map[string]any{"key_ops": "verify"})), 0, "key 1 is not for verifying (key_ops)", nil},
		{"use that is no text", jwksOf(rsaKey(map[string]any{"use": 1})), 0, "key 1 is not readable: ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document, ok := tt.document.(string)
			if !ok {
				document = string(must(json.Marshal(tt.document)))
			}
			set, err := parseJWKS([]byte(document))
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			ignored := strings.Join(set.ignored, "; ")
			if len(set.keys) != tt.keys || !strings.HasPrefix(ignored, tt.ignored) || tt.ignored == "" && ignored != "" || len(ignored) > 120 {
				t.Errorf("%d keys, %q", len(set.keys), ignored)
			}
		})
	}
}

// TestKeyFits: a key verifies the algorithms of its type and curve, and of its
// own alg alone if it has one.
func TestKeyFits(t *testing.T) {
	fitting := map[string][]string{
		"RSA":     {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		"P-256":   {"ES256"},
		"P-384":   {"ES384"},
		"P-521":   {"ES512"},
		"Ed25519": {"EdDSA", "Ed25519"}, // two names of one algorithm
	}
	algs := slices.Concat([]string{"", "none", "HS256", "HS512", "RSA-OAEP"}, slices.Concat(slices.Collect(maps.Values(fitting))...))
	for name, fit := range fitting {
		public := testKeys()[name].Public()
		for _, alg := range algs {
			want := slices.Contains(fit, alg)
			if got := keyFits(jose.JSONWebKey{Key: public}, alg); got != want {
				t.Errorf("%s for %q: %v", name, alg, got)
			}
			for _, own := range algs[1:] {
				if got := keyFits(jose.JSONWebKey{Key: public, Algorithm: own}, alg); got != (want && (own == alg || slices.Contains(fit, own) && name == "Ed25519")) {
					t.Errorf("%s of alg %q for %q: %v", name, own, alg, got)
				}
			}
		}
	}
	for _, key := range []any{nil, []byte("secret"), testKeys()["RSA"]} {
		if keyFits(jose.JSONWebKey{Key: key}, "RS256") || keyFits(jose.JSONWebKey{Key: key}, "HS256") {
			t.Errorf("%T fits", key)
		}
	}
}

// TestKeySetVerifies: which keys are tried for a token.
func TestKeySetVerifies(t *testing.T) {
	kid := func(kid string) map[string]any { return map[string]any{"kid": kid} }
	alg := func(alg string) map[string]any { return map[string]any{"alg": alg} }
	octets := map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	hmac := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: make([]byte, 32)}, nil))
	for _, tt := range []struct {
		name  string
		keys  []map[string]any
		token *jwt.JSONWebToken
		want  error
	}{
		{"kid", []map[string]any{publicJWK("RSA 2", kid("a")), publicJWK("RSA", kid("b"))}, signedBy(t, "RSA", "RS256", "b"), nil},
		{"a kid that several keys have", []map[string]any{publicJWK("RSA 2", kid("a")), publicJWK("RSA", kid("a"))}, signedBy(t, "RSA", "RS256", "a"), nil},
		{"no kid in the token", []map[string]any{publicJWK("RSA 2", kid("a")), publicJWK("RSA", kid("b"))}, signedBy(t, "RSA", "RS256", ""), nil},
		{"no kid in the key", []map[string]any{publicJWK("RSA 2", nil), publicJWK("RSA", nil)}, signedBy(t, "RSA", "RS256", "b"), nil},
		{"no kid at all", []map[string]any{publicJWK("RSA 2", nil), publicJWK("RSA", nil)}, signedBy(t, "RSA", "RS256", ""), nil},
		{"another key's kid", []map[string]any{publicJWK("RSA 2", kid("a")), publicJWK("RSA", kid("b"))}, signedBy(t, "RSA", "RS256", "a"), errBadSignature},
		{"an unknown kid", []map[string]any{publicJWK("RSA", kid("a"))}, signedBy(t, "RSA", "RS256", "b"), errNoKeyFits},
		{"another key", []map[string]any{publicJWK("RSA 2", nil)}, signedBy(t, "RSA", "RS256", ""), errBadSignature},
		{"PS256", []map[string]any{publicJWK("RSA", nil)}, signedBy(t, "RSA", "PS256", ""), nil},
		{"ES256", []map[string]any{publicJWK("P-384", nil), publicJWK("P-256", nil)}, signedBy(t, "P-256", "ES256", ""), nil},
		{"ES384", []map[string]any{publicJWK("P-256", nil), publicJWK("P-384", nil)}, signedBy(t, "P-384", "ES384", ""), nil},
		{"EdDSA", []map[string]any{publicJWK("Ed25519", nil)}, signedBy(t, "Ed25519", "EdDSA", ""), nil},
		{"RS256 by a PS256 key", []map[string]any{publicJWK("RSA", alg("PS256"))}, signedBy(t, "RSA", "RS256", ""), errNoKeyFits},
		{"an EC key for RS256", []map[string]any{publicJWK("P-256", kid("a"))}, signedBy(t, "RSA", "RS256", "a"), errNoKeyFits},
		{"a P-384 key for ES256", []map[string]any{publicJWK("P-384", kid("a"))}, signedBy(t, "P-256", "ES256", "a"), errNoKeyFits},
		{"a symmetric key", []map[string]any{octets}, parsedToken(t, must(jwt.Signed(hmac).Claims(map[string]any{}).Serialize())), errNoKeyFits},
		{"no keys", nil, signedBy(t, "RSA", "RS256", ""), errNoKeyFits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := inlineJWKS(jwksOf(tt.keys...))
			if err != nil {
				t.Fatal(err)
			}
			if err := set.verify(tt.token); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNoKeyFitsSaysWhy, within bounds.
func TestNoKeyFitsSaysWhy(t *testing.T) {
	unusable := slices.Repeat([]map[string]any{publicJWK("RSA", map[string]any{"use": "enc"})}, 5)
	set, err := inlineJWKS(jwksOf(unusable...))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(set.verify(signedBy(t, "RSA", "RS256", "a")))
	const want = "none of the client's keys fits alg RS256 and kid a " +
		"(key 1 is not for signatures (use); key 2 is not for signatures (use); key 3 is not for signatures (use))"
	if got != want {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(set.verify(signedBy(t, "RSA", "RS256", strings.Repeat("x", 1000)))); len(got) > 300 {
		t.Errorf("%d bytes", len(got))
	}
}
