package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/ory/fosite"
)

const (
	maxRequestObject = 32 << 10 // bytes
	maxRequestURI    = 512      // ASCII characters: OIDC Core §6.2
	algNone          = "none"
)

// requestObjectAlgorithms sign request objects, with the client's own key.
var requestObjectAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, algEd25519, jose.EdDSA}

// resolveRequest puts the parameters of a request object (OIDC Core §6, RFC
// 9101), or those that were pushed (RFC 9126), in the place of those that came
// with it. From here on there is one set of parameters, which is also what
// travels through the pages: an object is fetched and verified once.
func (p *Provider) resolveRequest(ctx context.Context, a *authorization) error {
	switch {
	case a.form.Has("request_uri") && a.pushing:
		return refuse(fosite.ErrInvalidRequest, check{What: "A request that is pushed has no request_uri.", Section: rfc("9126", "2.1")})
	case strings.HasPrefix(a.form.Get("request_uri"), pushedPrefix):
		return p.openPushedRequest(ctx, a, a.form.Get("request_uri"))
	case !a.form.Has("request") && !a.form.Has("request_uri"):
		return nil
	}
	err := p.openRequestObject(ctx, a)
	if err != nil && a.form.Has("redirect_uri") {
		// The client learns of the error if the parameters beside the object
		// say where it is. Whether they do is all that is asked here.
		_ = p.checkRedirectURI(ctx, a)
	}
	return err
}

func (p *Provider) openRequestObject(ctx context.Context, a *authorization) error {
	// 1. By value or by reference, not both. OIDC Core §6.1, RFC 9101 §5.
	if a.form.Has("request") && a.form.Has("request_uri") {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "The request has both request and request_uri.", Expected: "one of them", Arrived: "both", Section: rfc("9101", "5"),
		})
	}
	raw := a.form.Get("request")
	if a.form.Has("request_uri") {
		var err error
		if raw, err = p.fetchRequestObject(ctx, a.client, a.form.Get("request_uri")); err != nil {
			return err
		}
	}
	// 2. A JWT of an algorithm that the client may use.
	object, err := p.parseRequestObject(a.client, raw)
	if err != nil {
		return err
	}
	// 3. The client's signature.
	var payload json.RawMessage
	var claims jwt.Claims
	unsigned := object.Headers[0].Algorithm == algNone
	if err := p.readObject(ctx, a.client, object, &payload, &claims); err != nil {
		return err
	}
	// 4. Made by this client, for us, for now. OIDC Core §6.1, RFC 9101 §4.
	if err := p.checkObjectClaims(a.client, claims, !unsigned); err != nil {
		return err
	}
	// 5. Its members are the parameters.
	parameters, err := objectParameters(string(payload))
	if err != nil {
		return err
	}
	if err := a.merge(parameters); err != nil {
		return err
	}
	a.pending.Object = objectSigned
	if unsigned {
		a.pending.Object = objectUnsigned
	}
	return nil
}

// badRequestObject is invalid_request_object, OIDC Core §3.1.2.6.
func badRequestObject(what, expected, arrived string) error {
	return refuse(fosite.ErrInvalidRequestObject, check{
		What: "The request object " + what + ".", Expected: expected, Arrived: printable(arrived), Section: oidcCore("6.1", "RequestObject"),
	})
}

// fetchRequestObject fetches a request object by reference, OIDC Core §6.2. The
// URI's fragment tells caches that the content has changed. There is no cache
// here, and it is not compared with the content: clients register it before
// they know what they will ask for.
func (p *Provider) fetchRequestObject(ctx context.Context, c *client, uri string) (string, error) {
	section := oidcCore("6.2", "RequestUriParameter")
	if !slices.Contains(c.RequestURIs, uri) {
		// RFC 9101 §10.4.1: whoever can have the provider call any URL, will.
		return "", refuse(fosite.ErrInvalidRequestURI, check{
			What: "request_uri is not one that the client registered.", Expected: "one of request_uris, or a pushed request", Arrived: printable(uri), Section: section,
		})
	}
	content, err := p.outbound.get(ctx, uri, "application/oauth-authz-req+jwt, application/jwt")
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", refuse(fosite.ErrInvalidRequestURI, check{What: "request_uri " + err.Error() + ".", Section: section})
	}
	return strings.TrimSpace(string(content)), nil
}

