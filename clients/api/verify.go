package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Why a token is refused: one error per check, in the order of the checks.
var (
	ErrMalformed   = errors.New("the token is not a JWT signed with an accepted algorithm")
	ErrType        = errors.New("the token is no access token: typ")
	ErrIssuer      = errors.New("the token's issuer is not trusted: iss")
	ErrKey         = errors.New("the issuer has no such key: kid")
	ErrSignature   = errors.New("the signature is not the issuer's")
	ErrAudience    = errors.New("the token is meant for somebody else: aud")
	ErrNoExpiry    = errors.New("the token does not say when it expires: exp")
	ErrExpired     = errors.New("the token has expired: exp")
	ErrNotYetValid = errors.New("the token is not valid yet: nbf")
	ErrFromFuture  = errors.New("the token was issued in the future: iat")
	ErrIncomplete  = errors.New("the token lacks a required claim")
	ErrBinding     = errors.New("the token is bound to something that is not known here: cnf")

	// The token is good, but not for whoever sent it: see dpop.go.
	ErrBound    = errors.New("the token is bound to a key, so it is no bearer token: send it with the scheme DPoP and a proof")
	ErrNotBound = errors.New("the token is bound to no key, so it is a bearer token: send it with the scheme Bearer")
	ErrOtherKey = errors.New("the token is bound to another key: cnf.jkt")
)

// ErrKeysUnavailable says that the issuer's keys could not be fetched, so that
// nothing is known about the token: the call may be repeated later.
var ErrKeysUnavailable = errors.New("the issuer's keys cannot be fetched at the moment")

// Leeway is how far the issuer's clock may differ from this server's. A token
// is accepted until exp + Leeway, that moment excluded.
const Leeway = 10 * time.Second

// algorithms are those that an issuer may sign with. Neither "none" nor an HMAC
// is among them, so a public key can never be used as a shared secret.
// RFC 8725 §3.1, RFC 9068 §4.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.ES384, jose.EdDSA}

// Token is an access token that passed every check.
type Token struct {
	Issuer   string
	Subject  string
	ClientID string
	Scope    string // space-separated, as in the token
	Name     string // "" when the token carries none
	Expires  time.Time
	// Key is the thumbprint of the key that the token is bound to, "" for a
	// bearer token (RFC 9449 §6.1). Verify does not ask who has that key.
	Key string

	owner string // whose notes: the issuer of the subject, and the subject
}

func (t *Token) allows(scope string) bool {
	return scope == "" || slices.Contains(strings.Fields(t.Scope), scope)
}

// claims are those of RFC 9068 §2.2 that are looked at.
type claims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Name     string `json:"name"`
	// Binding is the confirmation claim, RFC 7800 §3.1.
	Binding *struct {
		Key string `json:"jkt"` // RFC 9449 §6.1
	} `json:"cnf"`
}

// boundTo is the thumbprint of the key, "" for none.
func (c claims) boundTo() string {
	if c.Binding == nil {
		return ""
	}
	return c.Binding.Key
}

// Verify checks a compact JWT access token, not whether its sender has the key
// that it may be bound to. Its error wraps one of the errors
// above. It does not ask the issuer whether the token was revoked.
func (a *API) Verify(ctx context.Context, compact string) (*Token, error) {
	// 1. It is a JWS in compact form, signed with an algorithm of ours. The list
	//    is given before anything of the token is believed. RFC 8725 §3.1,
	//    RFC 9068 §4: "MUST reject any JWT in which the value of alg is none".
	token, err := jwt.ParseSigned(compact, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, fmt.Errorf("%w; accepted are %v", ErrMalformed, algorithms)
	}
	header := token.Headers[0]

	// 2. It is an access token, not an ID token, nor anything else that the same
	//    issuer signs with the same key. RFC 9068 §4, RFC 8725 §3.11.
	if err := checkType(header); err != nil {
		return nil, err
	}

	// 3. Its issuer is one of ours. Until step 4 the claim only chooses whose
	//    keys to try. RFC 9068 §4, RFC 8725 §3.8.
	var unverified jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return nil, fmt.Errorf("%w: its claims cannot be read", ErrMalformed)
	}
	issuer := a.issuers[unverified.Issuer]
	if issuer == nil {
		return nil, fmt.Errorf("%w is %q", ErrIssuer, unverified.Issuer)
	}

	// 4. That issuer signed it. The key comes from the issuer's own set, by kid,
	//    and never from the token (jwk, jku, x5u are not looked at).
	//    RFC 9068 §4, RFC 7515 §5.2, RFC 8725 §3.5 and §3.10.
	key, err := issuer.keys.key(ctx, header)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := token.Claims(key, &c); err != nil {
		return nil, fmt.Errorf("%w: key %q", ErrSignature, header.KeyID)
	}

	// 5. It is meant for this server, by this issuer: each issuer has an audience
	//    of its own. RFC 9068 §4, RFC 8725 §3.9.
	if !c.Audience.Contains(issuer.Audience) {
		return nil, fmt.Errorf("%w is %q, expected %q", ErrAudience, []string(c.Audience), issuer.Audience)
	}

	// 6. It is valid now. RFC 9068 §4, RFC 7519 §4.1.4 to §4.1.6.
	if err := checkTimes(c.Claims, time.Now()); err != nil {
		return nil, err
	}

	// 7. It says whose it is and who may use it. RFC 9068 §2.2.
	if c.Subject == "" {
		return nil, fmt.Errorf("%w: sub", ErrIncomplete)
	}
	if c.ClientID == "" {
		return nil, fmt.Errorf("%w: client_id", ErrIncomplete)
	}

	// 8. What it is bound to, if to anything, is a key that can be asked for.
	//    RFC 9449 §6.1. Bound otherwise, it is not for whoever bears it: RFC 7800 §3.1.
	if c.Binding != nil && c.Binding.Key == "" {
		return nil, fmt.Errorf("%w; known is jkt", ErrBinding)
	}
	return &Token{
		Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID, Scope: c.Scope, Name: c.Name,
		Expires: c.Expiry.Time(), Key: c.boundTo(), owner: issuer.subjects + " " + c.Subject,
	}, nil
}

// checkType accepts "at+jwt", with or without the "application/" that RFC 7515
// §4.1.9 lets a sender leave out, in any case of letters (RFC 2045 §5.1).
func checkType(header jose.Header) error {
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != "at+jwt" {
		return fmt.Errorf("%w is %q, expected %q", ErrType, typ, "at+jwt")
	}
	return nil
}

func checkTimes(c jwt.Claims, now time.Time) error {
	switch {
	case c.Expiry == nil:
		return ErrNoExpiry
	case !now.Before(c.Expiry.Time().Add(Leeway)):
		return fmt.Errorf("%w was %s", ErrExpired, c.Expiry.Time().UTC().Format(time.RFC3339))
	case c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.Time()):
		return fmt.Errorf("%w is %s", ErrNotYetValid, c.NotBefore.Time().UTC().Format(time.RFC3339))
	case c.IssuedAt != nil && now.Add(Leeway).Before(c.IssuedAt.Time()):
		return fmt.Errorf("%w is %s", ErrFromFuture, c.IssuedAt.Time().UTC().Format(time.RFC3339))
	}
	return nil
}
