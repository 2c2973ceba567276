package provider

import (
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Client is a registered client. The names are those of RFC 7591 §2 and, for
// logout, signing and pushed requests, of the specifications that define them.
// In a configuration all may stand; a client that registers itself sets those
// that have a JSON name.
type Client struct {
	ID   string `yaml:"client_id" json:"-"`
	Name string `yaml:"client_name" json:"client_name,omitempty"`
	// What the login and consent pages show of the client: its page, its logo,
	// its privacy policy and its terms of service.
	ClientURI string   `yaml:"client_uri" json:"client_uri,omitempty"`
	LogoURI   string   `yaml:"logo_uri" json:"logo_uri,omitempty"`
	PolicyURI string   `yaml:"policy_uri" json:"policy_uri,omitempty"`
	TOSURI    string   `yaml:"tos_uri" json:"tos_uri,omitempty"`
	Contacts  []string `yaml:"contacts" json:"contacts,omitempty"`
	// ApplicationType is "web" (the default) or "native" (OIDC Registration §2).
	ApplicationType string `yaml:"application_type" json:"application_type,omitempty"`

	// Secret authenticates a confidential client. It is kept as its SHA-256.
	Secret                      string `yaml:"client_secret" json:"-"`
	TokenEndpointAuthMethod     string `yaml:"token_endpoint_auth_method" json:"token_endpoint_auth_method,omitempty"`
	TokenEndpointAuthSigningAlg string `yaml:"token_endpoint_auth_signing_alg" json:"token_endpoint_auth_signing_alg,omitempty"`
	// JWKS or JWKSURI are the client's keys: for its assertions and its request
	// objects (RFC 7591 §2).
	JWKS    map[string]any `yaml:"jwks" json:"jwks,omitempty"`
	JWKSURI string         `yaml:"jwks_uri" json:"jwks_uri,omitempty"`

	RedirectURIs           []string `yaml:"redirect_uris" json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `yaml:"post_logout_redirect_uris" json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             []string `yaml:"grant_types" json:"grant_types,omitempty"`
	ResponseTypes          []string `yaml:"response_types" json:"response_types,omitempty"`
	// InitiateLoginURI starts a login at the client (OIDC Core §4).
	InitiateLoginURI string `yaml:"initiate_login_uri" json:"initiate_login_uri,omitempty"`
	// Scope lists the scopes that the client may ask for, separated by spaces.
	// Empty: every scope that the provider knows.
	Scope string `yaml:"scope" json:"scope,omitempty"`

	// SubjectType is "public" (the default) or "pairwise" (OIDC Core §8).
	SubjectType         string `yaml:"subject_type" json:"subject_type,omitempty"`
	SectorIdentifierURI string `yaml:"sector_identifier_uri" json:"sector_identifier_uri,omitempty"`
	// DefaultMaxAge, in seconds, RequireAuthTime and DefaultACRValues hold for
	// requests that do not say otherwise (OIDC Registration §2).
	DefaultMaxAge    *int     `yaml:"default_max_age" json:"default_max_age,omitempty"`
	RequireAuthTime  bool     `yaml:"require_auth_time" json:"require_auth_time,omitempty"`
	DefaultACRValues []string `yaml:"default_acr_values" json:"default_acr_values,omitempty"`

	IDTokenSignedResponseAlg  string `yaml:"id_token_signed_response_alg" json:"id_token_signed_response_alg,omitempty"`
	UserInfoSignedResponseAlg string `yaml:"userinfo_signed_response_alg" json:"userinfo_signed_response_alg,omitempty"`
	// AuthorizationSignedResponseAlg signs authorization responses (JARM §3).
	AuthorizationSignedResponseAlg string `yaml:"authorization_signed_response_alg" json:"authorization_signed_response_alg,omitempty"`

	// Request objects, OIDC Core §6, RFC 9101; pushed requests, RFC 9126 §6.
	RequestObjectSigningAlg            string   `yaml:"request_object_signing_alg" json:"request_object_signing_alg,omitempty"`
	RequestURIs                        []string `yaml:"request_uris" json:"request_uris,omitempty"`
	RequireSignedRequestObject         bool     `yaml:"require_signed_request_object" json:"require_signed_request_object,omitempty"`
	RequirePushedAuthorizationRequests bool     `yaml:"require_pushed_authorization_requests" json:"require_pushed_authorization_requests,omitempty"`
	// DPoPBoundAccessTokens makes DPoP a must for the client (RFC 9449 §5.2).
	DPoPBoundAccessTokens bool `yaml:"dpop_bound_access_tokens" json:"dpop_bound_access_tokens,omitempty"`

	// OIDC Front-Channel Logout 1.0 §2, OIDC Back-Channel Logout 1.0 §2.2.
	FrontchannelLogoutURI             string `yaml:"frontchannel_logout_uri" json:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSessionRequired bool   `yaml:"frontchannel_logout_session_required" json:"frontchannel_logout_session_required,omitempty"`
	BackchannelLogoutURI              string `yaml:"backchannel_logout_uri" json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired  bool   `yaml:"backchannel_logout_session_required" json:"backchannel_logout_session_required,omitempty"`

	// What follows is for the operator to say.

	// AccessTokenFormat is "jwt" (RFC 9068, the default) or "opaque".
	AccessTokenFormat string `yaml:"access_token_format" json:"-"`
	// AccessTokenAlg signs JWT access tokens, by default ES256.
	AccessTokenAlg string `yaml:"access_token_signing_alg" json:"-"`
	// Audience is put into the client's access tokens. Empty: the issuer.
	Audience []string `yaml:"audience" json:"-"`
	// ResourceServer makes the client a protected resource: the audience whose
	// tokens it may introspect (RFC 7662 §2.1).
	ResourceServer string `yaml:"resource_server" json:"-"`
	// SkipConsent allows the client's scopes without asking, as for a
	// company's own application.
	SkipConsent bool `yaml:"skip_consent" json:"-"`
	// InsecureHTTPRedirectURIs allows redirect URIs and logout URIs that are
	// plain http on another host, as between the containers of a test. Whoever
	// is on the network between can then read the codes.
	InsecureHTTPRedirectURIs bool `yaml:"insecure_http_redirect_uris" json:"-"`
	// Lifetimes override the provider's for this client.
	Lifetimes *Lifetimes `yaml:"lifetimes" json:"-"`
}

// withDefaults fills what the registration leaves out, RFC 7591 §2.
func (c Client) withDefaults() Client {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{grantCode}
	}
	if len(c.ResponseTypes) == 0 && slices.Contains(c.GrantTypes, grantCode) {
		c.ResponseTypes = []string{"code"}
	}
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = authBasic
		if c.Secret == "" {
			c.TokenEndpointAuthMethod = authNone
		}
	}
	if c.IDTokenSignedResponseAlg == "" {
		c.IDTokenSignedResponseAlg = string(jose.RS256)
	}
	if c.AuthorizationSignedResponseAlg == "" {
		c.AuthorizationSignedResponseAlg = string(jose.RS256) // JARM §3
	}
	if c.AccessTokenFormat == "" {
		c.AccessTokenFormat = formatJWT
	}
	if c.AccessTokenAlg == "" {
		c.AccessTokenAlg = string(jose.ES256)
	}
	return c
}

// The formats of access tokens.
const (
	formatJWT    = "jwt"
	formatOpaque = "opaque"
)
