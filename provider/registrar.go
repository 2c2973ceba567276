package provider

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// Registration says who may register clients (RFC 7591) and how. The zero value
// lets everybody who reaches the provider.
type Registration struct {
	// Enabled is whether there is registration at all; nil means yes. Clients
	// that are registered already stay.
	Enabled *bool `yaml:"enabled"`
	// InitialAccessToken is asked of whoever registers a client (RFC 7591 §3).
	// Empty: nothing is. It is kept as its SHA-256.
	InitialAccessToken string `yaml:"initial_access_token"`
	// SecretLifetime is how long the secrets of registered clients are good.
	// Zero: for ever.
	SecretLifetime Duration `yaml:"secret_lifetime"`
	// ClientLifetime is how long a registered client is kept that nobody uses.
	// Zero: for ever.
	ClientLifetime Duration `yaml:"client_lifetime"`
	// MaxClients is how many clients can be registered. Zero: 10,000.
	MaxClients int `yaml:"max_clients"`
}

const defaultMaxClients = 10_000

// On reports whether there is registration at all.
func (r *Registration) On() bool { return r.Enabled == nil || *r.Enabled }

// check: RFC 6750 §2.1 for the token.
func (r *Registration) check() *problem {
	const symbols = "-._~+/="
	switch {
	case strings.ContainsFunc(r.InitialAccessToken, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(symbols, c)
	}):
		return problemf("registration", "initial_access_token: must be of letters, digits and %s (RFC 6750 §2.1)", symbols)
	case r.SecretLifetime < 0:
		return problemf("registration", "secret_lifetime: %s is negative", time.Duration(r.SecretLifetime))
	case r.ClientLifetime != 0 && time.Duration(r.ClientLifetime) < minClientLifetime:
		return problemf("registration", "client_lifetime: %s is less than %s", time.Duration(r.ClientLifetime), minClientLifetime)
	case r.MaxClients < 0:
		return problemf("registration", "max_clients: %d is negative", r.MaxClients)
	}
	return nil
}

// registrar says who may register and how many.
type registrar struct {
	enabled        bool
	initialToken   storage.Digest // zero: none is asked for
	secretLifetime time.Duration
	clientLifetime time.Duration // zero: for ever; see clientlife.go
	limit          int
}

func newRegistrar(r Registration) *registrar {
	made := &registrar{
		enabled: r.On(), secretLifetime: time.Duration(r.SecretLifetime), clientLifetime: time.Duration(r.ClientLifetime), limit: r.MaxClients,
	}
	if made.limit == 0 {
		made.limit = defaultMaxClients
	}
	if r.InitialAccessToken != "" {
		made.initialToken = storage.DigestOf(r.InitialAccessToken)
	}
	return made
}

// open reports whether anybody may register a client.
func (g *registrar) open() bool { return g.initialToken.IsZero() }

// checkInitialToken: RFC 7591 §3, RFC 6750 §2.1.
func (g *registrar) checkInitialToken(r *http.Request) error {
	token := headerToken(r)
	if token == "" {
		return errNoToken
	}
	if !sameDigest(storage.DigestOf(token), g.initialToken) {
		return refuse(errInvalidToken, check{What: "The initial access token is wrong.", Section: rfc("7591", "3")})
	}
	return nil
}

// translate makes an answer of the store's refusal to hold more clients than there
// may be. The store counts them, for all processes that share it.
func (g *registrar) translate(err error) error {
	if !errors.Is(err, storage.ErrFull) {
		return err
	}
	return refuse(fosite.ErrAccessDenied, check{
		What: fmt.Sprintf("No more clients can register: there are %d, as many as there may be (max_clients).", g.limit), Section: rfc("7591", "5"),
	})
}

// headerToken is the token of the Authorization header, RFC 6750 §2.1; "" if
// there is none. A registration is JSON, so there is no other place for it.
func headerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) > 1 {
		return ""
	}
	return strings.TrimSpace(token)
}

func sameDigest(a, b storage.Digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
