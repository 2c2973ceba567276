package provider

import (
	"math"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// checkRequests: what the registration says of authorization requests.
func (c *Client) checkRequests() *problem {
	switch {
	case c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0:
		return problemf("default_max_age", "%d is negative", *c.DefaultMaxAge)
	case c.DefaultMaxAge != nil && *c.DefaultMaxAge > math.MaxInt32: // as of the parameter (checkMaxAge)
		return problemf("default_max_age", "%d is too large", *c.DefaultMaxAge)
	case slices.ContainsFunc(c.DefaultACRValues, func(acr string) bool { return acr == "" || strings.Contains(acr, " ") }):
		return problemf("default_acr_values", "holds a value that is empty or has spaces")
	}
	return c.checkRequestObjects()
}

// checkRequestObjects: OIDC Registration §2, RFC 9101 §10.5. A request_uri is
// not fetched, nor asked whether it leads to an address that is allowed.
func (c *Client) checkRequestObjects() *problem {
	alg := c.RequestObjectSigningAlg
	switch {
	case alg != "" && alg != algNone && !slices.Contains(requestObjectAlgorithms, jose.SignatureAlgorithm(alg)):
		return problemf("request_object_signing_alg", "%q is not one of %v", alg, requestObjectAlgorithms)
	case c.RequireSignedRequestObject && alg == algNone:
		return problemf("require_signed_request_object", "nothing is signed by the request_object_signing_alg %q", algNone)
	case c.RequireSignedRequestObject && c.JWKS == nil && c.JWKSURI == "":
		return problemf("require_signed_request_object", "needs the client's keys in jwks or jwks_uri")
	}
	for _, uri := range c.RequestURIs {
		if len(uri) > maxRequestURI {
			return problemf("request_uris", "holds one of more than %d characters (OpenID Connect Core §6.2)", maxRequestURI)
		}
		if err := checkOutboundURL(uri, true); err != nil {
			return problemf("request_uris", "%q %v", uri, err)
		}
	}
	return nil
}
