package load

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// clockSkew is how far the provider's clock may be from ours.
const clockSkew = time.Minute

// verifier checks ID tokens. Each worker has one of its own.
type verifier struct {
	issuer, clientID string
	keys             *keySet
	// signers are the keys by the header that names them: a provider has few
	// headers, and many tokens with each.
	signers map[string]signer
}

// maxSigners bounds signers, should every token have a header of its own.
const maxSigners = 64

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

// verify checks an ID token of the code flow, or of a refresh, which needs no
// nonce (OIDC Core §12.2). OIDC Core §3.1.3.7.
func (v *verifier) verify(raw, nonce, accessToken string, refreshed bool) error {
	// Steps 6 to 8: the signature, by one of the provider's keys and algorithms.
	signed, signature, ok := cutLast(raw, '.')
	header, payload, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 {
		return failf("ID token: malformed", "it has no three parts")
	}
	by, err := v.signer(header)
	if err != nil {
		return err
	}
	if !by.signed(signed, signature) {
		return failf("ID token: bad signature", "alg %q, kid %q", by.Algorithm, by.KeyID)
	}
	var c claims
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err == nil {
		err = json.Unmarshal(decoded, &c)
	}
	if err != nil {
		return failf("ID token: malformed", "%v", err)
	}
	if err := v.times(&c); err != nil {
		return err
	}
	switch {
	case c.Issuer != v.issuer: // step 2
		return failf("ID token: wrong iss", "expected %q, got %q", v.issuer, c.Issuer)
	case !slices.Contains(c.Audience, v.clientID): // step 3
		return failf("ID token: wrong aud", "expected %q, got %q", v.clientID, c.Audience)
	case c.AuthorizedParty != "" && c.AuthorizedParty != v.clientID: // step 5
		return failf("ID token: wrong azp", "expected %q, got %q", v.clientID, c.AuthorizedParty)
	case c.Nonce != nonce && (c.Nonce != "" || !refreshed): // step 11
		return failf("ID token: wrong nonce", "it is not the one of this flow")
	case c.Subject == "": // §2
		return failf("ID token: no sub", "")
	case c.AccessTokenHash != "" && c.AccessTokenHash != by.leftHalf(accessToken): // §3.1.3.8
		return failf("ID token: wrong at_hash", "it does not belong to the access token")
	}
	return nil
}

// times are steps 9 and 10. What is missing is of 1970.
func (v *verifier) times(c *claims) error {
	now := time.Now()
	switch {
	case now.Add(-clockSkew).After(time.Unix(int64(c.Expiry), 0)):
		return failf("ID token: expired", "exp is %.0f, now is %d", c.Expiry, now.Unix())
	case c.IssuedAt == 0, now.Add(clockSkew).Before(time.Unix(int64(c.IssuedAt), 0)):
		return failf("ID token: wrong iat", "iat is %.0f, now is %d", c.IssuedAt, now.Unix())
	}
	return nil
}

// signer returns who must have signed a token with this header.
func (v *verifier) signer(header string) (signer, error) {
	if s, ok := v.signers[header]; ok {
		return s, nil
	}
	s, err := v.keys.signer(header)
	if err == nil && len(v.signers) < maxSigners {
		v.signers[header] = s
	}
	return s, err
}

// cutLast is strings.Cut at the last separator.
func cutLast(s string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
