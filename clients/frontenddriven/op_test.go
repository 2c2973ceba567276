package frontenddriven_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

type claims = map[string]any

// op is a small honest provider: codes work once, refresh tokens rotate, and a
// reused one ends its grant. It can be told to fail.
type op struct {
	t   *testing.T
	key jose.JSONWebKey

	mu      sync.Mutex
	codes   map[string]*grant
	refresh map[string]*grant // every refresh token ever issued
	access  map[string]*grant
	user    claims
	revoked []string
	seen    []string // every secret value that passed, none of which may be in a log
	calls   map[string]int

	down     bool                        // connections are refused
	pause    func(path string)           // before each answer
	fail     map[string]http.HandlerFunc // path → what answers instead
	idClaims claims                      // changes to the ID token
	sign     func(claims) string         // instead of the provider's own signature
}

type grant struct {
	nonce, challenge, redirectURI string
	current                       string
	noRefresh, dead               bool
}

// opKey is made once: RSA keys take long.
var opKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newOP(t *testing.T) *op {
	t.Helper()
	private, err := opKey()
	if err != nil {
		t.Fatal(err)
	}
	return &op{
		t: t, key: jose.JSONWebKey{Key: private, KeyID: "op-1", Algorithm: "RS256", Use: "sig"},
		codes: map[string]*grant{}, refresh: map[string]*grant{}, access: map[string]*grant{},
		user:  claims{"sub": "alice-1", "name": "Alice Liddell", "preferred_username": "alice"},
		calls: map[string]int{}, fail: map[string]http.HandlerFunc{},
	}
}

// set changes the provider while requests may be under way.
func (o *op) set(change func(*op)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(o)
}

// code makes what a browser brings home from the authorization endpoint.
func (o *op) code(nonce, redirectURI string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := sha256.Sum256([]byte(verifier))
	code := o.secret("code")
	o.codes[code] = &grant{nonce: nonce, challenge: base64.RawURLEncoding.EncodeToString(sum[:]), redirectURI: redirectURI}
	return code
}

func (o *op) secret(kind string) string {
	s := "op-" + kind + "-" + rand.Text()
	o.seen = append(o.seen, s)
	return s
}

func (o *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[r.URL.Path]++
	if handler := o.fail[r.URL.Path]; handler != nil {
		handler(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		respond(w, 200, claims{
			"issuer": opURL, "authorization_endpoint": opURL + "/authorize", "token_endpoint": opURL + "/token",
			"userinfo_endpoint": opURL + "/userinfo", "jwks_uri": opURL + "/jwks", "revocation_endpoint": opURL + "/revoke",
			"end_session_endpoint": opURL + "/logout", "authorization_response_iss_parameter_supported": true,
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case "/jwks":
		respond(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{o.key.Public()}})
	case "/token":
		o.token(w, r)
	case "/userinfo":
		g := o.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if g == nil || g.dead {
			respond(w, 401, claims{"error": "invalid_token"})
			return
		}
		respond(w, 200, o.user)
	case "/revoke":
		if !authenticated(r) {
			respond(w, 401, claims{"error": "invalid_client"})
			return
		}
		o.revoked = append(o.revoked, r.PostFormValue("token"))
		if g := o.refresh[r.PostFormValue("token")]; g != nil {
			g.dead = true
		}
	default:
		http.NotFound(w, r)
	}
}

func authenticated(r *http.Request) bool {
	id, encoded, ok := r.BasicAuth()
	secret, err := url.QueryUnescape(encoded) // RFC 6749 §2.3.1
	return ok && err == nil && id == "fd" && secret == clientSecret && r.PostFormValue("client_secret") == ""
}

func (o *op) token(w http.ResponseWriter, r *http.Request) {
	if !authenticated(r) {
		respond(w, 401, claims{"error": "invalid_client"})
		return
	}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		g := o.codes[r.PostFormValue("code")]
		delete(o.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if g == nil || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || g.redirectURI != r.PostFormValue("redirect_uri") {
			respond(w, 400, claims{"error": "invalid_grant", "error_description": "no such code"})
			return
		}
		o.issue(w, g, g.nonce)
	case "refresh_token":
		token := r.PostFormValue("refresh_token")
		g := o.refresh[token]
		if g != nil && g.current != token {
			g.dead = true
		}
		if g == nil || g.dead {
			respond(w, 400, claims{"error": "invalid_grant", "error_description": "no such refresh token"})
			return
		}
		o.issue(w, g, "")
	}
}

func (o *op) issue(w http.ResponseWriter, g *grant, nonce string) {
	access := o.secret("access")
	o.access[access] = g
	answer := claims{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": o.idToken(access, nonce)}
	if !g.noRefresh {
		g.current = o.secret("refresh")
		o.refresh[g.current] = g
		answer["refresh_token"] = g.current
	}
	respond(w, 200, answer)
}

func (o *op) idToken(access, nonce string) string {
	now := time.Now().Unix()
	sum := sha256.Sum256([]byte(access))
	c := claims{
		"iss": opURL, "aud": "fd", "sub": "alice-1", "iat": now, "exp": now + 300, "auth_time": 1700000000,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if nonce != "" {
		c["nonce"] = nonce
	}
	maps.Copy(c, o.idClaims)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	sign := o.sign
	if sign == nil {
		sign = func(c claims) string { return signed(o.t, o.key, "JWT", c) }
	}
	compact := sign(c)
	if compact != "" {
		o.seen = append(o.seen, compact)
	}
	return compact
}

func signed(t *testing.T, key jose.JSONWebKey, typ string, c claims) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// alive counts the grants that still work.
func (o *op) alive() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for token, g := range o.refresh {
		if g.current == token && !g.dead {
			n++
		}
	}
	return n
}

func respond(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// RoundTrip carries the backend's requests to the provider without sockets, so
// that a test can run on synctest's clock.
func (o *op) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	down, pause := o.down, o.pause
	o.mu.Unlock()
	if pause != nil {
		pause(r.URL.Path)
	}
	if down {
		return nil, errors.New("connection refused")
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	return w.Result(), nil
}
