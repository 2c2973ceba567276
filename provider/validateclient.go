package provider

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-jose/go-jose/v4"
)

// check checks a client's registration against itself and the known scopes.
func (c *Client) check(knownScopes []string) *problem {
	full := c.withDefaults()
	for _, step := range []func() *problem{
		full.checkIdentity,
		full.checkName,
		full.checkGrants,
		full.checkKeys,
		full.checkRedirects,
		full.checkApplicationType,
		full.checkBackChannelLogout,
		full.checkFrontChannelLogout,
		full.checkSubject,
		full.checkLinks,
		func() *problem { return full.checkScope(knownScopes) },
		full.checkTokens,
		full.checkDPoP,
		full.checkRequests,
	} {
		if p := step(); p != nil {
			return p
		}
	}
	return nil
}

// checkIdentity: RFC 6749 §2.2, §2.3.1.
func (c *Client) checkIdentity() *problem {
	switch {
	case c.ID == "":
		return problemf("client_id", "is missing")
	case strings.ContainsFunc(c.ID, notVisible):
		return problemf("client_id", "must be printable ASCII (RFC 6749 appendix A.1)")
	case !slices.Contains(authMethods, c.TokenEndpointAuthMethod):
		return problemf("token_endpoint_auth_method", "%q is not one of %s", c.TokenEndpointAuthMethod, strings.Join(authMethods, ", "))
	case c.needsSecret() && c.Secret == "":
		return problemf("client_secret", "is missing: %s needs one", c.TokenEndpointAuthMethod)
	case !c.needsSecret() && c.Secret != "":
		return problemf("client_secret", "a client that authenticates by %q has none", c.TokenEndpointAuthMethod)
	case strings.ContainsFunc(c.Secret, notVisible):
		return problemf("client_secret", "must be printable ASCII (RFC 6749 appendix A.2)")
	case c.TokenEndpointAuthMethod == authNone && c.ResourceServer != "":
		return problemf("resource_server", "introspection needs a client that has a secret or a key (RFC 7662 §2.1)")
	}
	return c.checkAssertionMetadata()
}

// checkName: what pages call the client (RFC 7591 §2) can be seen.
func (c *Client) checkName() *problem {
	switch {
	case c.Name == "":
		return nil
	case strings.ContainsFunc(c.Name, unicode.IsControl):
		return problemf("client_name", "holds control characters")
	case !strings.ContainsFunc(c.Name, isSeen):
		return problemf("client_name", "has nothing to see in it")
	}
	return nil
}

// isSeen reports whether a character leaves a mark by itself, as spaces, fillers,
// accents without a letter and an empty Braille pattern do not.
func isSeen(r rune) bool {
	return unicode.IsPrint(r) && r != ' ' && r != 0x2800 && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
		!unicode.In(r, unicode.M, unicode.Variation_Selector)
}

// needsSecret reports whether the client authenticates with a secret.
func (c *Client) needsSecret() bool {
	return slices.Contains([]string{authBasic, authPost, authSecretJWT}, c.TokenEndpointAuthMethod)
}

// checkAssertionMetadata: what a client needs that authenticates by a JWT (OIDC
// Core §9, §10.1).
func (c *Client) checkAssertionMetadata() *problem {
	algs := c.assertionAlgorithms()
	alg := c.TokenEndpointAuthSigningAlg
	switch {
	case c.TokenEndpointAuthMethod == authPrivateKey && len(c.JWKS) == 0 && c.JWKSURI == "":
		return problemf("jwks", "is missing: %s needs jwks or jwks_uri", authPrivateKey)
	case c.TokenEndpointAuthMethod == authSecretJWT && len(c.Secret) < 32:
		return problemf("client_secret", "must be at least 32 bytes for HS256 (RFC 7518 §3.2)")
	case alg != "" && len(algs) == 0:
		return problemf("token_endpoint_auth_signing_alg", "is for clients that authenticate by %s or %s", authPrivateKey, authSecretJWT)
	case alg != "" && !slices.Contains(algs, jose.SignatureAlgorithm(alg)):
		return problemf("token_endpoint_auth_signing_alg", "%q is not one of %v", alg, algs)
	}
	return nil
}

