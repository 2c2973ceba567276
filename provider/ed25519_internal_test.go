package provider

import (
	"crypto/ed25519"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Ed25519Signer signs by the name of RFC 9864, as WebCrypto's users do.
type Ed25519Signer ed25519.PrivateKey

func (s Ed25519Signer) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: ed25519.PrivateKey(s).Public()}
}

func (Ed25519Signer) Algs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{algEd25519}
}

func (s Ed25519Signer) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	return ed25519.Sign(ed25519.PrivateKey(s), payload), nil
}

// TestEd25519Verifies what was signed, by this key, under this name.
func TestEd25519Verifies(t *testing.T) {
	key, ok := testKeys()["Ed25519"].(ed25519.PrivateKey)
	if !ok {
		t.Fatal("no key")
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: algEd25519, Key: Ed25519Signer(key)}, nil))
	raw := must(jwt.Signed(signer).Claims(map[string]any{"iss": "rp"}).Serialize())
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{algEd25519})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		jwk  map[string]any
		good bool
	}{
		"a key":                  {publicJWK("Ed25519", nil), true},
		"a key of alg EdDSA":     {publicJWK("Ed25519", map[string]any{"alg": "EdDSA"}), true},
		"a key of alg Ed25519":   {publicJWK("Ed25519", map[string]any{"alg": "Ed25519"}), true},
		"a key of another alg":   {publicJWK("Ed25519", map[string]any{"alg": "ES256"}), false},
		"a key of another curve": {publicJWK("P-256", nil), false},
	} {
		set, err := inlineJWKS(jwksOf(tt.jwk))
		if err != nil {
			t.Fatal(err)
		}
		if err := set.verify(token); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := inlineJWKS(jwksOf(publicJWK("Ed25519", map[string]any{"alg": "Ed25519"})))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.verify(signedBy(t, "Ed25519", "EdDSA", "")); err != nil {
		t.Errorf("a key of alg Ed25519, a signature by EdDSA: %v", err)
	}

	public := ed25519Verifier(key.Public().(ed25519.PublicKey))
	payload := []byte("payload")
	signature := ed25519.Sign(key, payload)
	if err := public.VerifyPayload(payload, signature, algEd25519); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another payload":   public.VerifyPayload([]byte("another"), signature, algEd25519),
		"another signature": public.VerifyPayload(payload, ed25519.Sign(key, []byte("another")), algEd25519),
		"no signature":      public.VerifyPayload(payload, nil, algEd25519),
		"another algorithm": public.VerifyPayload(payload, signature, jose.EdDSA),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
