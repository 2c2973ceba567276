package provider

import (
	"maps"
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

	expiresAt map[fosite.TokenType]time.Time
	claims    *jwt.IDTokenClaims
	headers   *jwt.Headers
}

var _ openid.Session = (*grantSession)(nil)

// newGrantSession wraps a grant. idTokenAlg decides the size of at_hash and
// c_hash (OIDC Core §3.1.3.6).
func newGrantSession(grant storage.Grant, idTokenAlg string) *grantSession {
	return &grantSession{
		grant:     grant,
		expiresAt: make(map[fosite.TokenType]time.Time),
		claims: &jwt.IDTokenClaims{
			Subject: grant.Subject,
			// Both keep their nanoseconds: fosite compares them when prompt=login.
			AuthTime:    grant.AuthTime,
			RequestedAt: grant.RequestedAt,
		},
		headers: &jwt.Headers{Extra: map[string]any{"alg": hashedLike(idTokenAlg)}},
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

func (s *grantSession) SetExpiresAt(kind fosite.TokenType, t time.Time) { s.expiresAt[kind] = t }
func (s *grantSession) GetExpiresAt(kind fosite.TokenType) time.Time    { return s.expiresAt[kind] }
func (s *grantSession) GetUsername() string                             { return "" }
func (s *grantSession) GetSubject() string                              { return s.grant.Subject }
func (s *grantSession) IDTokenClaims() *jwt.IDTokenClaims               { return s.claims }
func (s *grantSession) IDTokenHeaders() *jwt.Headers                    { return s.headers }

// Clone copies what fosite's handlers change.
func (s *grantSession) Clone() fosite.Session {
	c := *s
	c.expiresAt = maps.Clone(s.expiresAt)
	claims, headers := *s.claims, *s.headers
	c.claims, c.headers = &claims, &headers
	return &c
}

// expire sets when tokens that are issued now expire: exactly by the lifetimes,
// where fosite would round, and never after the grant, which no refresh extends
// (RFC 9700 §4.14.2).
func (s *grantSession) expire(now time.Time, lifetimes Lifetimes) {
	for kind, life := range map[fosite.TokenType]Duration{
		fosite.AccessToken: lifetimes.AccessToken, fosite.RefreshToken: lifetimes.RefreshToken,
	} {
		s.expiresAt[kind] = now.Add(time.Duration(life))
		if s.expiresAt[kind].After(s.grant.ExpiresAt) {
			s.expiresAt[kind] = s.grant.ExpiresAt
		}
	}
}

// expiresIn is the access token's "expires_in" (RFC 6749 §5.1) in seconds.
func (s *grantSession) expiresIn(now time.Time) int64 {
	return int64(s.expiresAt[fosite.AccessToken].Sub(now) / time.Second)
}
