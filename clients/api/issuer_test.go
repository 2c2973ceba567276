package api_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

type claims = map[string]any

// issuer signs access tokens and publishes its keys.
type issuer struct {
	url string

	mu      sync.Mutex
	signing jose.JSONWebKey
	public  []any // what /jwks lists
	down    bool
	fetches int
	refused int // connections while it was down
}

func newIssuer(t *testing.T, url string, alg jose.SignatureAlgorithm) *issuer {
	t.Helper()
	i := &issuer{url: url}
	i.rotate(t, "k1", alg)
	return i
}

// rotate replaces the issuer's key.
func (i *issuer) rotate(t *testing.T, kid string, alg jose.SignatureAlgorithm) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing = jose.JSONWebKey{Key: newKey(t, alg), KeyID: kid, Algorithm: string(alg), Use: "sig"}
	i.public = []any{i.signing.Public()}
}

func newKey(t *testing.T, alg jose.SignatureAlgorithm) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA, "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// token signs the claims of a good access token, changed as told; a nil value
// takes a claim away.
func (i *issuer) token(t *testing.T, change claims) string {
	t.Helper()
	return i.sign(t, "at+jwt", change)
}

func (i *issuer) sign(t *testing.T, typ string, change claims) string {
	t.Helper()
	return signWith(t, i.signing, typ, i.claims(change))
}

func (i *issuer) claims(change claims) claims {
	now := time.Now().Unix()
	c := claims{
		"iss": i.url, "aud": []string{audience}, "sub": "alice-1", "client_id": "spa", "jti": "j",
		"scope": "openid notes:read notes:write", "name": "Alice Liddell", "iat": now, "exp": now + 300,
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func signWith(t *testing.T, key jose.JSONWebKey, typ string, c claims) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
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

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		respond(w, claims{"issuer": i.url, "jwks_uri": i.url + "/jwks"})
	case "/jwks":
		i.fetches++
		respond(w, claims{"keys": i.public})
	default:
		http.NotFound(w, r)
	}
}

func respond(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(body)
}

// network carries requests to handlers by origin, without sockets, so that a
// test can run on synctest's clock.
type network map[string]http.Handler

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	handler := n[r.URL.Scheme+"://"+r.URL.Host]
	if i, ok := handler.(*issuer); ok {
		i.mu.Lock()
		down := i.down
		if down {
			i.refused++
		}
		i.mu.Unlock()
		if down {
			return nil, errors.New("connection refused")
		}
	}
	if handler == nil {
		return nil, errors.New("no such host")
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result(), nil
}
