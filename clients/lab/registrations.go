package lab

import (
	"slices"

	"github.com/oidclab/oidclab/provider"
)

// What the API keeps, a user may let a client read and write.
var notesScopes = []provider.Scope{
	{Name: "notes:read", Description: "Read your notes at the API"},
	{Name: "notes:write", Description: "Add notes at the API"},
}

const (
	identityScopes = "openid profile email address phone"
	apiScopes      = " notes:read notes:write"
	offlineScope   = " offline_access" // asks for a refresh token (OIDC Core §11)
)

// registrations are the lab's clients as the provider knows them. at maps
// parties to origins; the access tokens of all are for the API.
func registrations(at map[string]string, s secrets) []provider.Client {
	return append(pages(at, s), withoutPages(at, s)...)
}

// codeGrants are those of all clients but the implicit one.
var codeGrants = []string{"authorization_code", "refresh_token"}

// pages are the clients that people use in a browser. The backends among them
// hear of a sign-out at the provider (OIDC Back-Channel Logout §2.2).
func pages(at map[string]string, s secrets) []provider.Client {
	audience := []string{at[apiServer]}
	return []provider.Client{
		{
			ID:                     "implicit",
			Name:                   "Implicit client",
			RedirectURIs:           []string{at[implicitSPA] + "/callback", at[implicitSPA] + "/silent"},
			PostLogoutRedirectURIs: []string{at[implicitSPA] + "/"},
			GrantTypes:             []string{"implicit"},
			ResponseTypes:          []string{"id_token token", "id_token"},
			Scope:                  identityScopes + apiScopes, // no refresh token in this flow (RFC 6749 §4.2.2)
			Audience:               audience,
		},
		{
			ID:                     "pkce",
			Name:                   "PKCE client",
			RedirectURIs:           []string{at[pkceSPA] + "/callback", at[pkceSPA] + "/silent"},
			PostLogoutRedirectURIs: []string{at[pkceSPA] + "/"},
			GrantTypes:             codeGrants,
			Scope:                  identityScopes + apiScopes + offlineScope,
			Audience:               audience,
		},
		{
			ID:                      "bff",
			Name:                    "BFF client",
			Secret:                  s.BFF,
			TokenEndpointAuthMethod: "client_secret_basic",
			RedirectURIs:            []string{at[bffBackend] + "/callback"},
			PostLogoutRedirectURIs:  []string{at[bffBackend] + "/"},
			GrantTypes:              codeGrants,
			Scope:                   identityScopes + apiScopes + offlineScope,
			Audience:                audience,

			BackchannelLogoutURI:             at[bffBackend] + "/backchannel-logout",
			BackchannelLogoutSessionRequired: true,
		},
		{
			// One client with two ways in: the page, and a program on this
			// machine that uses the same backend (RFC 8252 §7.3).
			ID:                      "frontenddriven",
			Name:                    "Frontend-driven client",
			Secret:                  s.FrontendDriven,
			TokenEndpointAuthMethod: "client_secret_basic",
			RedirectURIs:            []string{at[drivenSPA] + "/callback", "http://127.0.0.1/callback", "http://[::1]/callback"},
			PostLogoutRedirectURIs:  []string{at[drivenSPA] + "/"},
			GrantTypes:              codeGrants,
			Scope:                   identityScopes + apiScopes + offlineScope,
			Audience:                audience,

			BackchannelLogoutURI:             at[drivenServer] + "/backchannel-logout",
			BackchannelLogoutSessionRequired: true,
		},
	}
}

// NativeClient lets "oidclab login" sign in at a provider.
func NativeClient() provider.Client {
	return provider.Client{
		ID:                      "native",
		Name:                    "oidclab login",
		TokenEndpointAuthMethod: "none",
		RedirectURIs:            []string{"http://127.0.0.1/callback", "http://[::1]/callback"}, // on any port (RFC 8252 §7.3)
		GrantTypes:              append(slices.Clone(codeGrants), "urn:ietf:params:oauth:grant-type:device_code"),
	}
}

// withoutPages are the command line and the API.
func withoutPages(at map[string]string, s secrets) []provider.Client {
	native := NativeClient()
	native.Scope, native.Audience = identityScopes+apiScopes+offlineScope, []string{at[apiServer]}
	return []provider.Client{
		native,
		{
			// The API signs nobody in; it may ask about tokens that are for it
			// (RFC 7662 §2.1).
			ID:                      "api",
			Name:                    "Resource server",
			Secret:                  s.API,
			TokenEndpointAuthMethod: "client_secret_basic",
			ResourceServer:          at[apiServer],
		},
	}
}
