package api

import (
	"crypto/ed25519"

	"github.com/go-jose/go-jose/v4"
)

// algEd25519 is the name by which browsers' own cryptography calls EdDSA with an
// Ed25519 key (RFC 9864 §2.2); go-jose knows the older one only.
const algEd25519 jose.SignatureAlgorithm = "Ed25519"

// verifierOf returns what go-jose verifies a signature by alg with.
func verifierOf(key *jose.JSONWebKey, alg string) any {
	if public, ok := key.Key.(ed25519.PublicKey); ok && alg == string(algEd25519) {
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
