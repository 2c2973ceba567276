package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// errInvalidTarget is the error of RFC 8707 §2.
var errInvalidTarget = &fosite.RFC6749Error{
	ErrorField: "invalid_target", CodeField: http.StatusBadRequest,
	DescriptionField: "The requested resource is invalid, unknown, or malformed.",
}

// checkResource reads the resources that the access tokens are asked for. Those
// of an authorization request bound what its code and refresh tokens may ask
// for later (RFC 8707 §2.1, §2.2).
func (p *Provider) checkResource(_ context.Context, a *authorization) (err error) {
	a.audience, err = p.targets(a.client, a.form)
	return err
}

// targets returns the audience of a new grant: the resources that it names, or
// what the client is registered for.
func (p *Provider) targets(c *client, form url.Values) ([]string, error) {
	own := p.audienceOf(c)
	if !form.Has("resource") {
		return own, nil
	}
	return narrowedAudience(form, own, union(slices.Clone(own), p.resources))
}

// audienceOf is what the client's access tokens are for if it does not say.
func (p *Provider) audienceOf(c *client) []string {
	if len(c.Audience) > 0 {
		return c.Audience
	}
	return []string{p.issuer}
}

// otherResources are those that a request names beyond what the client is
// registered for: the user has to allow them one by one.
func (p *Provider) otherResources(a *authorization) []string {
	own := p.audienceOf(a.client)
	return slices.DeleteFunc(slices.Clone(a.audience), func(uri string) bool { return slices.Contains(own, uri) })
}

// narrowedAudience returns the resources that the parameter names, each of which
// must be allowed, or all of whole if there is none.
func narrowedAudience(form url.Values, whole, allowed []string) ([]string, error) {
	var audience []string
	for _, resource := range form["resource"] {
		u, err := url.Parse(resource)
		if err != nil || !u.IsAbs() || strings.Contains(resource, "#") {
			return nil, refuse(errInvalidTarget, check{
				What: "resource is no absolute URI without a fragment.", Expected: "an absolute URI", Arrived: printable(resource), Section: rfc("8707", "2"),
			})
		}
		if !slices.Contains(allowed, resource) {
			return nil, refuse(errInvalidTarget, check{
				What: "resource names what the client cannot have tokens for here.", Expected: strings.Join(allowed, " or "), Arrived: printable(resource),
				Section: rfc("8707", "2"),
			})
		}
		audience = union(audience, []string{resource})
	}
	if len(audience) == 0 {
		return whole, nil
	}
	return audience, nil
}
