package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// assertionType is the only client_assertion_type there is, RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionAlgorithms sign client assertions: with the client's own key, and
// HS256 with its secret.
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, algEd25519, jose.EdDSA, jose.HS256}

const (
	// clockSkew is by how much a client's clock may differ from ours.
	clockSkew = 30 * time.Second
	// maxAssertionLife is how far away "exp" may be: until then the assertion's
	// "jti" is remembered.
	maxAssertionLife = time.Hour
	maxJTI           = 256 // bytes
)

// assertionCredentials reads a client assertion, RFC 7521 §4.2. Which client it
// is said to be of is all that is taken from it here.
func assertionCredentials(form url.Values) (credentials, error) {
	if kind := form.Get("client_assertion_type"); kind != assertionType {
		return credentials{}, refuseAssertion("client_assertion_type is not supported.", assertionType, kind, rfc("7523", "2.2"))
	}
	parsed, err := jwt.ParseSigned(form.Get("client_assertion"), assertionAlgorithms)
	if err != nil {
		return credentials{}, refuseAssertion("client_assertion is not a JWT signed by an algorithm that is accepted.",
			fmt.Sprint(assertionAlgorithms), "another", rfc("7523", "3"))
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return credentials{}, refuseAssertion("The claims of client_assertion are malformed.", "the claims of RFC 7523", "others", rfc("7523", "3"))
	}
	if claims.Subject == "" {
		return credentials{}, refuseAssertion("client_assertion has no sub.", "the client_id", "", rfc("7523", "3"))
	}
	if id := form.Get("client_id"); id != "" && id != claims.Subject {
		return credentials{}, refuseAssertion("client_id is not the sub of client_assertion.", claims.Subject, id, rfc("7521", "4.2"))
	}
	method := authPrivateKey
	if parsed.Headers[0].Algorithm == string(jose.HS256) {
		method = authSecretJWT
	}
	return credentials{id: claims.Subject, method: method, assertion: parsed}, nil
}

// refuseAssertion is invalid_client about an assertion, RFC 7521 §4.2.1.
func refuseAssertion(what, expected, arrived string, s section) error {
	return refuse(fosite.ErrInvalidClient, check{What: what, Expected: expected, Arrived: printable(arrived), Section: s})
}

// checkAssertion verifies a client's assertion: RFC 7523 §3, OIDC Core §9.
func (p *Provider) checkAssertion(r *http.Request, c *client, assertion *jwt.JSONWebToken) error {
	// 1. The algorithm that the client registered, if it did.
	alg := assertion.Headers[0].Algorithm
	if want := c.TokenEndpointAuthSigningAlg; want != "" && !sameAlgorithm(alg, want) {
		return refuseAssertion("client_assertion is not signed by the algorithm that the client registered.", want, alg, rfc("7591", "2"))
	}
	// 2. The signature.
	claims, err := p.assertionClaims(r.Context(), c, assertion)
	if err != nil {
		return err
	}
	// 3. The client speaks for itself, to us, now.
	if claims.Issuer != c.ID || claims.Subject != c.ID {
		return refuseAssertion("iss and sub of client_assertion are not both the client_id.", c.ID, claims.Issuer, rfc("7523", "3"))
	}
	if accepted := p.assertionAudiences(r); !slices.ContainsFunc(accepted, claims.Audience.Contains) {
		return refuseAssertion("client_assertion is for somebody else.", strings.Join(accepted, " or "), strings.Join(claims.Audience, " "), rfc("7523", "3"))
	}
	now := time.Now()
	if err := checkAssertionTime(claims, now); err != nil {
		return err
	}
	// 4. It is used once, even if the rest of the request fails. OIDC Core §9
	//    makes jti a must.
	if claims.ID == "" || len(claims.ID) > maxJTI {
		return refuseAssertion("jti of client_assertion is missing or too long.", fmt.Sprintf("at most %d bytes", maxJTI), claims.ID, oidcCore("9", "ClientAuthentication"))
	}
	err = p.spendOnce(r.Context(), "client assertion of "+c.ID, claims.ID, claims.Expiry.Time().Add(clockSkew))
	if errors.Is(err, storage.ErrSeen) {
		return refuseAssertion("client_assertion was used before.", "a jti that is new", "a known one", rfc("7523", "3"))
	}
	return err
}

// assertionClaims verifies the signature and returns what was signed.
func (p *Provider) assertionClaims(ctx context.Context, c *client, assertion *jwt.JSONWebToken) (claims jwt.Claims, err error) {
	if c.TokenEndpointAuthMethod == authSecretJWT {
		// The key is the secret: OIDC Core §10.1.
		if c.sharedSecret == "" || assertion.Claims([]byte(c.sharedSecret), &claims) != nil {
			return claims, refuseAssertion("client_assertion is not signed with the client's secret.", "HS256 with the client secret", "another signature", rfc("7523", "3"))
		}
		if c.secretExpired() {
			return claims, errSecretExpired(c)
		}
		return claims, nil
	}
	if err := p.clientKeys.verify(ctx, c, assertion, &claims); err != nil {
		return claims, refuseAssertion("client_assertion cannot be verified: "+err.Error()+".", "a signature by a key of the client", arrivedSignature(err), rfc("7523", "3"))
	}
	return claims, nil
}

// assertionAudiences are the names by which a client may address us: the issuer,
// the token endpoint (RFC 7523 §3), and the endpoint that it calls.
func (p *Provider) assertionAudiences(r *http.Request) []string {
	return slices.Compact([]string{p.issuer, p.issuer + pathToken, p.issuer + strings.TrimPrefix(r.URL.Path, p.base)})
}

// checkAssertionTime: RFC 7523 §3 has exp as a must, nbf and iat as an option.
func checkAssertionTime(claims jwt.Claims, now time.Time) error {
	section := rfc("7523", "3")
	switch {
	case claims.Expiry == nil:
		return refuseAssertion("client_assertion has no exp.", "a time after "+moment(now), "", section)
	case claims.Expiry.Time().After(now.Add(maxAssertionLife + clockSkew)):
		return refuseAssertion("exp of client_assertion is too far away.", "at most "+maxAssertionLife.String()+" from now", moment(claims.Expiry.Time()), section)
	}
	if reason, expected, arrived := untimely(claims, now); reason != "" {
		return refuseAssertion("client_assertion "+reason+".", expected, arrived, section)
	}
	return nil
}

// untimely says why a client's JWT is not good now, to follow its name, or "".
// What it does not say of its time is not asked for (RFC 7519 §4.1.4 to §4.1.6).
func untimely(claims jwt.Claims, now time.Time) (reason, expected, arrived string) {
	switch {
	case claims.Expiry != nil && !now.Add(-clockSkew).Before(claims.Expiry.Time()):
		return "has expired", "an exp after " + moment(now), moment(claims.Expiry.Time())
	case claims.NotBefore != nil && claims.NotBefore.Time().After(now.Add(clockSkew)):
		return "is not valid yet", "an nbf before " + moment(now), moment(claims.NotBefore.Time())
	case claims.IssuedAt != nil && claims.IssuedAt.Time().After(now.Add(clockSkew)):
		return "comes from the future", "an iat before " + moment(now), moment(claims.IssuedAt.Time())
	}
	return "", "", ""
}

// moment is a time as messages write it.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