// assertionAlgorithms are those that may sign the client's assertions, by its way
// to authenticate.
func (c *Client) assertionAlgorithms() []jose.SignatureAlgorithm {
	switch c.TokenEndpointAuthMethod {
	case authPrivateKey:
		return slices.DeleteFunc(slices.Clone(assertionAlgorithms), func(alg jose.SignatureAlgorithm) bool { return alg == jose.HS256 })
	case authSecretJWT:
		return []jose.SignatureAlgorithm{jose.HS256}
	default:
		return nil
	}
}

// The grant types of RFC 7591 §2 that the provider knows.
const (
	grantCode              = "authorization_code"
	grantImplicit          = "implicit"
	grantRefresh           = "refresh_token"
	grantClientCredentials = "client_credentials"
)

// checkGrants: RFC 7591 §2.1 says which response type goes with which grant.
func (c *Client) checkGrants() *problem {
	known := []string{grantCode, grantImplicit, grantRefresh, grantClientCredentials, grantDevice}
	for _, g := range c.GrantTypes {
		if !slices.Contains(known, g) {
			return problemf("grant_types", "%q is not one of %s", g, strings.Join(known, ", "))
		}
	}
	if slices.Contains(c.GrantTypes, grantClientCredentials) && c.TokenEndpointAuthMethod == authNone {
		return problemf("grant_types", "client_credentials is for clients that have a secret or a key (RFC 6749 §4.4)")
	}
	for _, r := range c.ResponseTypes {
		words := strings.Fields(r)
		slices.Sort(words)
		if !slices.Contains(responseTypes, strings.Join(words, " ")) { // they are sorted, too
			return problemf("response_types", "%q is not one of: %s", r, strings.Join(responseTypes, ", "))
		}
		code := slices.Contains(words, "code")
		if code && !slices.Contains(c.GrantTypes, grantCode) {
			return problemf("response_types", "%q needs %q among grant_types (RFC 7591 §2.1)", r, grantCode)
		}
		if (!code || len(words) > 1) && !slices.Contains(c.GrantTypes, grantImplicit) {
			return problemf("response_types", "%q needs %q among grant_types (RFC 7591 §2.1)", r, grantImplicit)
		}
	}
	return nil
}

// switchHTTPRedirects is Client.InsecureHTTPRedirectURIs as the configuration has it.
const switchHTTPRedirects = "insecure_http_redirect_uris"

// checkRedirects: whoever gets codes or tokens in the browser says where.
func (c *Client) checkRedirects() *problem {
	inBrowser := slices.Contains(c.GrantTypes, grantCode) || slices.Contains(c.GrantTypes, grantImplicit)
	if inBrowser && len(c.RedirectURIs) == 0 && c.ResourceServer == "" {
		return problemf("redirect_uris", "is missing: grant types %s and %s need one (RFC 6749 §3.1.2.2)", grantCode, grantImplicit)
	}
	for _, uri := range c.RedirectURIs {
		if reason := redirectProblem(uri); reason != "" {
			return problemf("redirect_uris", "%q %s", uri, reason)
		}
		if !c.InsecureHTTPRedirectURIs && isPlainHTTP(uri) {
			p := problemf("redirect_uris", "%q carries codes unencrypted to another machine (RFC 9700 §2.6): use https", uri)
			p.unless = switchHTTPRedirects
			return p
		}
	}
	for _, uri := range c.PostLogoutRedirectURIs {
		if reason := redirectProblem(uri); reason != "" {
			return problemf("post_logout_redirect_uris", "%q %s", uri, reason)
		}
	}
	return nil
}

// redirectProblem says what is wrong with a redirect URI, or "".
func redirectProblem(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil, !u.IsAbs():
		return "is no absolute URL (RFC 6749 §3.1.2)"
	case strings.Contains(uri, "#"):
		return "has a fragment (RFC 6749 §3.1.2)"
	case strings.Contains(uri, "*"):
		return "has a wildcard: redirect URIs are compared exactly (RFC 9700 §4.1.3)"
	case u.User != nil:
		return "holds a user name"
	case strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "holds characters that a URL must escape (RFC 3986 §2)"
	case !plainPort(u):
		return "has a port beyond 65535"
	case u.Host != "" && !plainHost(u):
		return "has a host that is no name and no address (RFC 1123 §2.1)"
	case u.Scheme == "http", u.Scheme == "https":
		if u.Host == "" {
			return "has no host"
		}
	case !strings.Contains(u.Scheme, "."):
		// "javascript:" and "data:" would run in the provider's name.
		return "must be http, https or a scheme of the app's own such as com.example.app (RFC 8252 §7.1)"
	}
	return ""
}

