package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Signing, RFC 7515. go-jose makes its headers anew for each signature, which takes
// as long as signing with ES256 does; here they are made once for each key. What
// others have signed is verified with go-jose.

// b64 is the encoding of RFC 7515 §2.
var b64 = base64.RawURLEncoding

// encode is b64.EncodeToString without its second copy, for the short values that most
// are.
func encode(value []byte) string {
	var text [64]byte
	return string(b64.AppendEncode(text[:0], value))
}

// protectedHeader is the encoded JWS Protected Header with the dot behind it.
func protectedHeader(alg, kid, typ string) (string, error) {
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ"`
	}{alg, kid, typ})
	return b64.EncodeToString(header) + ".", err
}

// compact returns a payload as a signed JWS in the compact serialization (RFC 7515 §7.1).
func (key *signingKey) compact(typ string, payload []byte) (string, error) {
	header, ok := key.headers[typ]
	if !ok {
		return "", fmt.Errorf("no header for the type %q", typ)
	}
	jws := make([]byte, 0, len(header)+b64.EncodedLen(len(payload))+1+b64.EncodedLen(maxSignature))
	jws = b64.AppendEncode(append(jws, header...), payload)
	signature, err := signature(jose.SignatureAlgorithm(key.Algorithm), key.Key, jws)
	if err != nil {
		return "", err
	}
	return string(b64.AppendEncode(append(jws, '.'), signature)), nil
}

// maxSignature is the length of most signatures, an RSA-2048 key's, in bytes.
const maxSignature = 256

// signature signs the JWS Signing Input (RFC 7515 §5.1) with the algorithms of
// RFC 7518 §3 and RFC 8037 §3.1.
func signature(alg jose.SignatureAlgorithm, key any, input []byte) ([]byte, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		digest := sha256.Sum256(input)
		switch alg {
		case jose.RS256:
			return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		case jose.PS256: // a salt as long as the hash: RFC 7518 §3.5
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		switch {
		case alg == jose.ES256 && key.Curve.Params().BitSize == 256:
			digest := sha256.Sum256(input)
			return fixedSignature(key, digest[:], 32)
		case alg == jose.ES384 && key.Curve.Params().BitSize == 384:
			digest := sha512.Sum384(input)
			return fixedSignature(key, digest[:], 48)
		}
	case ed25519.PrivateKey:
		if alg == jose.EdDSA {
			return ed25519.Sign(key, input), nil
		}
	}
	return nil, fmt.Errorf("a %T does not sign with %s", key, alg)
}

// fixedSignature is R and S one after the other, each of a fixed length: RFC 7518 §3.4.
func fixedSignature(key *ecdsa.PrivateKey, digest []byte, size int) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	both := make([]byte, 2*size)
	r.FillBytes(both[:size])
	s.FillBytes(both[size:])
	return both, nil
}
