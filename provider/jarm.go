package provider

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
)

// responseLifetime is how long a signed authorization response is good for: it
// goes straight to the client (JARM §2.1 recommends ten minutes at most).
const responseLifetime = time.Minute

// unsignedMode takes the signature from a response mode: "query.jwt" is "query",
// and "jwt" is the default mode of the response type (JARM §2.3.4).
func unsignedMode(raw string) (mode fosite.ResponseModeType, signed bool) {
	if raw == "jwt" {
		return fosite.ResponseModeDefault, true
	}
	raw, signed = strings.CutSuffix(raw, ".jwt")
	return fosite.ResponseModeType(raw), signed
}

// signResponse puts the parameters of an authorization response, or of an error,
// into a JWT for the client: JARM §2.1.
func (p *Provider) signResponse(ctx context.Context, c *client, params url.Values) (url.Values, error) {
	claims := map[string]any{}
	for name := range params {
		claims[name] = params.Get(name)
	}
	claims["iss"], claims["aud"] = p.issuer, c.ID
	claims["exp"] = time.Now().Add(responseLifetime).Unix()
	response, err := p.keys.sign(ctx, jose.SignatureAlgorithm(c.AuthorizationSignedResponseAlg), typeJWT, claims)
	return url.Values{"response": {response}}, err
}
