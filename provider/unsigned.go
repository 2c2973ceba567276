package provider

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// An ID token without a signature ("alg": "none") proves nothing by itself: it
// is what the connection to the token endpoint makes of it. It takes the switch
// insecure_unsigned_id_tokens, a client that is registered for it, and is never
// given through the browser (OIDC Core §2, OIDC Registration §2). The provider
// itself does not accept it as a hint.

// unsignedJWT is an unsecured JWS (RFC 7515 appendix A.5).
func unsignedJWT(typ string, claims any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": algNone, "typ": typ})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encoding := base64.RawURLEncoding
	return encoding.EncodeToString(header) + "." + encoding.EncodeToString(payload) + ".", nil
}

// errUnsigned refuses a client that was registered while the switch was on.
var errUnsigned = refuse(fosite.ErrUnauthorizedClient, check{
	What:     "The client is registered for ID tokens without a signature, which this provider does not issue.",
	Expected: "another id_token_signed_response_alg, or insecure_unsigned_id_tokens", Arrived: algNone,
	Section: oidcCore("2", "IDToken"),
})

// checkUnsigned: what a registration says of ID tokens has to be possible here.
// allowed is the switch.
func (c *Client) checkUnsigned(allowed bool) *problem {
	if c.IDTokenSignedResponseAlg != algNone {
		return nil
	}
	if !allowed {
		return problemf("id_token_signed_response_alg", "%q is for a provider with insecure_unsigned_id_tokens", algNone)
	}
	for _, r := range c.withDefaults().ResponseTypes {
		if slices.Contains(strings.Fields(r), "id_token") {
			return problemf("id_token_signed_response_alg", "%q is not for the response type %q: the ID token would come through the browser (OpenID Connect Registration §2)", algNone, r)
		}
	}
	return nil
}

func checkUnsignedClients(clients []Client, allowed bool) error {
	for i, c := range clients {
		if p := c.checkUnsigned(allowed); p != nil {
			return p.at("clients", i, "client", c.ID)
		}
	}
	return nil
}
