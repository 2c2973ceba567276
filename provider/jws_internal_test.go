package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestCompact: what is signed here, go-jose verifies, with the header that was meant.
func TestCompact(t *testing.T) {
	rsaKey, rsaErr := rsa.GenerateKey(rand.Reader, 2048)
	p256, p256Err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, p384Err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edwards, edErr := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{rsaErr, p256Err, p384Err, edErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
	keys := map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: rsaKey, jose.PS256: rsaKey, jose.ES256: p256, jose.ES384: p384, jose.EdDSA: edwards}
	for _, alg := range signingAlgorithms {
		key := &signingKey{JSONWebKey: jose.JSONWebKey{Key: keys[alg], KeyID: "a-key", Algorithm: string(alg), Use: useSignature}}
		if err := key.prepare(); err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		for range 50 { // R and S have leading zeros now and then
			for _, typ := range []string{typeJWT, typeAccessToken, typeLogoutToken} {
				token, err := key.compact(typ, []byte(`{"sub":"alice"}`))
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
				if err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
				header := parsed.Signatures[0].Header
				if header.KeyID != "a-key" || header.Algorithm != string(alg) || header.ExtraHeaders[jose.HeaderType] != typ {
					t.Errorf("%s: header %+v", alg, header)
				}
				payload, err := parsed.Verify(keys[alg].Public())
				if err != nil || string(payload) != `{"sub":"alice"}` {
					t.Errorf("%s: %q, %v", alg, payload, err)
				}
			}
			if alg == jose.RS256 || alg == jose.PS256 {
				break
			}
		}
		if _, err := key.compact("other", nil); err == nil {
			t.Errorf("%s: signed for a type that has no header", alg)
		}
	}
	for _, wrong := range []struct {
		alg jose.SignatureAlgorithm
		key any
	}{{jose.ES256, p384}, {jose.ES384, p256}, {jose.ES256, rsaKey}, {jose.RS256, p256}, {jose.EdDSA, p256}, {jose.HS256, rsaKey}, {jose.RS256, edwards}} {
		if _, err := signature(wrong.alg, wrong.key, []byte("x")); err == nil {
			t.Errorf("a %T signed with %s", wrong.key, wrong.alg)
		}
	}
}
