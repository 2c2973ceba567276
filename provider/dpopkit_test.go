package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// dpopKey is a key that signs DPoP proofs. They are made by hand, since a test
// wants some that no library makes.
type dpopKey struct {
	alg string
	key crypto.Signer
}

func newDPoPKey(t *testing.T) dpopKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return dpopKey{"ES256", key}
}

// jwk is the public key as it stands in a proof's header.
func (k dpopKey) jwk(t *testing.T) map[string]any {
	t.Helper()
	return jwkOf(t, k.key.Public())
}

func jwkOf(t *testing.T, key any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// thumbprint is the key's, RFC 7638.
func (k dpopKey) thumbprint(t *testing.T) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: k.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// jws are the two parts of a proof that are signed.
type jws struct{ header, claims map[string]any }

// proof is a valid one for a request, apart from what change does to it.
func (k dpopKey) proof(t *testing.T, method, target, accessToken string, change func(jws)) string {
	t.Helper()
	parts := jws{
		header: map[string]any{"typ": "dpop+jwt", "alg": k.alg, "jwk": k.jwk(t)},
		claims: map[string]any{"jti": rand.Text(), "htm": method, "htu": target, "iat": time.Now().Unix()},
	}
	if accessToken != "" {
		parts.claims["ath"] = challenge(accessToken) // the same hash
	}
	if change != nil {
		change(parts)
	}
	input := segment(t, parts.header) + "." + segment(t, parts.claims)
	alg, _ := parts.header["alg"].(string)
	return input + "." + base64.RawURLEncoding.EncodeToString(k.sign(t, alg, input))
}

func segment(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// sign makes the signature of a JWS, RFC 7515 §5.1.
func (k dpopKey) sign(t *testing.T, alg, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch key := k.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	case *rsa.PrivateKey:
		if alg == "RS256" {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		} else {
			signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, key, sum[:])
		size := (key.Params().BitSize + 7) / 8
		signature, err = make([]byte, 2*size), signErr
		if err == nil {
			r.FillBytes(signature[:size])
			s.FillBytes(signature[size:])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// withProof puts a proof into a request.
func withProof(proof string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("DPoP", proof) }
}

// both applies two changes to a request.
func both(a, b func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) { a(r); b(r) }
}

// dpop presents an access token that is bound to a key.
func dpop(token, proof string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", proof)
	}
}

// withoutMember removes a member of a proof's header or claims.
func withoutMember(name string) func(jws) {
	return func(p jws) { delete(p.header, name); delete(p.claims, name) }
}

// withClaim changes a claim of a proof.
func withClaim(name string, value any) func(jws) {
	return func(p jws) { p.claims[name] = value }
}

// withHeader changes a member of a proof's header.
func withHeader(name string, value any) func(jws) {
	return func(p jws) { p.header[name] = value }
}
