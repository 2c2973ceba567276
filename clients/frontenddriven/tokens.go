package frontenddriven

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/clients/internal/records"
)

const (
	// The two kinds of token have types of their own, so that neither can be
	// taken for the other, nor for an ID token. RFC 9068 §2.1, RFC 8725 §3.11.
	accessType  jose.ContentType = "at+jwt"
	refreshType jose.ContentType = "rt+jwt"
	// apiScope is what the application allows its page at the API. It is the
	// application's decision, not the provider's: these are its own tokens.
	apiScope = "notes:read notes:write"
)

// mint makes and checks the application's own tokens.
type mint struct {
	issuer, audience, clientID string
	accessLifetime             time.Duration
	key, public                jose.JSONWebKey
}

// openMint takes the signing key from the records, or makes one at first start.
func openMint(db *records.DB, cfg Config) (*mint, error) {
	keys, err := records.Bucket[jose.JSONWebKey](db, "keys")
	if err != nil {
		return nil, err
	}
	key, err := keys.Get("signing")
	if errors.Is(err, records.ErrNotFound) {
		if key, err = newKey(); err == nil {
			err = keys.Put("signing", key, time.Time{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return &mint{
		issuer: cfg.BackendURL, audience: cfg.Audience, clientID: cfg.ClientID, accessLifetime: cfg.AccessLifetime,
		key: key, public: key.Public(),
	}, nil
}

func newKey() (jose.JSONWebKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256) // RFC 7638
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key, err
}

// accessClaims are those of RFC 9068 §2.2, and two names for the API to greet with.
type accessClaims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Name     string `json:"name,omitempty"`
	Username string `json:"preferred_username,omitempty"`
}

// refreshClaims name the family; jti tells which of its refresh tokens this is.
type refreshClaims struct {
	jwt.Claims
	Family string `json:"family"`
}

// tokenAnswer is the success of /auth/exchange and /auth/refresh: RFC 6749 §5.1,
// and what the page shows. None of it is a token of the provider.
type tokenAnswer struct {
	AccessToken      string          `json:"access_token"`
	TokenType        string          `json:"token_type"`
	ExpiresIn        int64           `json:"expires_in"`
	Scope            string          `json:"scope"`
	RefreshToken     string          `json:"refresh_token"`
	RefreshExpiresIn int64           `json:"refresh_expires_in"`
	User             json.RawMessage `json:"user"`     // the latest claims of UserInfo
	IDToken          tokenParts      `json:"id_token"` // decoded; without its signature nobody can use it
}

type tokenParts struct {
	Header  json.RawMessage `json:"header"`
	Payload json.RawMessage `json:"payload"`
}

// pair signs the family's access token and its current refresh token. No token
// outlives the family, and a refresh token ends when the family ends, however
// often it was renewed. RFC 10017 §6.3.2.3.
func (m *mint) pair(f family) (*tokenAnswer, error) {
	now := time.Now().Truncate(time.Second)
	expires := now.Add(m.accessLifetime)
	if f.Expires.Before(expires) {
		expires = f.Expires
	}
	var names struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
	}
	if err := json.Unmarshal(f.Claims, &names); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	access, err := m.sign(accessType, accessClaims{
		Claims:   m.claims(f.Subject, m.audience, rand.Text(), expires),
		ClientID: m.clientID, Scope: apiScope, Name: names.Name, Username: names.Username,
	})
	if err != nil {
		return nil, err
	}
	refresh, err := m.sign(refreshType, refreshClaims{Claims: m.claims(f.Subject, m.issuer, f.RefreshJTI, f.Expires), Family: f.ID})
	if err != nil {
		return nil, err
	}
	parts, err := split(f.IDToken)
	if err != nil {
		return nil, err
	}
	return &tokenAnswer{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: seconds(expires.Sub(now)), Scope: apiScope,
		RefreshToken: refresh, RefreshExpiresIn: seconds(f.Expires.Sub(now)),
		User: f.Claims, IDToken: parts,
	}, nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (m *mint) claims(subject, audience, jti string, expires time.Time) jwt.Claims {
	return jwt.Claims{
		Issuer: m.issuer, Subject: subject, Audience: jwt.Audience{audience}, ID: jti,
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(expires),
	}
}

func (m *mint) sign(typ jose.ContentType, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: m.key}, (&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// checkRefreshToken accepts a refresh token of this application. Whether it is
// the family's current one is for the caller to see.
func (m *mint) checkRefreshToken(compact string) (refreshClaims, error) {
	var c refreshClaims
	// 1. A JWS with our algorithm, and no other. RFC 8725 §3.1.
	token, err := jwt.ParseSigned(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(token.Headers) != 1 {
		return c, errTokenMalformed
	}
	// 2. A refresh token: the application's access token has the same key and
	//    issuer, and differs here first. RFC 8725 §3.11.
	if typ, _ := token.Headers[0].ExtraHeaders[jose.HeaderType].(string); jose.ContentType(typ) != refreshType {
		return c, errTokenType.expected(string(refreshType), typ)
	}
	// 3. Signed with our key, whatever key the token itself names. RFC 8725 §3.10.
	if err := token.Claims(m.public, &c); err != nil {
		return c, errTokenSignature
	}
	// 4. By us, for us. RFC 8725 §3.8, §3.9.
	if c.Issuer != m.issuer {
		return c, errTokenIssuer.expected(m.issuer, c.Issuer)
	}
	if !c.Audience.Contains(m.issuer) {
		return c, errTokenAudience.expected(m.issuer, strings.Join(c.Audience, " "))
	}
	// 5. In time. There is one clock, so there is no leeway. RFC 7519 §4.1.4.
	if c.Expiry == nil || !time.Now().Before(c.Expiry.Time()) {
		return c, errTokenExpired
	}
	return c, nil
}

// split decodes a compact JWT's header and payload without looking at either.
func split(compact string) (tokenParts, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return tokenParts{}, errors.New("not a compact JWT")
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return tokenParts{}, fmt.Errorf("JWT header: %w", err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return tokenParts{}, fmt.Errorf("JWT payload: %w", err)
	}
	return tokenParts{Header: header, Payload: payload}, nil
}

// handleJWKS serves GET /jwks: the key that the API verifies with. RFC 7517 §5.
func (a *App) handleJWKS(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{a.mint.public}})
}

// handleMetadata serves as much of RFC 8414 §2 as a resource server needs. The
// backend is an issuer of tokens, not an authorization server that others could
// send their users to, so it lists no endpoint.
func (a *App) handleMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": a.cfg.BackendURL, "jwks_uri": a.cfg.BackendURL + "/jwks", "response_types_supported": []string{},
	})
}
