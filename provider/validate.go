package provider

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// invalid says which value of the configuration cannot be used. New reports
// it as it is; ReadConfig adds the line on which the value stands.
type invalid struct {
	list   string // YAML name of the list: "clients", "users" or "scopes"; "" for a value at the top
	index  int    // in that list
	field  string // YAML name of the field; "" for the whole entry
	entry  string // what the entry is called in messages: `client "spa"`
	reason string
}

func (e *invalid) Error() string {
	var parts []string
	for _, part := range []string{e.entry, e.field, e.reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// problem is a reason to refuse one field of an entry.
type problem struct{ field, reason string }

func problemf(field, format string, args ...any) *problem {
	return &problem{field, fmt.Sprintf(format, args...)}
}

// validate checks all that can be checked without a store.
func (cfg *Config) validate() error {
	if err := validateIssuer(cfg.Issuer); err != nil {
		return err
	}
	return validateEntries(cfg.Clients, cfg.Users, cfg.Scopes, cfg.Lifetimes)
}

// validateEntries checks what a configuration file may hold beside the issuer.
func validateEntries(clients []Client, users []User, scopes []Scope, lifetimes Lifetimes) error {
	if p := lifetimes.check(); p != nil {
		return &invalid{field: "lifetimes", reason: p.reason}
	}
	known := slices.Clone(userScopes)
	for i, s := range scopes {
		p := s.check()
		if p == nil && slices.Contains(known, s.Name) {
			p = problemf("name", "this scope is there already")
		}
		if p != nil {
			return p.at("scopes", i, "scope", s.Name)
		}
		known = append(known, s.Name)
	}
	ids := map[string]bool{}
	for i, c := range clients {
		p := c.check(known)
		if p == nil && ids[c.ID] {
			p = problemf("client_id", "another client has it already")
		}
		if p != nil {
			return p.at("clients", i, "client", c.ID)
		}
		ids[c.ID] = true
	}
	names, subjects := map[string]bool{}, map[string]bool{}
	for i, u := range users {
		p := u.check()
		sub, _ := u.Claims["sub"].(string)
		switch {
		case p != nil:
		case names[u.Username]:
			p = problemf("username", "another user has it already")
		case subjects[sub]:
			p = problemf("claims", "sub %q: another user has it already", sub)
		case ids[sub]:
			// A client's own tokens have the client_id as "sub".
			p = problemf("claims", "sub %q: a client has it as its client_id (RFC 9068 §5)", sub)
		}
		if p != nil {
			return p.at("users", i, "user", u.Username)
		}
		names[u.Username], subjects[sub] = true, true
	}
	return nil
}

func (p *problem) at(list string, index int, kind, name string) *invalid {
	entry := fmt.Sprintf("%s %q", kind, name)
	if name == "" {
		entry = fmt.Sprintf("%s number %d", kind, index+1)
	}
	return &invalid{list: list, index: index, field: p.field, entry: entry, reason: p.reason}
}

// validateIssuer: OIDC Discovery §3, RFC 8414 §2. http is for laboratories.
func validateIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	reason := ""
	switch {
	case issuer == "":
		reason = "is missing"
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		reason = fmt.Sprintf("%q is no http or https URL", issuer)
	case u.RawQuery != "", u.ForceQuery, strings.Contains(issuer, "#"), u.User != nil:
		reason = fmt.Sprintf("%q must have no query, fragment or user", issuer)
	case strings.HasSuffix(issuer, "/"):
		reason = fmt.Sprintf("%q must not end with a slash", issuer)
	case !plainPath(u):
		reason = fmt.Sprintf("%q has a path that is not of letters, digits and -._~ between single slashes", issuer)
	default:
		return nil
	}
	return &invalid{field: "issuer", reason: reason}
}

// plainPath reports whether a URL's path reads the same however it is written:
// no escapes, no empty or dot segments, nothing that a router takes for a
// pattern.
func plainPath(u *url.URL) bool {
	const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	return u.Path == "" || u.RawPath == "" && path.Clean(u.Path) == u.Path && strings.Trim(u.Path, "/"+unreserved) == ""
}

// check: RFC 6749 §3.3 for the name.
func (s *Scope) check() *problem {
	if s.Name == "" {
		return problemf("name", "is missing")
	}
	if strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return problemf("name", "a scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3)")
	}
	return nil
}

