package provider

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/storage"
)

// Config is everything that a Provider needs. Only Issuer and Store have no
// default.
type Config struct {
	// Issuer is the provider's identifier, an http or https URL without query,
	// fragment or trailing slash (OIDC Discovery 1.0 §3).
	Issuer string
	// Store keeps the provider's state. The caller closes it, after Close.
	Store storage.Store
	// Clients are the registered clients.
	Clients []Client
	// Users can sign in. None: SeedUsers.
	Users []User
	// Scopes are offered beyond OpenID Connect's own.
	Scopes []Scope
	// Requests says what authorization requests may be.
	Requests Requests
	// Lifetimes bound what is issued. Zero fields take the defaults.
	Lifetimes Lifetimes
	// Registration says who may register clients. The zero value: everybody.
	Registration Registration
	// DPoPNonce asks for a nonce of the provider in each DPoP proof (RFC 9449
	// §8, §9), so that none can be made in advance.
	DPoPNonce bool
	// MaxConcurrentRequests is how many requests may be under way; more are
	// answered 503 with Retry-After. 0: 1024.
	MaxConcurrentRequests int
	// Logger receives what happens, without secrets. Nil: nothing is logged.
	Logger *slog.Logger
	// HomeURL is where the pages' link back leads. Empty: there is none.
	HomeURL string
	// Explain adds to an error which check failed, with the section of the
	// specification. For laboratories: it tells an attacker as much.
	Explain bool
	// InsecurePrivateAddresses lets the provider call URLs of clients that lead
	// to this machine or into a private network, and plain http ones. Without
	// it, only public addresses are called, over https: a client could else
	// make the provider ask services that the client itself cannot reach.
	InsecurePrivateAddresses bool
	// TrustedOrigins are those of clients that run with the provider, such as
	// the lab's: URLs there are called wherever they lead, and over plain http.
	TrustedOrigins []string
	// RootCAs returns whom the provider trusts when it calls URLs of clients. It is
	// asked once, when the first https URL is called: to read a system's authorities
	// takes as long as to start. Nil: the system's.
	RootCAs func() *x509.CertPool
	// DialContext connects to URLs of clients, in place of net.Dialer. Where it
	// connects to is checked before anything is sent.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// WrapTransport, if set, gets what sends requests to URLs of clients and
	// returns what to use in its place, such as one that records them first.
	WrapTransport func(http.RoundTripper) http.RoundTripper
	// InsecureUnsignedIDTokens gives clients that are registered for it ID tokens
	// without a signature, from the token endpoint only. Whoever gets such a
	// token from anywhere else cannot tell it from a forged one.
	InsecureUnsignedIDTokens bool
	// InsecureUnlimitedLoginAttempts lets everybody try as many wrong passwords as
	// they like, for tests that do. Right ones are never bounded.
	InsecureUnlimitedLoginAttempts bool
	// KeyRotation replaces the signing keys after they have signed for this
	// long. 0: they rotate only when RotateKeys is called.
	KeyRotation Duration
	// KeyLead is how long the next keys are published before they sign, by
	// default ten minutes: longer than relying parties may keep the JWKS.
	KeyLead Duration
	// FixedKeys are signing keys to use instead of generated ones, so that
	// what is signed can be compared between runs. They do not rotate.
	FixedKeys []jose.JSONWebKey
}

// User is a person who can sign in.
type User struct {
	Username string `yaml:"username"`
	// Password is hashed with argon2id before it is kept. PasswordHash is such
	// a hash in PHC form. One of the two is set.
	Password     string `yaml:"password"`
	PasswordHash string `yaml:"password_hash"`
	// Claims hold "sub" and whatever else the user's claims are (OIDC Core §5.1).
	Claims map[string]any `yaml:"claims"`
	// Groups become the "groups" claim, under the scope of that name.
	Groups []string `yaml:"groups"`
}

// Scope is a scope of the operator's own.
type Scope struct {
	Name string `yaml:"name"`
	// Description is what the consent page says of it.
	Description string `yaml:"description"`
}

// Duration is a time.Duration that configuration spells "10m".
type Duration time.Duration

// UnmarshalText reads the form of time.ParseDuration. It must be positive.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s, 10m or 24h", text)
	}
	if v <= 0 {
		return fmt.Errorf("duration %q is not positive", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Lifetimes say how long what is issued stays valid.
type Lifetimes struct {
	// Code is an authorization code's. RFC 6749 §4.1.2 allows ten minutes at most.
	Code        Duration `yaml:"code"`
	AccessToken Duration `yaml:"access_token"`
	IDToken     Duration `yaml:"id_token"`
	// RefreshToken is one refresh token's, from its issue.
	RefreshToken Duration `yaml:"refresh_token"`
	// Grant is the whole family's: no refresh extends it (RFC 9700 §4.14.2).
	Grant Duration `yaml:"grant"`
	// Session is the single-sign-on session's, from the login. A client cannot
	// override it.
	Session Duration `yaml:"session"`
	// DeviceCode is how long a device waits for its user (RFC 8628 §3.2).
	DeviceCode Duration `yaml:"device_code"`
	// PushedRequest is how long a client has to send the user's browser with a
	// pushed request (RFC 9126 §2.2).
	PushedRequest Duration `yaml:"pushed_request"`
}

// defaultLifetimes suit a laboratory: short enough to see things expire in one
// sitting, long enough not to be in the way.
var defaultLifetimes = Lifetimes{
	Code:          Duration(time.Minute),
	AccessToken:   Duration(10 * time.Minute),
	IDToken:       Duration(10 * time.Minute),
	RefreshToken:  Duration(24 * time.Hour),
	Grant:         Duration(30 * 24 * time.Hour),
	Session:       Duration(8 * time.Hour),
	DeviceCode:    Duration(10 * time.Minute),
	PushedRequest: Duration(90 * time.Second),
}

// or returns l with its zero fields taken from base.
func (l Lifetimes) or(base Lifetimes) Lifetimes {
	pick := func(own *Duration, fallback Duration) {
		if *own == 0 {
			*own = fallback
		}
	}
	pick(&l.Code, base.Code)
	pick(&l.AccessToken, base.AccessToken)
	pick(&l.IDToken, base.IDToken)
	pick(&l.RefreshToken, base.RefreshToken)
	pick(&l.Grant, base.Grant)
	pick(&l.Session, base.Session)
	pick(&l.DeviceCode, base.DeviceCode)
	pick(&l.PushedRequest, base.PushedRequest)
	return l
}