// parseRequestObject checks what can be checked without a key.
func (p *Provider) parseRequestObject(c *client, raw string) (*jwt.JSONWebToken, error) {
	allowed := requestObjectAlgorithms
	switch registered := c.RequestObjectSigningAlg; {
	case registered != "":
		allowed = slices.DeleteFunc(append(slices.Clone(allowed), algNone), func(alg jose.SignatureAlgorithm) bool {
			return !sameAlgorithm(string(alg), registered)
		})
	case p.requests.InsecureUnsignedObjects && !c.RequireSignedRequestObject:
		allowed = append(slices.Clone(allowed), algNone)
	}
	switch {
	case len(raw) > maxRequestObject:
		return nil, badRequestObject("is too long", fmt.Sprintf("at most %d bytes", maxRequestObject), fmt.Sprintf("%d", len(raw)))
	case strings.Count(raw, ".") == 4:
		return nil, badRequestObject("is encrypted, which is not supported", "a signed JWT", "an encrypted one")
	}
	object, err := jwt.ParseSigned(raw, allowed)
	if err != nil {
		return nil, badRequestObject("is not a JWT with an algorithm that the client may use", fmt.Sprintf("a JWT signed by one of %v", allowed), "another")
	}
	header := object.Headers[0]
	if header.Algorithm == algNone && (!p.requests.InsecureUnsignedObjects || !strings.HasSuffix(raw, ".")) {
		return nil, badRequestObject("is not signed", fmt.Sprintf("a JWT signed by one of %v", requestObjectAlgorithms), algNone)
	}
	// RFC 9101 §10.8, RFC 8725 §3.11: no other kind of JWT passes for one.
	switch typ, _ := header.ExtraHeaders[jose.HeaderType].(string); strings.ToLower(strings.TrimPrefix(typ, "application/")) {
	case "", "jwt", "oauth-authz-req+jwt":
		return object, nil
	default:
		return nil, badRequestObject("has a wrong typ", "oauth-authz-req+jwt", typ)
	}
}

// readObject verifies what is signed, and decodes it into each of dest.
func (p *Provider) readObject(ctx context.Context, c *client, object *jwt.JSONWebToken, dest ...any) error {
	var err error
	if object.Headers[0].Algorithm != algNone {
		err = p.clientKeys.verify(ctx, c, object, dest...)
	} else if object.UnsafeClaimsWithoutVerification(dest...) != nil {
		err = errBadClaims
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errBadClaims): // the signature is right, if there is to be one
		return badRequestObject("cannot be read: "+err.Error(), "one JSON object in which each name stands once, with the claims of RFC 7519", "another text")
	case err != nil:
		return badRequestObject("cannot be verified: "+err.Error(), "a signature by a key of the client", arrivedSignature(err))
	}
	return nil
}

// checkObjectClaims reads the object's claims about itself. What is signed says by
// whom and for whom (OIDC Core §6.1, RFC 9101 §4: "SHOULD"), so that nothing that
// a client signed for another party, or for another purpose, passes for a request.
// No other claim is a must, but what is there has to be right.
func (p *Provider) checkObjectClaims(c *client, claims jwt.Claims, signed bool) error {
	switch {
	case signed && claims.Issuer == "":
		return badRequestObject("is signed and has no iss", c.ID, "")
	case signed && len(claims.Audience) == 0:
		return badRequestObject("is signed and has no aud", p.issuer, "")
	case claims.Issuer != "" && claims.Issuer != c.ID:
		return badRequestObject("has a wrong iss", c.ID, claims.Issuer)
	case claims.Subject == c.ID:
		// RFC 9101 §10.8: a client assertion has the same issuer and audience.
		return badRequestObject("has the sub of a client assertion", "no sub", claims.Subject)
	case len(claims.Audience) > 0 && !claims.Audience.Contains(p.issuer):
		return badRequestObject("is for somebody else", p.issuer, strings.Join(claims.Audience, " "))
	}
	if reason, expected, arrived := untimely(claims, time.Now()); reason != "" {
		return badRequestObject(reason, expected, arrived)
	}
	return nil
}

