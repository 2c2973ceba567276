package provider

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses a member that is there twice
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// proofAlgorithms sign DPoP proofs. RS256 is not among them: FAPI 2.0 Security
// Profile §5.4.1 wants its clients' RSA keys to sign with PS256.
var proofAlgorithms = []jose.SignatureAlgorithm{jose.ES256, algEd25519, jose.EdDSA, jose.PS256}

const (
	typeProof = "dpop+jwt" // RFC 9449 §4.2
	maxProof  = 8 << 10    // bytes
	// proofLife is how old a proof may be that has no nonce to say so. As long
	// as that, its "jti" is remembered.
	proofLife = time.Minute
)

// errInvalidProof is the error code of RFC 9449 §5.
var errInvalidProof = &fosite.RFC6749Error{
	ErrorField: "invalid_dpop_proof", DescriptionField: "The DPoP proof is invalid.", CodeField: http.StatusBadRequest,
}

// proof is a DPoP proof that was verified: whoever sent the request has the
// private half of a key.
type proof struct {
	// jkt is the thumbprint of the key (RFC 9449 §6.1).
	jkt string
	jti string
	// expires is when the proof is refused for its age, so that its jti need
	// not be known any longer.
	expires time.Time
}

// proofHeader is what RFC 9449 §4.2 puts into a proof's JOSE header.
type proofHeader struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	Key       json.RawMessage `json:"jwk"`
}

// proofClaims are those of RFC 9449 §4.2.
type proofClaims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URI      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	// Expiry and NotBefore may be there, as in any JWT.
	Expiry    *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	// AccessTokenHash is there when the proof comes with an access token.
	AccessTokenHash string `json:"ath"`
	// Nonce is there when the provider asks for it.
	Nonce string `json:"nonce"`
}

// refuseProof is invalid_dpop_proof about one check of RFC 9449 §4.3.
func refuseProof(what, expected, arrived string) error {
	return refuse(errInvalidProof, check{What: what, Expected: expected, Arrived: printable(arrived), Section: rfc("9449", "4.3")})
}

// checkProof verifies the DPoP proof of a request to one of our endpoints: RFC
// 9449 §4.3. accessToken is the token that came with it, "" at an endpoint that
// takes none. The proof is nil if the request carries none. Whether the proof
// came before is not checked: spendProof does, once the rest is known to be good.
func (p *Provider) checkProof(w http.ResponseWriter, r *http.Request, accessToken string) (*proof, error) {
	// 1. One proof at most.
	values := r.Header.Values("DPoP")
	if len(values) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	if len(values) > 1 {
		return nil, refuseProof("The request carries more than one DPoP header.", "one", fmt.Sprint(len(values)))
	}
	// 2. A JWT of the right type that is signed by the key in its own header.
	claims, key, err := readProof(values[0])
	if err != nil {
		return nil, err
	}
	// 3. It is for this request, is valid at this moment, and was made just now.
	if err := p.checkProofTarget(r, claims); err != nil {
		return nil, err
	}
	if err := checkProofLimits(claims); err != nil {
		return nil, err
	}
	until, err := p.checkFreshness(w, claims)
	if err != nil {
		return nil, err
	}
	if claims.ID == "" || len(claims.ID) > maxJTI {
		return nil, refuseProof("jti of the DPoP proof is missing or too long.", fmt.Sprintf("at most %d bytes", maxJTI), claims.ID)
	}
	// 4. It is for this access token.
	if want := base64SHA256(accessToken); accessToken != "" && claims.AccessTokenHash != want {
		return nil, refuseProof("ath of the DPoP proof is not the hash of the access token.", want, claims.AccessTokenHash)
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, refuseProof("The key of the DPoP proof has no thumbprint.", "a key of RFC 7638", "another")
	}
	return &proof{jkt: base64.RawURLEncoding.EncodeToString(thumbprint), jti: claims.ID, expires: until}, nil
}

// spendProof notes that the proof came: RFC 9449 §11.1. A nil proof is none.
func (p *Provider) spendProof(ctx context.Context, proof *proof) error {
	if proof == nil {
		return nil
	}
	err := p.spendOnce(ctx, "DPoP proof of "+proof.jkt, proof.jti, proof.expires)
	if errors.Is(err, storage.ErrSeen) {
		return refuse(errInvalidProof, check{
			What: "The DPoP proof was used before.", Expected: "a jti that is new", Arrived: "a known one", Section: rfc("9449", "11.1"),
		})
	}
	return err
}

