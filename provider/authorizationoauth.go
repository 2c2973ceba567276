package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// The checks of this file are those of plain OAuth 2.0.

// checkResponse reads response_type and response_mode. OAuth 2.0 Multiple
// Response Types §2.1, §5.
func (p *Provider) checkResponse(_ context.Context, a *authorization) error {
	raw := a.form.Get("response_type")
	if raw == "" {
		return refuse(fosite.ErrInvalidRequest, check{What: "response_type is missing.", Section: rfc6749("3.1.1")})
	}
	a.responseTypes = splitSpaces(raw)
	canonical := canonicalResponseType(a.responseTypes)
	if !slices.Contains(responseTypes, canonical) {
		return refuse(fosite.ErrUnsupportedResponseType, check{
			What: "response_type is not supported.", Expected: strings.Join(responseTypes, ", "), Arrived: raw, Section: rfc6749("3.1.1"),
		})
	}
	registered := slices.ContainsFunc(a.client.ResponseTypes, func(t string) bool {
		return t == canonical || canonicalResponseType(splitSpaces(t)) == canonical
	})
	if !registered {
		return refuse(fosite.ErrUnauthorizedClient, check{
			What:     "The client is not registered for this response_type.",
			Expected: strings.Join(a.client.ResponseTypes, ", "), Arrived: raw, Section: rfc6749("4.1.2.1"),
		})
	}
	return a.checkResponseMode()
}

func multipleTypes(sec, anchor string) section {
	return section{document: "OAuth 2.0 Multiple Response Types", url: "https://openid.net/specs/oauth-v2-multiple-response-types-1_0.html", part: sec, anchor: anchor}
}

// checkResponseMode: OAuth 2.0 Multiple Response Types §2.1, §5, JARM §2.3.
func (a *authorization) checkResponseMode() error {
	raw := a.form.Get("response_mode")
	if raw == "" {
		return nil
	}
	if !slices.Contains(responseModes, raw) {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "response_mode is not supported.", Expected: strings.Join(responseModes, ", "), Arrived: raw,
			Section: multipleTypes("2.1", "ResponseModes"),
		})
	}
	mode, _ := unsignedMode(raw)
	if mode == fosite.ResponseModeQuery && slices.ContainsFunc(a.responseTypes, isFrontChannel) {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "response_mode=" + raw + " would put a token into the query.", Expected: "fragment or form_post", Arrived: raw,
			Section: multipleTypes("5", "Combinations"),
		})
	}
	return nil
}

// canonicalResponseType orders a response type's values: their order has no
// meaning (RFC 6749 §3.1.1).
func canonicalResponseType(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return strings.Join(sorted, " ")
}

// checkUnsupported refuses by name what OIDC Core §3.1.2.6 has a name for.
func (p *Provider) checkUnsupported(_ context.Context, a *authorization) error {
	if a.form.Has("registration") {
		return refuse(fosite.ErrRegistrationNotSupported, check{
			What: "The parameter registration is not supported.", Section: oidcCore("3.1.2.6", "AuthError"),
		})
	}
	return nil
}

// checkScope keeps the scopes that the provider knows: OIDC Core §3.1.2.1 has
// unknown ones ignored. A known one that the client is not registered for is
// an error.
func (p *Provider) checkScope(_ context.Context, a *authorization) (err error) {
	a.scopes, err = p.knownScopes(a.client, a.form.Get("scope"), a.bringsRefreshToken())
	return err
}

// knownScopes are those of a scope parameter, as checkScope says. offline says
// whether a refresh token can come of it.
func (p *Provider) knownScopes(c *client, raw string, offline bool) (scopes []string, err error) {
	asked := splitSpaces(raw)
	scopes = slices.Grow(scopes, len(asked))
	for _, scope := range asked {
		if !slices.Contains(p.scopes, scope) || slices.Contains(scopes, scope) {
			continue
		}
		if !slices.Contains(c.scopes, scope) {
			return nil, refuse(fosite.ErrInvalidScope, check{
				What: "The client is not registered for a scope.", Expected: scopeString(c.scopes), Arrived: scope, Section: rfc6749("3.3"),
			})
		}
		// OIDC Core §11: ignored where nothing brings the refresh token.
		if scope == scopeOfflineAccess && !offline {
			continue
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

// bringsRefreshToken reports whether a refresh token can come of the request.
func (a *authorization) bringsRefreshToken() bool {
	return slices.Contains(a.responseTypes, "code") && slices.Contains(a.client.GrantTypes, "refresh_token")
}

// checkProofKey asks for PKCE early; fosite asks again when it issues the code.
func (p *Provider) checkProofKey(_ context.Context, a *authorization) error {
	if !slices.Contains(a.responseTypes, "code") {
		return nil
	}
	challenge, method := a.form.Get("code_challenge"), a.form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && !a.client.IsPublic():
		return nil
	case challenge == "":
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge is missing.", Expected: "code_challenge with S256", Section: rfc7636("4.4.1"),
		})
	case method != "S256":
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge_method is not supported.", Expected: "S256", Arrived: method, Section: rfc7636("4.3"),
		})
	case !isS256Challenge(challenge):
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge is not a SHA-256 in base64url.", Expected: "43 characters of A-Z a-z 0-9 - _", Arrived: "another text", Section: rfc7636("4.2"),
		})
	}
	return nil
}

// isS256Challenge reports whether s is 32 bytes in base64url without padding.
func isS256Challenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}
