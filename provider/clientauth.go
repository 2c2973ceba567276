package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/ory/fosite"
)

// Client authentication methods, RFC 7591 §2.
const (
	authBasic      = "client_secret_basic"
	authPost       = "client_secret_post"
	authSecretJWT  = "client_secret_jwt"
	authPrivateKey = "private_key_jwt"
	authNone       = "none"
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

// authenticateClient says which client sent a request to the token endpoint or
// one of its neighbours (RFC 6749 §2.3, §3.2.1).
func (p *Provider) authenticateClient(r *http.Request, form url.Values) (*client, error) {
	// 1. Read the credentials; one method only. RFC 6749 §2.3.
	given, err := readCredentials(r, form)
	if err != nil {
		return nil, err
	}
	// 2. Find the client.
	c, err := p.namedClient(r.Context(), given.id, refuse(fosite.ErrInvalidClient, check{
		What: "The client is not registered.", Section: rfc6749("5.2"),
	}))
	if err != nil {
		return nil, err
	}
	// 3. It uses the method that it registered. RFC 7591 §2.
	if given.method != c.TokenEndpointAuthMethod {
		return nil, refuse(fosite.ErrInvalidClient, check{
			What:     "The client did not authenticate by the method that it registered.",
			Expected: c.TokenEndpointAuthMethod, Arrived: given.method, Section: rfc6749("2.3"),
		})
	}
	// 4. A confidential client proves who it is: it knows its secret (RFC 6749
	//    §2.3.1), or signs with it or with its private key (RFC 7523 §3).
	switch given.method {
	case authNone:
		return c, nil
	case authBasic, authPost:
		if !c.checkSecret(given.secret) {
			return nil, refuse(fosite.ErrInvalidClient, check{
				What: "The client secret is wrong.", Section: rfc6749("2.3.1"),
			})
		}
		if c.secretExpired() {
			return nil, errSecretExpired(c)
		}
		return c, nil
	default:
		if err := p.checkAssertion(r, c, given.assertion); err != nil {
			return nil, err
		}
		return c, nil
	}
}

// credentials are what a request says of its client.
type credentials struct {
	id     string
	method string // RFC 7591 §2
	secret string // of client_secret_basic and client_secret_post
	// assertion is that of private_key_jwt and client_secret_jwt. Nothing of it
	// is verified.
	assertion *jwt.JSONWebToken
}

// readCredentials reads the client's credentials from the Authorization header
// or the body, and names the method that was used.
func readCredentials(r *http.Request, form url.Values) (credentials, error) {
	inHeader := r.Header.Get("Authorization") != ""
	inAssertion := form.Has("client_assertion") || form.Has("client_assertion_type")
	switch {
	case inHeader && (inAssertion || form.Has("client_secret")), inAssertion && form.Has("client_secret"):
		return credentials{}, refuse(fosite.ErrInvalidRequest, check{
			What: "The client authenticated by more than one method.", Expected: "the Authorization header, client_secret or client_assertion",
			Arrived: "two of them", Section: rfc6749("2.3"),
		})
	case inHeader:
		return basicCredentials(r, form)
	case inAssertion:
		return assertionCredentials(form)
	}
	id := form.Get("client_id")
	if id == "" {
		return credentials{}, refuse(fosite.ErrInvalidClient, check{
			What: "The request carries no client authentication and no client_id.", Section: rfc6749("3.2.1"),
		})
	}
	if form.Has("client_secret") {
		return credentials{id: id, secret: form.Get("client_secret"), method: authPost}, nil
	}
	return credentials{id: id, method: authNone}, nil
}

// basicCredentials reads the Authorization header, RFC 6749 §2.3.1.
func basicCredentials(r *http.Request, form url.Values) (credentials, error) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return credentials{}, refuse(fosite.ErrInvalidClient, check{
			What: "The Authorization header is not a valid Basic credential.", Section: rfc6749("2.3.1"),
		})
	}
	// Both are form-urlencoded before they are joined: RFC 6749 §2.3.1.
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	if idErr != nil || secretErr != nil {
		return credentials{}, refuse(fosite.ErrInvalidClient, check{
			What: "The client credentials in the Authorization header are not form-urlencoded.", Section: rfc6749("2.3.1"),
		})
	}
	if form.Has("client_id") && form.Get("client_id") != id {
		return credentials{}, refuse(fosite.ErrInvalidRequest, check{
			What: "The client_id of the body is not that of the Authorization header.", Section: rfc6749("2.3"),
		})
	}
	return credentials{id: id, secret: secret, method: authBasic}, nil
}
