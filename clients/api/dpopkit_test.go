package api_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// holder is a client with a key that its tokens are bound to.
type holder struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newHolder(t *testing.T, alg jose.SignatureAlgorithm) holder {
	t.Helper()
	return holder{alg, newKey(t, alg)}
}

func (h holder) public() jose.JSONWebKey { return jose.JSONWebKey{Key: h.key.Public()} }

func (h holder) thumbprint(t *testing.T) string {
	t.Helper()
	public := h.public()
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// token is one that the provider bound to the holder's key.
func (h holder) token(t *testing.T, b *bench) string {
	t.Helper()
	return b.provider.token(t, claims{"cnf": claims{"jkt": h.thumbprint(t)}})
}

// proof is a good one for GET /api/me with a token, but for what is changed: nil
// takes a member of the header or a claim away.
func (h holder) proof(t *testing.T, token string, header, change claims) string {
	t.Helper()
	sum := sha256.Sum256([]byte(token))
	body := claims{
		"jti": rand.Text(), "htm": "GET", "htu": baseURL + "/api/me", "iat": time.Now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	options := (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", h.public())
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
		if value == nil {
			delete(options.ExtraHeaders, jose.HeaderKey(name))
		}
	}
	for name, value := range change {
		body[name] = value
		if value == nil {
			delete(body, name)
		}
	}
	var key any = h.key
	if h.alg == "Ed25519" { // a name that go-jose does not know
		key = ed25519Signer{h.key}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: h.alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := jwt.Signed(signer).Claims(body).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// ed25519Signer signs by the name of RFC 9864.
type ed25519Signer struct{ crypto.Signer }

func (s ed25519Signer) Public() *jose.JSONWebKey { return &jose.JSONWebKey{Key: s.Signer.Public()} }

func (ed25519Signer) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{"Ed25519"} }

func (s ed25519Signer) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	return s.Sign(rand.Reader, payload, crypto.Hash(0))
}

// present sends a token with a proof to GET /api/me.
func (b *bench) present(t *testing.T, scheme, token string, proofs ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/me", nil)
	req.Header.Set("Authorization", scheme+" "+token)
	req.Header["Dpop"] = proofs
	return b.do(req)
}

// wantRefused checks an answer against the check that should have failed.
func wantRefused(t *testing.T, resp *http.Response, code string, want error) {
	t.Helper()
	got := decode(t, resp)
	description, _ := got["error_description"].(string)
	if resp.StatusCode != http.StatusUnauthorized || got["error"] != code || !strings.HasPrefix(description, want.Error()) {
		t.Errorf("status %d: %v; want %s: %v", resp.StatusCode, got, code, want)
	}
	challenges := resp.Header.Values("WWW-Authenticate")
	if len(challenges) != 2 || challenges[0] != `Bearer realm="oidclab"` ||
		!strings.HasPrefix(challenges[1], `DPoP realm="oidclab", error="`+code+`", error_description="`) || !strings.HasSuffix(challenges[1], `, algs="ES256 Ed25519 EdDSA PS256"`) {
		t.Errorf("challenges %q", challenges)
	}
}

// rewritten changes a member of the header behind the signature's back; the
// checks that it is for come before the signature.
func rewritten(t *testing.T, proof, name string, value any) string {
	t.Helper()
	first, rest, _ := strings.Cut(proof, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var header claims
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	header[name] = value
	if value == nil {
		delete(header, name)
	}
	if raw, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw) + "." + rest
}
