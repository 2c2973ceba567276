package provider

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses a member that is there twice
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	maxKeys    = 64   // in a JWK Set
	minRSABits = 2048 // RFC 7518 §3.3, §3.5
)

// What is wrong with a JWK Set. Each text completes a sentence that begins with
// the name of the set.
var (
	errNotJWKS    = errors.New("is not a JWK Set (RFC 7517 §5)")
	errManyKeys   = fmt.Errorf("holds more than %d keys", maxKeys)
	errPrivateKey = errors.New("holds a private key, with which whoever reads it can sign: make a new key, and publish its public half only")
)

// keySet are the keys of a client's JWK Set that can verify signatures.
type keySet struct {
	keys []jose.JSONWebKey
	// ignored says of each other key why it is not among them.
	ignored []string
}

// parseJWKS reads a client's JWK Set. Keys that cannot be used are passed over,
// as RFC 7517 §5 wants it, symmetric ones among them; a private key makes all
// of the set unusable. Whether an x5c certificate is valid or expired is not
// checked, and no x5u is fetched.
func parseJWKS(document []byte) (*keySet, error) {
	var members struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &members); err != nil || members.Keys == nil {
		return nil, errNotJWKS
	}
	if len(*members.Keys) > maxKeys {
		return nil, errManyKeys
	}
	set := &keySet{}
	for i, raw := range *members.Keys {
		key, reason, err := parseJWK(raw)
		switch {
		case err != nil:
			return nil, err
		case reason != "":
			set.ignored = append(set.ignored, fmt.Sprintf("key %d is %s", i+1, reason))
		default:
			set.keys = append(set.keys, key)
		}
	}
	return set, nil
}

// inlineJWKS is parseJWKS for a set that stands in the client's registration.
func inlineJWKS(members map[string]any) (*keySet, error) {
	document, err := json.Marshal(members)
	if err != nil {
		return nil, errNotJWKS
	}
	return parseJWKS(document)
}

// privateMembers are those that only a private key has, RFC 7518 §6.2.2, §6.3.2,
// RFC 8037 §2.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv"}

// parseJWK reads a key, or says why it is ignored: "key 1 is …". The error is
// errNotJWKS or errPrivateKey.
func parseJWK(raw []byte) (key jose.JSONWebKey, reason string, err error) {
	var members map[string]json.RawMessage
	var header struct {
		Kty string           `json:"kty"`
		Ops *json.RawMessage `json:"key_ops"`
	}
	if json.Unmarshal(raw, &members) != nil || members == nil || json.Unmarshal(raw, &header) != nil {
		return key, "", errNotJWKS
	}
	if header.Kty == "oct" {
		return key, "symmetric", nil
	}
	// RFC 7517 §5: ignore what is not understood and what lacks a member.
	if !slices.Contains([]string{"RSA", "EC", "OKP"}, header.Kty) {
		return key, "of a kty that is not supported", nil
	}
	if slices.ContainsFunc(privateMembers, func(name string) bool { return members[name] != nil }) {
		return key, "", errPrivateKey
	}
	var ops []string
	if header.Ops != nil && (json.Unmarshal(*header.Ops, &ops) != nil || !slices.Contains(ops, "verify")) {
		return key, "not for verifying (key_ops)", nil
	}
	if err := json.Unmarshal(raw, &key); err != nil {
		return key, unreadable(err), nil
	}
	if key.Use != "" && key.Use != "sig" {
		return key, "not for signatures (use)", nil
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return key, fmt.Sprintf("an RSA key of %d bits, fewer than %d", public.N.BitLen(), minRSABits), nil
	}
	return key, "", nil
}

// unreadable is the reason to ignore a key that go-jose does not understand. The
// text may hold what a stranger wrote, so it has its bounds.
func unreadable(err error) string {
	const most = 80
	text := strings.TrimPrefix(err.Error(), "go-jose/go-jose: ")
	return "not readable: " + strings.ToValidUTF8(text[:min(most, len(text))], "?")
}

// keyFits says whether a public key is one for alg: RFC 7518 §3.1, RFC 8037 §3.1,
// RFC 9864 §2.2.
// The key says it as far as it can (RFC 8725 §3.1); the token alone decides
// nothing.
func keyFits(key jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && !sameAlgorithm(key.Algorithm, alg) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, alg)
	case *ecdsa.PublicKey:
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
		return curve != nil && public.Curve == curve
	case ed25519.PublicKey:
		return sameAlgorithm(alg, string(jose.EdDSA))
	default:
		return false
	}
}

