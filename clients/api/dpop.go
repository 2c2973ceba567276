package api

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A proofError says which check a DPoP proof failed.
type proofError string

func (e proofError) Error() string { return "the DPoP proof " + string(e) }

// Why a proof is refused: one error per check, in the order of the checks.
const (
	ErrProofMissing   = proofError("is missing: send one in the header DPoP")
	ErrProofTwice     = proofError("is not alone: there is more than one DPoP header")
	ErrProofMalformed = proofError("is not a JWT")
	ErrProofType      = proofError("has another type: typ")
	ErrProofAlgorithm = proofError("is not signed with an accepted algorithm: alg")
	ErrProofKey       = proofError("holds no public key that fits its algorithm: jwk")
	ErrProofPrivate   = proofError("holds a private key, which is known by now: jwk")
	ErrProofSignature = proofError("is not signed with the key that it holds")
	ErrProofMethod    = proofError("is for another method: htm")
	ErrProofURL       = proofError("is for another URL: htu")
	ErrProofTime      = proofError("was not made just now: iat")
	ErrProofExpired   = proofError("has expired: exp")
	ErrProofNotYet    = proofError("is not valid yet: nbf")
	ErrProofID        = proofError("has no identifier, or one that is too long: jti")
	ErrProofToken     = proofError("is for another access token: ath")
	ErrProofUsed      = proofError("was used before: jti")
)

// proofAlgorithms sign DPoP proofs: asymmetric ones only (RFC 9449 §4.3).
var proofAlgorithms = []jose.SignatureAlgorithm{jose.ES256, algEd25519, jose.EdDSA, jose.PS256}

const (
	// proofLife is how old a proof may be: as long as that, its jti is known.
	proofLife  = time.Minute
	minRSABits = 2048 // RFC 7518 §3.5
	maxProof   = 8 << 10
	maxJTI     = 256
)

// checkPossession lets a token through that is presented as it must be: a bound
// one with a proof of its key, another one as a bearer token.
func (a *API) checkPossession(r *http.Request, given credential, token *Token) error {
	// 1. The scheme is the token's. What is bound is worth nothing without its
	//    key, so it must not pass as a bearer token. RFC 9449 §7.1, §7.2.
	switch {
	case token.Key == "" && given.scheme == schemeDPoP:
		return ErrNotBound
	case token.Key == "":
		return nil
	case given.scheme != schemeDPoP:
		return ErrBound
	}

	// 2. One proof. RFC 9449 §4.3 (1).
	values := r.Header.Values("DPoP")
	switch {
	case len(values) == 0:
		return ErrProofMissing
	case len(values) > 1:
		return ErrProofTwice
	}

	// 3. It is signed with the key that it holds. RFC 9449 §4.3 (2) to (7).
	proof, key, err := readProof(values[0])
	if err != nil {
		return err
	}

	// 4. It is for this request, made just now, and for this token. RFC 9449
	//    §4.3 (8) to (12).
	now := time.Now()
	if err := a.checkProof(r, proof, given.token, now); err != nil {
		return err
	}

	// 5. Its key is the one that the issuer bound the token to. RFC 9449 §6.1, §7.1.
	if jkt := thumbprint(key); jkt != token.Key {
		return fmt.Errorf("%w is %q, the proof's key is %q", ErrOtherKey, token.Key, jkt)
	}

	// 6. It comes for the first time. RFC 9449 §11.1.
	return a.proofs.spend(token.Key+" "+proof.ID, proof.IssuedAt.Time().Add(proofLife), now)
}

// proofClaims are those of RFC 9449 §4.2.
type proofClaims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URL      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Token    string           `json:"ath"`
	// A proof may have limits of its own, as any JWT: RFC 7519 §4.1.4, §4.1.5.
	Expiry    *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf"`
}