func (u *User) check() *problem {
	sub, isText := u.Claims["sub"].(string)
	switch {
	case u.Username == "":
		return problemf("username", "is missing")
	case u.Password == "" && u.PasswordHash == "":
		return problemf("password", "is missing; give password or password_hash")
	case u.Password != "" && u.PasswordHash != "":
		return problemf("password", "give password or password_hash, not both")
	case u.Claims["sub"] == nil || sub == "" && isText:
		return problemf("claims", "sub is missing (OpenID Connect Core §2)")
	case !isText:
		return problemf("claims", "sub must be text: put it in quotes")
	case len(sub) > 255 || strings.ContainsFunc(sub, notVisible):
		return problemf("claims", "sub must be at most 255 visible ASCII characters (OpenID Connect Core §2)")
	}
	if u.PasswordHash != "" {
		if _, err := parsePasswordHash(u.PasswordHash); err != nil {
			return problemf("password_hash", "%v", err)
		}
	}
	return nil
}

// check refuses what has no lifetime left. Zero means "the default".
func (l *Lifetimes) check() *problem {
	for _, d := range []Duration{l.Code, l.AccessToken, l.IDToken, l.RefreshToken, l.Grant, l.Session} {
		if d < 0 {
			return problemf("lifetimes", "%s is negative", time.Duration(d))
		}
	}
	if l.Code > Duration(10*time.Minute) {
		return problemf("lifetimes", "code: %s is more than ten minutes (RFC 6749 §4.1.2)", time.Duration(l.Code))
	}
	return nil
}

// notVisible: neither a visible ASCII character nor a space (RFC 6749 appendix A.1).
func notVisible(r rune) bool { return r < ' ' || r > '~' }

// check checks a client's registration against itself and the known scopes.
func (c *Client) check(knownScopes []string) *problem {
	full := c.withDefaults()
	for _, step := range []func() *problem{
		full.checkIdentity,
		full.checkGrants,
		full.checkRedirects,
		func() *problem { return full.checkScope(knownScopes) },
		full.checkTokens,
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
	case !slices.Contains([]string{authBasic, authPost, authNone}, c.TokenEndpointAuthMethod):
		return problemf("token_endpoint_auth_method", "%q is not one of %s, %s, %s", c.TokenEndpointAuthMethod, authBasic, authPost, authNone)
	case c.TokenEndpointAuthMethod != authNone && c.Secret == "":
		return problemf("client_secret", "is missing: %s needs one", c.TokenEndpointAuthMethod)
	case c.TokenEndpointAuthMethod == authNone && c.Secret != "":
		return problemf("client_secret", "a client that authenticates by %q has none", authNone)
	case strings.ContainsFunc(c.Secret, notVisible):
		return problemf("client_secret", "must be printable ASCII (RFC 6749 appendix A.2)")
	case c.TokenEndpointAuthMethod == authNone && c.ResourceServer != "":
		return problemf("resource_server", "introspection needs a client that has a secret (RFC 7662 §2.1)")
	}
	return nil
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
	known := []string{grantCode, grantImplicit, grantRefresh, grantClientCredentials}
	for _, g := range c.GrantTypes {
		if !slices.Contains(known, g) {
			return problemf("grant_types", "%q is not one of %s", g, strings.Join(known, ", "))
		}
	}
	if slices.Contains(c.GrantTypes, grantClientCredentials) && c.TokenEndpointAuthMethod == authNone {
		return problemf("grant_types", "client_credentials is for clients that have a secret (RFC 6749 §4.4)")
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
			return problemf("redirect_uris", "%q carries codes unencrypted to another machine (RFC 9700 §2.6): use https, or set insecure_http_redirect_uris for this client", uri)
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
	case !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg)):
		return problemf("id_token_signed_response_alg", "%q is not one of %v", c.IDTokenSignedResponseAlg, signingAlgorithms)
	case !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(c.AccessTokenAlg)):
		return problemf("access_token_signing_alg", "%q is not one of %v", c.AccessTokenAlg, signingAlgorithms)
	case c.AccessTokenFormat != formatJWT && c.AccessTokenFormat != formatOpaque:
		return problemf("access_token_format", "%q is not %s or %s", c.AccessTokenFormat, formatJWT, formatOpaque)
	case slices.Contains(c.Audience, ""):
		return problemf("audience", "holds an empty value")
	}
	for _, link := range []struct{ field, uri string }{
		{"client_uri", c.ClientURI}, {"logo_uri", c.LogoURI}, {"policy_uri", c.PolicyURI}, {"tos_uri", c.TOSURI},
	} {
		if link.uri != "" && webURL(link.uri) == "" {
			return problemf(link.field, "%q is not an http or https URL", link.uri)
		}
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
