package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// Client authentication methods, RFC 7591 §2.
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authNone  = "none"
)

// engineClientAuth gives fosite our client authentication.
func (p *Provider) engineClientAuth(_ context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	c, err := p.authenticateClient(r, form)
	if err != nil {
		return nil, err // not c: a nil *client is no nil interface
	}
	// fosite has another error code for each grant here; RFC 6749 §5.2 has one.
	if grantType := form.Get("grant_type"); !slices.Contains(c.GrantTypes, grantType) {
		return nil, refuse(fosite.ErrUnauthorizedClient, check{
			What:     "The client is not registered for this grant_type.",
			Expected: strings.Join(c.GrantTypes, ", "), Arrived: grantType, Section: rfc6749("5.2"),
		})
	}
	return c, nil
}

// authenticateClient says which client sent a request to the token,
// introspection or revocation endpoint (RFC 6749 §2.3, §3.2.1).
func (p *Provider) authenticateClient(r *http.Request, form url.Values) (*client, error) {
	// 1. Read the credentials; one method only. RFC 6749 §2.3.
	id, secret, method, err := clientCredentials(r, form)
	if err != nil {
		return nil, err
	}
	// 2. Find the client.
	c, err := p.namedClient(r.Context(), id, refuse(fosite.ErrInvalidClient, check{
		What: "The client is not registered.", Section: rfc6749("5.2"),
	}))
	if err != nil {
		return nil, err
	}
	// 3. It uses the method that it registered. RFC 7591 §2.
	if method != c.TokenEndpointAuthMethod {
		return nil, refuse(fosite.ErrInvalidClient, check{
			What:     "The client did not authenticate by the method that it registered.",
			Expected: c.TokenEndpointAuthMethod, Arrived: method, Section: rfc6749("2.3"),
		})
	}
	// 4. A confidential client knows its secret. RFC 6749 §2.3.1.
	if method != authNone && !c.checkSecret(secret) {
		return nil, refuse(fosite.ErrInvalidClient, check{
			What: "The client secret is wrong.", Section: rfc6749("2.3.1"),
		})
	}
	return c, nil
}

// clientCredentials reads client_id and client_secret from the Authorization
// header or the body, and names the method that was used.
func clientCredentials(r *http.Request, form url.Values) (id, secret, method string, err error) {
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return "", "", "", refuse(fosite.ErrInvalidClient, check{
			What:     "Client assertions are not supported.",
			Expected: authBasic + ", " + authPost + " or " + authNone, Arrived: "client_assertion", Section: rfc6749("2.3"),
		})
	}
	if r.Header.Get("Authorization") == "" {
		return bodyCredentials(form)
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return "", "", "", refuse(fosite.ErrInvalidClient, check{
			What: "The Authorization header is not a valid Basic credential.", Section: rfc6749("2.3.1"),
		})
	}
	// Both are form-urlencoded before they are joined: RFC 6749 §2.3.1.
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	if idErr != nil || secretErr != nil {
		return "", "", "", refuse(fosite.ErrInvalidClient, check{
			What: "The client credentials in the Authorization header are not form-urlencoded.", Section: rfc6749("2.3.1"),
		})
	}
	if form.Has("client_secret") {
		return "", "", "", refuse(fosite.ErrInvalidRequest, check{
			What: "The client authenticated in the Authorization header and in the body.", Section: rfc6749("2.3"),
		})
	}
	if form.Has("client_id") && form.Get("client_id") != id {
		return "", "", "", refuse(fosite.ErrInvalidRequest, check{
			What: "The client_id of the body is not that of the Authorization header.", Section: rfc6749("2.3"),
		})
	}
	return id, secret, authBasic, nil
}

func bodyCredentials(form url.Values) (id, secret, method string, err error) {
	id = form.Get("client_id")
	if id == "" {
		return "", "", "", refuse(fosite.ErrInvalidClient, check{
			What: "The request carries no client authentication and no client_id.", Section: rfc6749("3.2.1"),
		})
	}
	if form.Has("client_secret") {
		return id, form.Get("client_secret"), authPost, nil
	}
	return id, "", authNone, nil
}
