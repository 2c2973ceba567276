package provider

import (
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/oidclab/oidclab/storage"
)

// grantSession is what fosite carries through one request: the grant, and the
// few values that its handlers hand to each other.
type grantSession struct {
	grant storage.Grant
	// stored says that the grant is in the store already.
	stored bool
	// jti is the ID of the JWT access token that was made last.
	jti string

	expiresAt expiries
	claims    jwt.IDTokenClaims
	headers   jwt.Headers
	// idTokenAlg decides the size of at_hash and c_hash (OIDC Core §3.1.3.6).
	idTokenAlg string
}

// expiries are when a grant's tokens expire that are made or presented; zero if that is
// not known.
type expiries struct{ code, accessToken, refreshToken time.Time }

func (e *expiries) of(kind fosite.TokenType) *time.Time {
	switch kind {
	case fosite.AuthorizeCode:
		return &e.code
	case fosite.AccessToken:
		return &e.accessToken
	case fosite.RefreshToken:
		return &e.refreshToken
	default:
		return &time.Time{} // fosite has no others that are issued here
	}
}

var _ openid.Session = (*grantSession)(nil)

// newGrantSession wraps a grant.
func newGrantSession(grant storage.Grant, idTokenAlg string) *grantSession {
	return &grantSession{
		grant: grant, idTokenAlg: idTokenAlg,
		claims: jwt.IDTokenClaims{
			Subject: grant.Subject,
			// Both keep their nanoseconds: fosite compares them when prompt=login.
			AuthTime:    grant.AuthTime,
			RequestedAt: grant.RequestedAt,
		},
	}
}

// hashedLike is an algorithm whose name tells fosite which hash goes with alg.
// Ed25519's is SHA-512 (RFC 8032 §5.1), but fosite would take SHA-256.
func hashedLike(alg string) string {
	if alg == string(jose.EdDSA) {
		return string(jose.RS512)
	}
	return alg
}

func (s *grantSession) SetExpiresAt(kind fosite.TokenType, t time.Time) {
	*s.expiresAt.of(kind) = t
}

func (s *grantSession) GetExpiresAt(kind fosite.TokenType) time.Time { return *s.expiresAt.of(kind) }
func (s *grantSession) GetUsername() string                          { return "" }
func (s *grantSession) GetSubject() string                           { return s.grant.Subject }
func (s *grantSession) IDTokenClaims() *jwt.IDTokenClaims            { return &s.claims }

// IDTokenHeaders is made when it is first asked for: few of a request's sessions are.
func (s *grantSession) IDTokenHeaders() *jwt.Headers {
	if s.headers.Extra == nil {
		s.headers.Extra = map[string]any{"alg": hashedLike(s.idTokenAlg)}
	}
	return &s.headers
}

// Clone copies what fosite's handlers change.
func (s *grantSession) Clone() fosite.Session {
	c := *s
	c.headers.Extra = nil
	return &c
}

// expire sets when tokens that are issued now expire: exactly by the lifetimes,
// where fosite would round, and never after the grant, which no refresh extends
// (RFC 9700 §4.14.2).
func (s *grantSession) expire(now time.Time, lifetimes Lifetimes) {
	until := func(life Duration) time.Time {
		if t := now.Add(time.Duration(life)); t.Before(s.grant.ExpiresAt) {
			return t
		}
		return s.grant.ExpiresAt
	}
	s.expiresAt.accessToken, s.expiresAt.refreshToken = until(lifetimes.AccessToken), until(lifetimes.RefreshToken)
}

// expiresIn is the access token's "expires_in" (RFC 6749 §5.1) in seconds.
func (s *grantSession) expiresIn(now time.Time) int64 {
	return int64(s.expiresAt.accessToken.Sub(now) / time.Second)
}