// readProof verifies a proof's signature with the key in its header, which is
// what it is to prove: that the sender has the key, not whose it is.
func readProof(compact string) (proof proofClaims, key *jose.JSONWebKey, err error) {
	var header struct {
		Type      string          `json:"typ"`
		Algorithm string          `json:"alg"`
		Key       json.RawMessage `json:"jwk"`
	}
	first, _, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || len(compact) > maxProof || json.Unmarshal(raw, &header) != nil {
		return proof, nil, ErrProofMalformed
	}
	if header.Type != "dpop+jwt" {
		return proof, nil, fmt.Errorf("%w is %q, expected %q", ErrProofType, header.Type, "dpop+jwt")
	}
	if !slices.Contains(proofAlgorithms, jose.SignatureAlgorithm(header.Algorithm)) {
		return proof, nil, fmt.Errorf("%w is %q, accepted are %v", ErrProofAlgorithm, header.Algorithm, proofAlgorithms)
	}
	if key, err = readProofKey(header.Key); err != nil {
		return proof, nil, err
	}
	token, err := jwt.ParseSigned(compact, proofAlgorithms)
	if err != nil {
		return proof, nil, ErrProofMalformed
	}
	if token.Claims(verifierOf(key, header.Algorithm)) != nil {
		return proof, nil, ErrProofSignature
	}
	if token.UnsafeClaimsWithoutVerification(&proof) != nil {
		return proof, nil, fmt.Errorf("%w: its claims cannot be read", ErrProofMalformed)
	}
	return proof, key, nil
}

func readProofKey(raw json.RawMessage) (*jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if len(raw) == 0 || json.Unmarshal(raw, &key) != nil {
		return nil, ErrProofKey
	}
	if !key.IsPublic() {
		return nil, ErrProofPrivate
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("%w: %d bits are too few", ErrProofKey, public.N.BitLen())
	}
	return &key, nil
}

// checkProof compares what a proof says with the request.
func (a *API) checkProof(r *http.Request, proof proofClaims, token string, now time.Time) error {
	if proof.Method != r.Method {
		return fmt.Errorf("%w is %q, expected %q", ErrProofMethod, proof.Method, r.Method)
	}
	// Our own name comes from the configuration: the Host header is the caller's.
	if here := a.base + r.URL.Path; normalURL(proof.URL) != normalURL(here) || normalURL(here) == "" {
		return fmt.Errorf("%w is %q, expected %q", ErrProofURL, proof.URL, here)
	}
	if err := proof.checkTimes(now); err != nil {
		return err
	}
	if proof.ID == "" || len(proof.ID) > maxJTI {
		return ErrProofID
	}
	sum := sha256.Sum256([]byte(token))
	if hash := base64.RawURLEncoding.EncodeToString(sum[:]); proof.Token != hash {
		return fmt.Errorf("%w is %q, expected %q", ErrProofToken, proof.Token, hash)
	}
	return nil
}

// checkTimes: RFC 9449 §11.1, RFC 7519 §4.1.4, §4.1.5.
func (proof proofClaims) checkTimes(now time.Time) error {
	if proof.IssuedAt == nil {
		return fmt.Errorf("%w is missing", ErrProofTime)
	}
	wrong := func(reason error, at time.Time) error {
		return fmt.Errorf("%w is %s, now is %s", reason, at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	made := proof.IssuedAt.Time()
	switch {
	case made.After(now.Add(Leeway)), !now.Before(made.Add(proofLife)):
		return wrong(ErrProofTime, made)
	case proof.Expiry != nil && !now.Before(proof.Expiry.Time().Add(Leeway)):
		return wrong(ErrProofExpired, proof.Expiry.Time())
	case proof.NotBefore != nil && now.Add(Leeway).Before(proof.NotBefore.Time()):
		return wrong(ErrProofNotYet, proof.NotBefore.Time())
	}
	return nil
}

// thumbprint is that of RFC 7638, in the form of "jkt" (RFC 9449 §6.1).
func thumbprint(key *jose.JSONWebKey) string {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "" // no key that was read has none; nothing is bound to ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// normalURL is a URL without its query and fragment, the same for all that RFC
// 3986 §6.2.2 and §6.2.3 take for equal, as RFC 9449 §4.3 asks; "" for what is
// no http or https URL. A slash that is written %2F is none of ours.
func normalURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Contains(strings.ToUpper(u.EscapedPath()), "%2F") {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		port = ""
	}
	if host == "" {
		return ""
	}
	// To resolve a reference removes its dot segments (RFC 3986 §5.2.4).
	path := (&url.URL{}).ResolveReference(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).Path
	return u.Scheme + "://" + host + ":" + port + path
}
