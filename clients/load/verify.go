package load

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // hashes of at_hash
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// clockSkew is how far the provider's clock may be from ours.
const clockSkew = time.Minute

// verifier checks ID tokens with keys that were parsed once.
type verifier struct {
	issuer, clientID string
	algorithms       []jose.SignatureAlgorithm
	keys             map[string]any // by "kid"
	all              []any
}

func newVerifier(p *provider, set jose.JSONWebKeySet, clientID string) *verifier {
	v := &verifier{issuer: p.Issuer, clientID: clientID, keys: map[string]any{}}
	for _, key := range set.Keys {
		if key.Use == "enc" || !key.Valid() {
			continue
		}
		if key.KeyID != "" {
			v.keys[key.KeyID] = key.Key
		}
		v.all = append(v.all, key.Key)
	}
	// What is signed with a secret or not at all does not come from the JWKS.
	known := []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
	for _, alg := range known {
		if slices.Contains(p.Algorithms, string(alg)) || len(p.Algorithms) == 0 && alg == jose.RS256 {
			v.algorithms = append(v.algorithms, alg)
		}
	}
	return v
}

// claims are those of an ID token that are checked.
type claims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        audience `json:"aud"`
	AuthorizedParty string   `json:"azp"`
	Expiry          float64  `json:"exp"`
	IssuedAt        float64  `json:"iat"`
	Nonce           string   `json:"nonce"`
	AccessTokenHash string   `json:"at_hash"`
}

// audience is one string or a list of them (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		*a = make(audience, 1)
		return json.Unmarshal(data, &(*a)[0])
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// verify checks an ID token of the code flow. OIDC Core §3.1.3.7.
func (v *verifier) verify(raw, nonce, accessToken string) error {
	// Steps 6 to 8: the signature, by one of the provider's keys and algorithms.
	token, err := jose.ParseSignedCompact(raw, v.algorithms)
	if err != nil {
		return failf("ID token: malformed", "%v", err)
	}
	header := token.Signatures[0].Header
	payload, ok := v.signed(token, header.KeyID)
	if !ok {
		return failf("ID token: bad signature", "alg %q, kid %q", header.Algorithm, header.KeyID)
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return failf("ID token: malformed", "%v", err)
	}
	now := time.Now()
	switch {
	case c.Issuer != v.issuer: // step 2
		return failf("ID token: wrong iss", "expected %q, got %q", v.issuer, c.Issuer)
	case !slices.Contains(c.Audience, v.clientID): // step 3
		return failf("ID token: wrong aud", "expected %q, got %q", v.clientID, c.Audience)
	case c.AuthorizedParty != "" && c.AuthorizedParty != v.clientID: // step 5
		return failf("ID token: wrong azp", "expected %q, got %q", v.clientID, c.AuthorizedParty)
	case now.Add(-clockSkew).After(time.Unix(int64(c.Expiry), 0)): // step 9; a missing one is 1970
		return failf("ID token: expired", "exp is %.0f, now is %d", c.Expiry, now.Unix())
	case now.Add(clockSkew).Before(time.Unix(int64(c.IssuedAt), 0)): // step 10
		return failf("ID token: issued in the future", "iat is %.0f, now is %d", c.IssuedAt, now.Unix())
	case c.Nonce != nonce: // step 11
		return failf("ID token: wrong nonce", "it is not the one of this flow")
	case c.Subject == "": // §2
		return failf("ID token: no sub", "")
	case c.AccessTokenHash != "" && c.AccessTokenHash != accessTokenHash(header.Algorithm, accessToken): // §3.1.3.8
		return failf("ID token: wrong at_hash", "it does not belong to the access token")
	}
	return nil
}

// signed returns the payload if one of the provider's keys signed it.
func (v *verifier) signed(token *jose.JSONWebSignature, keyID string) ([]byte, bool) {
	if key, ok := v.keys[keyID]; ok {
		payload, err := token.Verify(key)
		return payload, err == nil
	}
	if keyID != "" {
		return nil, false
	}
	for _, key := range v.all { // "kid" is optional where there is one key (OIDC Core §10.1)
		if payload, err := token.Verify(key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// accessTokenHash is the left half of the hash that the algorithm names (OIDC
// Core §3.1.3.6).
func accessTokenHash(algorithm, accessToken string) string {
	hash := crypto.SHA256
	switch {
	case algorithm == "EdDSA", algorithm == "Ed25519", algorithm[2:] == "512":
		hash = crypto.SHA512
	case algorithm[2:] == "384":
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write([]byte(accessToken))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