// candidates are the keys that may have signed a token. A kid is a hint (RFC
// 7515 §4.1.4): it excludes the keys that have another.
func (s *keySet) candidates(alg, kid string) []jose.JSONWebKey {
	var fit []jose.JSONWebKey
	for _, key := range s.keys {
		if keyFits(key, alg) && (kid == "" || key.KeyID == "" || key.KeyID == kid) {
			fit = append(fit, key)
		}
	}
	return fit
}

// Why a token is not accepted.
var (
	errNoKeyFits    = errors.New("none of the client's keys fits")
	errBadSignature = errors.New("the signature was not made with a key of the client's, or what it signs was changed")
	errBadClaims    = errors.New("what it holds is no JSON object, or has a name twice, or a member that is not of the type that it should be")
)

// arrivedSignature says how the signature arrived of a token that is not accepted.
func arrivedSignature(err error) string {
	if errors.Is(err, errBadSignature) || errors.Is(err, errNoKeyFits) {
		return "another"
	}
	return "one that cannot be checked" // there are no keys
}

// verify checks the signature of a token and nothing else.
func (s *keySet) verify(token *jwt.JSONWebToken) error {
	header := token.Headers[0] // jwt.ParseSigned takes one signature only
	fit := s.candidates(header.Algorithm, header.KeyID)
	if len(fit) == 0 {
		return s.noKeyFits(header)
	}
	for _, key := range fit {
		if token.Claims(verifierOf(key.Key, header.Algorithm)) == nil {
			return nil
		}
	}
	return errBadSignature
}

func (s *keySet) noKeyFits(header jose.Header) error {
	wanted := "alg " + printable(header.Algorithm)
	if header.KeyID != "" {
		wanted += " and kid " + printable(header.KeyID)
	}
	if len(s.ignored) == 0 {
		return fmt.Errorf("%w %s", errNoKeyFits, wanted)
	}
	const most = 3
	return fmt.Errorf("%w %s (%s)", errNoKeyFits, wanted, strings.Join(s.ignored[:min(most, len(s.ignored))], "; "))
}

// checkKeys: RFC 7591 §2. A jwks_uri is not fetched, nor asked whether it leads
// to an address that is allowed.
func (c *Client) checkKeys() *problem {
	switch {
	case c.JWKS != nil && c.JWKSURI != "":
		return problemf("jwks_uri", "is there beside jwks: a client has one of the two (RFC 7591 §2)")
	case c.JWKSURI != "":
		if err := checkOutboundURL(c.JWKSURI, true); err != nil {
			return problemf("jwks_uri", "%q %v", c.JWKSURI, err)
		}
	case c.JWKS != nil:
		set, err := inlineJWKS(c.JWKS)
		if err != nil {
			return problemf("jwks", "%v", err)
		}
		if len(set.keys) == 0 {
			return problemf("jwks", "%s", set.lacking("holds no key to verify signatures with"))
		}
		return c.checkSigningKeys(set)
	}
	return nil
}

// checkSigningKeys: a key in jwks can make each signature that the client needs.
// Of keys at a jwks_uri nobody knows what they will be.
func (c *Client) checkSigningKeys(set *keySet) *problem {
	type need struct {
		field, alg string // alg is "" where any of algs does
		algs       []jose.SignatureAlgorithm
	}
	var needs []need
	if c.TokenEndpointAuthMethod == authPrivateKey {
		needs = append(needs, need{"token_endpoint_auth_signing_alg", c.TokenEndpointAuthSigningAlg, c.assertionAlgorithms()})
	}
	if c.RequestObjectSigningAlg != "" || c.RequireSignedRequestObject {
		needs = append(needs, need{"request_object_signing_alg", c.RequestObjectSigningAlg, requestObjectAlgorithms})
	}
	for _, n := range needs {
		switch {
		case n.alg == "" && !slices.ContainsFunc(n.algs, set.fits):
			return problemf("jwks", "%s", set.lacking(fmt.Sprintf("holds no key that signs with one of %v", n.algs)))
		case slices.Contains(n.algs, jose.SignatureAlgorithm(n.alg)) && !set.fits(jose.SignatureAlgorithm(n.alg)):
			return problemf(n.field, "%s", set.lacking(fmt.Sprintf("%q needs a key for it, and jwks holds none", n.alg)))
		}
	}
	return nil
}

// fits reports whether one of the keys is for alg.
func (s *keySet) fits(alg jose.SignatureAlgorithm) bool {
	return len(s.candidates(string(alg), "")) > 0
}

// lacking adds to a reason which keys were passed over, and why.
func (s *keySet) lacking(reason string) string {
	return strings.Join(append([]string{reason}, s.ignored...), "; ")
}