// plainPort reports whether the port is one that there can be, or is left out.
// url.Parse takes any number.
func plainPort(u *url.URL) bool {
	_, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil
}

// plainHost reports whether the host is a name or an IP address. url.Parse takes
// more than these, such as commas and semicolons, which would end a source, or a
// whole policy, where we write one (CSP3 §2.3.1).
func plainHost(u *url.URL) bool {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Zone() == ""
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || strings.Trim(label, "-") != label || strings.ContainsFunc(label, notInNames) {
			return false
		}
	}
	return true
}

// notInNames: RFC 1123 §2.1, and the underscore, which is in use.
func notInNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// The application types of OIDC Registration §2.
const (
	applicationWeb    = "web"
	applicationNative = "native"
)

// checkApplicationType: OIDC Registration §2. Its rule that a web application
// has neither plain http nor localhost is left to checkRedirects, which allows
// both on this machine whatever the type: that is what a laboratory is for. A
// configuration that does not say the type may have schemes of all kinds.
func (c *Client) checkApplicationType() *problem {
	switch c.ApplicationType {
	case "", applicationNative:
		return nil
	case applicationWeb:
	default:
		return problemf("application_type", "%q is not %s or %s", c.ApplicationType, applicationWeb, applicationNative)
	}
	for _, uri := range c.RedirectURIs {
		if webURL(uri) == "" {
			return problemf("redirect_uris", "%q is for application_type %s (OpenID Connect Registration §2)", uri, applicationNative)
		}
	}
	return nil
}

// checkLinks: the pages and pictures that a person is shown, and where a person
// is sent to start again (OIDC Core §4).
func (c *Client) checkLinks() *problem {
	for _, link := range []struct{ field, uri string }{
		{"client_uri", c.ClientURI},
		{"logo_uri", c.LogoURI},
		{"policy_uri", c.PolicyURI},
		{"tos_uri", c.TOSURI},
		{"initiate_login_uri", c.InitiateLoginURI},
	} {
		if link.uri != "" && webURL(link.uri) == "" {
			return problemf(link.field, "%q is not an http or https URL", link.uri)
		}
	}
	if isPlainHTTP(c.InitiateLoginURI) {
		return problemf("initiate_login_uri", "%q is not https (OpenID Connect Core §4)", c.InitiateLoginURI)
	}
	return nil
}

func (c *Client) checkScope(known []string) *problem {
	for s := range strings.FieldsSeq(c.Scope) {
		if !slices.Contains(known, s) {
			return problemf("scope", "%q is not known; known are %s", s, strings.Join(known, " "))
		}
	}
	return nil
}

// checkTokens: how the client's tokens look and how long they live.
func (c *Client) checkTokens() *problem {
	switch {
	case c.IDTokenSignedResponseAlg != algNone && !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg)):
		return problemf("id_token_signed_response_alg", "%q is not one of %v", c.IDTokenSignedResponseAlg, signingAlgorithms)
	case c.UserInfoSignedResponseAlg != "" && !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.UserInfoSignedResponseAlg)):
		return problemf("userinfo_signed_response_alg", "%q is not one of %v", c.UserInfoSignedResponseAlg, signingAlgorithms)
	case !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.AuthorizationSignedResponseAlg)):
		return problemf("authorization_signed_response_alg", "%q is not one of %v", c.AuthorizationSignedResponseAlg, signingAlgorithms)
	case !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.AccessTokenAlg)):
		return problemf("access_token_signing_alg", "%q is not one of %v", c.AccessTokenAlg, signingAlgorithms)
	case c.AccessTokenFormat != formatJWT && c.AccessTokenFormat != formatOpaque:
		return problemf("access_token_format", "%q is not %s or %s", c.AccessTokenFormat, formatJWT, formatOpaque)
	case slices.Contains(c.Audience, ""):
		return problemf("audience", "holds an empty value")
	}
	if c.Lifetimes == nil {
		return nil
	}
	if c.Lifetimes.Session != 0 {
		return problemf("lifetimes", "session: a session is the provider's, not a client's")
	}
	return c.Lifetimes.check()
}

// isPlainHTTP reports whether uri is http on a host that is not this machine.
func isPlainHTTP(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	ip := net.ParseIP(host)
	return host != "localhost" && !strings.HasSuffix(host, ".localhost") && (ip == nil || !ip.IsLoopback())
}
