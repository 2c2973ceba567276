package provider

import (
	"crypto/ed25519"

	"github.com/go-jose/go-jose/v4"
)

// algEd25519 is the name that says what EdDSA leaves open, the curve (RFC 9864
// §2.2). Clients whose keys come from WebCrypto sign with it. What the provider
// signs, it signs as EdDSA, which every relying party knows.
const algEd25519 jose.SignatureAlgorithm = "Ed25519"

// sameAlgorithm reports whether two names mean one algorithm. Of the keys that
// EdDSA may have, we take Ed25519's only (RFC 8037 §3.1).
func sameAlgorithm(a, b string) bool {
	if a == string(algEd25519) {
		a = string(jose.EdDSA)
	}
	if b == string(algEd25519) {
		b = string(jose.EdDSA)
	}
	return a == b
}

// verifierOf returns what go-jose verifies a signature by alg with: the key, or a
// verifier for the name that it does not know.
func verifierOf(key any, alg string) any {
	if public, ok := key.(ed25519.PublicKey); ok && alg == string(algEd25519) {
		return ed25519Verifier(public)
	}
	return key
}

// ed25519Verifier is a jose.OpaqueVerifier.
type ed25519Verifier ed25519.PublicKey

func (v ed25519Verifier) VerifyPayload(payload, signature []byte, alg jose.SignatureAlgorithm) error {
	if alg != algEd25519 || !ed25519.Verify(ed25519.PublicKey(v), payload, signature) {
		return jose.ErrCryptoFailure
	}
	return nil
}
