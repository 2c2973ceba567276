package backchannel

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	logoutType = "logout+jwt"                                         // §2.4
	event      = "http://schemas.openid.net/event/backchannel-logout" // §2.4
	skew       = time.Minute                                          // for clocks that differ
)

// algorithms are those that an ID token may be signed with. "none" and the HMACs
// are not among them.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

// claims are those of a logout token, §2.4.
type claims struct {
	Issuer   string                     `json:"iss"`
	Subject  string                     `json:"sub"`
	Audience jwt.Audience               `json:"aud"`
	IssuedAt *jwt.NumericDate           `json:"iat"`
	Expiry   *jwt.NumericDate           `json:"exp"`
	ID       string                     `json:"jti"`
	SID      string                     `json:"sid"`
	Events   map[string]json.RawMessage `json:"events"`
	Nonce    json.RawMessage            `json:"nonce"` // also "null" counts as there
}

// check believes a logout token only after every step of §2.6. It does not look
// whether the token was used before.
func (r *Receiver) check(ctx context.Context, compact string) (*claims, error) {
	// 1. A JWS in compact form, signed with an algorithm for ID tokens. An
	//    encrypted one nobody has registered here (§2.6 steps 1 and 3).
	jws, err := jose.ParseSignedCompact(compact, algorithms)
	if err != nil {
		return nil, errMalformed
	}
	// 2. Its type, where it has one. Without this check a JWT that was made for
	//    something else could serve (RFC 8725 §3.11).
	if typ, given := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; given && !isLogoutType(typ) {
		return nil, errType
	}
	// 3. The signature, by a key of the provider's (step 3).
	keys, err := r.cfg.Keys(ctx)
	if err != nil {
		return nil, errKeys.after(err)
	}
	payload, err := keys.VerifySignature(ctx, compact)
	if err != nil {
		return nil, errSignature.after(err)
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, errMalformed
	}
	if err := c.check(r.cfg.Issuer, r.cfg.ClientID, time.Now()); err != nil {
		return nil, err
	}
	return &c, nil
}

// check is what the claims alone must say.
func (c *claims) check(issuer, clientID string, now time.Time) error {
	_, isLogout := c.Events[event]
	switch {
	// 4. iss, aud, iat and exp as in an ID token (step 4). A minute for clocks
	//    that differ.
	case c.Issuer != issuer:
		return errIssuer
	case !c.Audience.Contains(clientID):
		return errAudience
	case c.IssuedAt == nil || c.IssuedAt.Time().After(now.Add(skew)):
		return errIssuedAt
	case c.Expiry == nil || c.Expiry.Time().Before(now.Add(-skew)):
		return errExpired
	// 5. It says whose session is over, or which (step 5).
	case c.Subject == "" && c.SID == "":
		return errNobody
	// 6. It is about a logout, and about nothing else (step 6).
	case len(c.Events) != 1 || !isLogout || !isObject(c.Events[event]):
		return errEvents
	// 7. No nonce: that would be an ID token, which a browser may hold (step 7).
	case len(c.Nonce) > 0:
		return errNonce
	// 8. An identifier of its own, so that it can be recognized when it comes
	//    again (§2.4, step 8).
	case c.ID == "":
		return errNoID
	}
	return nil
}

func isLogoutType(typ any) bool {
	text, _ := typ.(string)
	return strings.TrimPrefix(strings.ToLower(text), "application/") == logoutType // RFC 7515 §4.1.9
}

func isObject(value json.RawMessage) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(value, &object) == nil && object != nil
}