// objectParameters turns the members of an object into request parameters: RFC
// 9101 §4. Parameters that are JSON stand in the object as JSON.
func objectParameters(payload string) (url.Values, error) {
	members, err := parseObject(payload)
	if err != nil {
		return nil, badRequestObject("does not hold one JSON object in which each name stands once", "an object", "another")
	}
	parameters := url.Values{}
	for name, value := range members {
		switch {
		case name == "request" || name == "request_uri":
			return nil, badRequestObject("holds the parameter "+name, "neither request nor request_uri", name)
		case slices.Contains(jwtClaims, name) || value == nil:
			continue
		}
		values, ok := parameterValues(name, value)
		if !ok {
			return nil, badRequestObject("has a value for "+printable(name)+" that is none", "text, a number, true or false", "an object or array")
		}
		if err := checkParameter(name, values); err != nil {
			if wrong, ok := errors.AsType[*refusal](err); ok {
				wrong.check.What = "In the request object: " + wrong.check.What
				return nil, refuse(fosite.ErrInvalidRequestObject, wrong.check)
			}
			return nil, err
		}
		if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) > 0 {
			parameters[name] = values
		}
	}
	return parameters, nil
}

// jwtClaims are about the object itself, RFC 7519 §4.1.
var jwtClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// parameterValues writes a member's value as the parameter would be. Only
// "claims" is an object (OIDC Core §5.5), and only "resource" a list (RFC 8707
// §2).
func parameterValues(name string, value any) ([]string, bool) {
	switch v := value.(type) {
	case string:
		return []string{v}, true
	case json.Number:
		return []string{v.String()}, true
	case bool:
		return []string{fmt.Sprint(v)}, true
	case map[string]any:
		text, err := json.Marshal(v)
		return []string{string(text)}, err == nil && name == "claims"
	case []any:
		var values []string
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			values = append(values, text)
		}
		return values, name == "resource"
	default:
		return nil, false
	}
}

// merge makes one request of the object's parameters and those beside it. The
// object's are stronger. Of a client that has to sign they are the only ones
// (RFC 9101 §6.3, §10.5), and when they are pushed (RFC 9126 §3).
func (a *authorization) merge(object url.Values) error {
	// OIDC Core §6.1: these stand outside, too, and must not differ.
	for _, name := range []string{"client_id", "response_type"} {
		inside, outside := object.Get(name), a.form.Get(name)
		if inside != "" && outside != "" && inside != outside {
			return badRequestObject("has another "+name+" than the request", outside, inside)
		}
	}
	merged := url.Values{"client_id": {a.client.ID}}
	if !a.client.RequireSignedRequestObject && !a.pushing {
		merged = cloneWithout(a.form, "request", "request_uri")
	}
	maps.Copy(merged, object)
	a.form, a.pending.Form = merged, merged
	return nil
}

// How the parameters of a request came: see pendingRequest.Object.
const (
	objectSigned   = "signed"
	objectUnsigned = "unsigned"
)

// checkSource asks for a request that was pushed, or signed, where the provider
// or the client's registration does: RFC 9126 §5, §6, RFC 9101 §10.5. What was
// pushed was found to be signed then.
func (p *Provider) checkSource(_ context.Context, a *authorization) error {
	pushed := !a.pending.Pushed.IsZero()
	switch {
	case pushed:
		return nil
	case !a.pushing && (p.requests.RequirePushed || a.client.RequirePushedAuthorizationRequests):
		return refuse(fosite.ErrInvalidRequest, check{
			What: "The client has to push its request to " + pathPushed + ".", Expected: "the request_uri of a pushed request", Arrived: "the request itself",
			Section: rfc("9126", "5"),
		})
	case a.client.RequireSignedRequestObject && a.pending.Object != objectSigned:
		return refuse(fosite.ErrInvalidRequest, check{
			What: "The client has to send its request in a signed request object.", Expected: "request or request_uri", Arrived: "parameters",
			Section: rfc("9101", "10.5"),
		})
	}
	return nil
}
