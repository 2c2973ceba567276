package provider

import (
	"crypto/subtle"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// client is a registered Client as the engine sees it.
type client struct {
	Client
	secretHash storage.Digest
	// secretExpiresAt is zero for a secret that does not expire.
	secretExpiresAt time.Time
	// sharedSecret is the secret itself, of a client that signs with it
	// (client_secret_jwt); of others only the hash is kept.
	sharedSecret string
	scopes       []string
	lifetimes    Lifetimes
}

var (
	_ fosite.Client                         = (*client)(nil)
	_ fosite.ResponseModeClient             = (*client)(nil)
	_ fosite.ClientWithCustomTokenLifespans = (*client)(nil)
)

// newClient prepares a validated registration. known are the provider's scopes.
func newClient(c Client, base Lifetimes, known []string) *client {
	registered := &client{Client: c.withDefaults(), lifetimes: base, scopes: known}
	if registered.TokenEndpointAuthMethod == authSecretJWT {
		registered.sharedSecret = c.Secret
	}
	if c.Secret != "" {
		registered.secretHash = storage.DigestOf(c.Secret)
		registered.Secret = ""
	}
	if c.Scope != "" {
		registered.scopes = strings.Fields(c.Scope)
	}
	if c.Lifetimes != nil {
		registered.lifetimes = c.Lifetimes.or(base)
	}
	return registered
}

// displayName is what pages call the client.
func (c *client) displayName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}

// warning tells people what a switch of the registration weakens for this
// request; "" if nothing.
func (c *client) warning(redirectURI string) string {
	if c.IDTokenSignedResponseAlg == algNone {
		return "this application gets ID tokens without a signature, which it can tell from forged ones only by where it got them (insecure_unsigned_id_tokens)."
	}
	if c.InsecureHTTPRedirectURIs && isPlainHTTP(redirectURI) {
		return "this application is reached over plain http, so whoever is on the network between can read the answer (insecure_http_redirect_uris)."
	}
	return ""
}

// checkSecret compares in constant time. A client without a secret matches
// nothing. See secretExpired.
func (c *client) checkSecret(secret string) bool {
	if secret == "" || c.secretHash.IsZero() {
		return false
	}
	sum := storage.DigestOf(secret)
	return subtle.ConstantTimeCompare(sum[:], c.secretHash[:]) == 1
}

// errSecretExpired is for who knows the secret, and too late: RFC 7591 §3.2.1.
func errSecretExpired(c *client) error {
	return refuse(fosite.ErrInvalidClient, check{
		What:     "The client secret has expired. Renew it with the registration access token, or register again.",
		Expected: "a secret before its client_secret_expires_at", Arrived: "one that expired at " + c.secretExpiresAt.UTC().Format(time.RFC3339), Section: rfc("7591", "3.2.1"),
	})
}

func (c *client) secretExpired() bool {
	return !c.secretExpiresAt.IsZero() && !time.Now().Before(c.secretExpiresAt)
}

// stillAllowed returns those of a grant's or token's scopes that the client is
// registered for: a registration may shrink while they live.
func (c *client) stillAllowed(scopes []string) []string {
	lost := func(scope string) bool { return !slices.Contains(c.scopes, scope) }
	if !slices.ContainsFunc(scopes, lost) {
		return scopes
	}
	return slices.DeleteFunc(slices.Clone(scopes), lost)
}

// matchRedirectURI says whether uri is one of registered: the same string
// (RFC 9700 §4.1.3), or for a loopback IP address the same but for the port
// (RFC 8252 §7.3).
func matchRedirectURI(uri string, registered []string) bool {
	if slices.Contains(registered, uri) {
		return true
	}
	want, ok := loopbackRedirect(uri)
	return ok && slices.ContainsFunc(registered, func(candidate string) bool {
		got, ok := loopbackRedirect(candidate)
		return ok && got == want
	})
}

// loopbackRedirect returns uri without its port, if it is a plain http URL of a
// loopback IP address.
func loopbackRedirect(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" || strings.Contains(uri, "#") {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	if ip == nil || !ip.IsLoopback() {
		return "", false
	}
	// What is left is compared as it was sent: no cleaning of paths, no
	// decoding, so that nothing else becomes equal.
	rest := strings.TrimPrefix(uri, "http://"+u.Host)
	return "http://" + ip.String() + rest, rest != uri
}

func (c *client) GetID() string                      { return c.ID }
func (c *client) GetHashedSecret() []byte            { return nil } // clientauth.go compares
func (c *client) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c *client) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c *client) GetResponseTypes() fosite.Arguments { return c.ResponseTypes }
func (c *client) GetScopes() fosite.Arguments        { return c.scopes }
func (c *client) GetAudience() fosite.Arguments      { return c.Audience }

// IsPublic reports whether the client cannot keep a secret, RFC 6749 §2.1.
func (c *client) IsPublic() bool { return c.TokenEndpointAuthMethod == authNone }

// GetResponseModes allows every mode: authorize.go refuses the unsafe ones.
func (c *client) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{fosite.ResponseModeQuery, fosite.ResponseModeFragment, fosite.ResponseModeFormPost}
}

// GetEffectiveLifespan returns the client's own lifetimes.
func (c *client) GetEffectiveLifespan(_ fosite.GrantType, kind fosite.TokenType, fallback time.Duration) time.Duration {
	switch kind {
	case fosite.AccessToken:
		return time.Duration(c.lifetimes.AccessToken)
	case fosite.RefreshToken:
		return time.Duration(c.lifetimes.RefreshToken)
	case fosite.IDToken:
		return time.Duration(c.lifetimes.IDToken)
	case fosite.AuthorizeCode:
		return time.Duration(c.lifetimes.Code)
	default:
		return fallback
	}
}
