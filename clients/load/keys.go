package load

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // what the algorithms name
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// keySet is the provider's keys, parsed once.
type keySet struct {
	algorithms []string
	keys       []jose.JSONWebKey
}

func newKeySet(set jose.JSONWebKeySet, algorithms []string) *keySet {
	k := &keySet{algorithms: algorithms}
	if len(algorithms) == 0 {
		k.algorithms = []string{string(jose.RS256)} // OIDC Core §15.1
	}
	for _, key := range set.Keys {
		if key.Use != "enc" && key.IsPublic() && key.Valid() {
			k.keys = append(k.keys, key)
		}
	}
	return k
}

// signer is a key and how it signs.
type signer struct {
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid"`
	Critical  []string `json:"crit"`

	key  crypto.PublicKey
	hash crypto.Hash
}

// hashes of the algorithms. What is signed with a secret or not at all does not
// come from the JWKS, and is refused.
var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"EdDSA": crypto.SHA512, "Ed25519": crypto.SHA512,
}

// signer finds the key that a token's header names.
func (k *keySet) signer(header string) (signer, error) {
	var s signer
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	if err == nil {
		err = json.Unmarshal(decoded, &s)
	}
	if err != nil {
		return s, failf("ID token: malformed", "its header: %v", err)
	}
	s.hash = hashes[s.Algorithm]
	switch {
	case s.Critical != nil: // RFC 7515 §4.1.11: refuse what is not understood
		return s, failf("ID token: malformed", "crit %q is not understood", s.Critical)
	case s.hash == 0, !slices.Contains(k.algorithms, s.Algorithm):
		return s, failf("ID token: wrong algorithm", "%q is none of %q", s.Algorithm, k.algorithms)
	}
	for _, key := range k.keys {
		// "kid" may be missing where one key fits (OIDC Core §10.1).
		if (key.KeyID == s.KeyID || s.KeyID == "") && s.fits(key.Key) {
			s.key = key.Key
			return s, nil
		}
	}
	return s, failf("ID token: unknown key", "alg %q, kid %q", s.Algorithm, s.KeyID)
}

// fits reports whether the algorithm is one of the key's kind. RFC 7518 §3.1,
// RFC 8037 §3.1.
func (s *signer) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return s.Algorithm[1] == 'S' && s.Algorithm[0] != 'E'
	case *ecdsa.PublicKey:
		return s.Algorithm == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return s.Algorithm[1] == 'd'
	}
	return false
}

// signed reports whether the key made this signature.
func (s *signer) signed(input, signature string) bool {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	if key, ok := s.key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, []byte(input), sig)
	}
	digest := s.digest(input)
	switch key := s.key.(type) {
	case *ecdsa.PublicKey: // two numbers of equal length (RFC 7518 §3.4)
		size := (key.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	case *rsa.PublicKey:
		if s.Algorithm[0] == 'P' {
			return rsa.VerifyPSS(key, s.hash, digest, sig, nil) == nil
		}
		return rsa.VerifyPKCS1v15(key, s.hash, digest, sig) == nil
	}
	return false
}

func (s *signer) digest(input string) []byte {
	h := s.hash.New()
	h.Write([]byte(input))
	return h.Sum(nil)
}

// leftHalf is what at_hash is of an access token (OIDC Core §3.1.3.6).
func (s *signer) leftHalf(accessToken string) string {
	sum := s.digest(accessToken)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