// readProof verifies the signature of a proof by the key that it holds, RFC 9449
// §4.3 (2) to (7), and returns both.
func readProof(raw string) (claims proofClaims, key jose.JSONWebKey, err error) {
	header, err := readProofHeader(raw)
	if err != nil {
		return claims, key, err
	}
	if header.Type != typeProof {
		return claims, key, refuseProof("typ of the DPoP proof is not that of one.", typeProof, header.Type)
	}
	if !slices.Contains(proofAlgorithms, jose.SignatureAlgorithm(header.Algorithm)) {
		return claims, key, refuseProof("The DPoP proof is not signed by an algorithm that is accepted.", fmt.Sprint(proofAlgorithms), header.Algorithm)
	}
	if key, err = readProofKey(header); err != nil {
		return claims, key, err
	}
	token, err := jwt.ParseSigned(raw, proofAlgorithms)
	if err != nil {
		return claims, key, refuseProof("The DPoP header is not a JWT.", "a compact JWS", "another")
	}
	// The payload is read only after its signature, and its shape is checked apart.
	if token.Claims(verifierOf(key.Key, header.Algorithm)) != nil {
		return claims, key, refuseProof("The signature of the DPoP proof was not made with the key in its header.", "a signature by jwk", "another")
	}
	if token.UnsafeClaimsWithoutVerification(&claims) != nil {
		return claims, key, refuseProof("The claims of the DPoP proof are malformed.", "the claims of RFC 9449", "others")
	}
	return claims, key, nil
}

// readProofHeader decodes the JOSE header, so that each member that is wrong can
// be named.
func readProofHeader(raw string) (header proofHeader, err error) {
	first, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	if len(raw) > maxProof || strings.Count(raw, ".") != 2 || err != nil || json.Unmarshal(decoded, &header) != nil {
		return header, refuseProof("The DPoP header is not a JWT.", fmt.Sprintf("a compact JWS of at most %d bytes", maxProof), "another")
	}
	return header, nil
}

// readProofKey returns the key in a proof's header: public, and one that signs
// with the header's algorithm.
func readProofKey(header proofHeader) (key jose.JSONWebKey, err error) {
	if len(header.Key) == 0 {
		return key, refuseProof("jwk of the DPoP proof is missing.", "the public key that verifies it", "")
	}
	key, reason, err := parseJWK(header.Key)
	switch {
	case errors.Is(err, errPrivateKey):
		return key, refuseProof("jwk of the DPoP proof holds a private key: make a new one, this one is known by now.", "a public key", "a private key")
	case err != nil:
		return key, refuseProof("jwk of the DPoP proof is not a JWK.", "a public key", "another")
	case reason != "":
		return key, refuseProof("jwk of the DPoP proof is "+reason+".", "a public key for "+header.Algorithm, "another")
	case !keyFits(key, header.Algorithm):
		return key, refuseProof("jwk of the DPoP proof is not a key for its alg.", "a public key for "+header.Algorithm, "another")
	}
	return key, nil
}

// checkProofTarget: htm and htu name the request, RFC 9449 §4.3 (8) and (9). Our
// URL follows from the issuer, never from the Host header.
func (p *Provider) checkProofTarget(r *http.Request, claims proofClaims) error {
	if claims.Method != r.Method {
		return refuseProof("htm of the DPoP proof is not the method of the request.", r.Method, claims.Method)
	}
	target := p.issuer + strings.TrimPrefix(r.URL.Path, p.base)
	if got := comparableURI(claims.URI); got == "" || got != comparableURI(target) {
		return refuseProof("htu of the DPoP proof is not the URL of the request.", target, claims.URI)
	}
	return nil
}

// checkProofLimits: RFC 7519 §4.1.4 and §4.1.5, if the proof has its own limits.
func checkProofLimits(claims proofClaims) error {
	limits := jwt.Claims{Expiry: claims.Expiry, NotBefore: claims.NotBefore}
	if reason, expected, arrived := untimely(limits, time.Now()); reason != "" {
		return refuseProof("The DPoP proof "+reason+".", expected, arrived)
	}
	return nil
}

// base64SHA256 is the form of "ath" (RFC 9449 §4.2).
func base64SHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
