package web_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// The values that a good token carries; now is any moment, the checks take it
// as an argument.
const (
	issuer      = "http://op.example"
	clientID    = "pkce"
	nonce       = "n-0S6_WzA2Mj"
	accessToken = "the-access-token"
	now         = 1_800_000_000
)

type keys struct {
	rsa, otherRSA, spareRSA *rsa.PrivateKey
	ec                      *ecdsa.PrivateKey
}

func newKeys(t *testing.T) keys {
	t.Helper()
	var k keys
	for _, to := range []**rsa.PrivateKey{&k.rsa, &k.otherRSA, &k.spareRSA} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		*to = key
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.ec = key
	return k
}

// ServeHTTP serves the key sets: the issuer's own, one that is not there, and
// one whose RSA key is meant for encryption.
func (k keys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: k.rsa.Public(), KeyID: "rsa-1", Use: "sig", Algorithm: "RS256"},
		{Key: k.otherRSA.Public(), KeyID: "rsa-2", Use: "sig", Algorithm: "RS256"},
		{Key: k.ec.Public(), KeyID: "ec-1", Use: "sig", Algorithm: "ES256"},
		{Key: k.spareRSA.Public(), KeyID: "rsa-enc", Use: "enc"},
	}}
	switch r.URL.Path {
	case "/fake/jwks":
	case "/fake/one-key":
		set.Keys = set.Keys[:1]
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(set) // into memory
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// sign writes the token by hand, so that a header which no library would write
// can be written too.
func (k keys) sign(t *testing.T, header, claims map[string]any, key any) string {
	t.Helper()
	input := b64(marshal(t, header)) + "." + b64(marshal(t, claims))
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch key := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest[:])
		signature, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), signErr
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:16])
}

// verdict is what the module says of a token: its claims, or the check that it failed.
type verdict struct {
	Claims  map[string]any `json:"claims"`
	Code    string         `json:"code"`
	Title   string         `json:"title"`
	Section string         `json:"section"`
	Arrived string         `json:"arrived"`
}

// attempt is one token, as a change to a good one, and what is expected of it.
type attempt struct {
	name   string
	header map[string]any // nil values remove
	claims map[string]any
	key    any // nil = the issuer's first RSA key
	raw    func(string) string
	expect map[string]any // changes to the expectations
	want   string         // code of the failed check; "" = accepted
}

func change(base, changes map[string]any) map[string]any {
	out := maps.Clone(base)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func attempts(k keys) []attempt {
	type m = map[string]any
	replacePart := func(i int, part string) func(string) string {
		return func(jwt string) string {
			parts := strings.Split(jwt, ".")
			parts[i] = part
			return strings.Join(parts, ".")
		}
	}
	previous := m{"iss": issuer, "sub": "alice-0001", "nonce": nonce, "auth_time": now - 100}
	return []attempt{
		{name: "good RS256"},
		{name: "good ES256", header: m{"alg": "ES256", "kid": "ec-1"}, key: k.ec},
		{name: "audience as a list of one", claims: m{"aud": []string{clientID}}},
		{name: "own azp", claims: m{"azp": clientID}},
		{name: "no kid, one key", header: m{"kid": nil}, expect: m{"jwksURI": "/fake/one-key"}},
		{name: "expired within the leeway", claims: m{"exp": now - 29}},
		{name: "issued within the leeway", claims: m{"iat": now + 29}},
		{name: "no at_hash, none needed", claims: m{"at_hash": nil}},
		{name: "renewed, without nonce", claims: m{"nonce": nil}, expect: m{"previous": previous, "nonce": nil}},

		{name: "empty", raw: func(string) string { return "" }, want: "format"},
		{name: "two parts", raw: func(s string) string { return s[:strings.LastIndex(s, ".")] }, want: "format"},
		{name: "payload is no JSON", raw: replacePart(1, b64([]byte("{"))), want: "format"},
		{name: "payload is a list", raw: replacePart(1, b64([]byte("[]"))), want: "format"},
		{name: "header is no base64url", raw: replacePart(0, "+/=="), want: "format"},
		{name: "an access token", header: m{"typ": "at+jwt"}, want: "typ"},
		{name: "unknown critical extension", header: m{"crit": []string{"b64"}, "b64": false}, want: "crit"},
		{name: "alg none, no signature", header: m{"alg": "none"}, raw: replacePart(2, ""), want: "alg"},
		{name: "alg missing", header: m{"alg": nil}, want: "alg"},
		{name: "alg of Object's prototype", header: m{"alg": "constructor"}, want: "alg"},
		{name: "HMAC keyed with the public key", header: m{"alg": "HS256"}, key: k.rsa.N.Bytes(), want: "alg"},
		{name: "unknown kid", header: m{"kid": "rsa-9"}, want: "kid"},
		{name: "kid of a key of another type", header: m{"kid": "ec-1"}, want: "kid"},
		{name: "kid of an encryption key", header: m{"kid": "rsa-enc"}, key: k.spareRSA, want: "kid"},
		{name: "no kid, several keys", header: m{"kid": nil}, want: "kid"},
		{name: "key in the header", header: m{"kid": "mine", "jwk": jose.JSONWebKey{Key: k.spareRSA.Public()}}, key: k.spareRSA, want: "kid"},
		{name: "key set not there", expect: m{"jwksURI": "/fake/none"}, want: "status-404"},
		{name: "signed by another key", key: k.otherRSA, want: "signature"},
		{name: "kid of another key", header: m{"kid": "rsa-2"}, want: "signature"},
		{name: "no signature", raw: replacePart(2, ""), want: "signature"},
		{name: "signature is no base64url", raw: replacePart(2, "!"), want: "signature"},
		{name: "changed payload", raw: replacePart(1, b64([]byte(`{"sub":"bob"}`))), want: "signature"},
		{name: "wrong iss", claims: m{"iss": "http://evil.example"}, want: "iss"},
		{name: "iss with a slash more", claims: m{"iss": issuer + "/"}, want: "iss"},
		{name: "no iss", claims: m{"iss": nil}, want: "iss"},
		{name: "wrong aud", claims: m{"aud": "other"}, want: "aud"},
		{name: "no aud", claims: m{"aud": nil}, want: "aud"},
		{name: "one aud more", claims: m{"aud": []string{clientID, "other"}}, want: "aud"},
		{name: "wrong azp", claims: m{"azp": "other"}, want: "azp"},
		{name: "no sub", claims: m{"sub": nil}, want: "sub"},
		{name: "empty sub", claims: m{"sub": ""}, want: "sub"},
		{name: "expired", claims: m{"exp": now - 30}, want: "exp"},
		{name: "no exp", claims: m{"exp": nil}, want: "exp"},
		{name: "exp is a text", claims: m{"exp": "2030"}, want: "exp"},
		{name: "issued in the future", claims: m{"iat": now + 31}, want: "iat"},
		{name: "no iat", claims: m{"iat": nil}, want: "iat"},
		{name: "not valid yet", claims: m{"nbf": now + 31}, want: "nbf"},
		{name: "wrong nonce", claims: m{"nonce": "another"}, want: "nonce"},
		{name: "no nonce", claims: m{"nonce": nil}, want: "nonce"},
		{name: "no nonce expected or sent", claims: m{"nonce": nil}, expect: m{"nonce": nil}, want: "nonce"},
		{name: "wrong at_hash", claims: m{"at_hash": hashOf("another")}, want: "at_hash"},
		{name: "another access token", expect: m{"accessToken": "another"}, want: "at_hash"},
		{name: "no at_hash, but needed", claims: m{"at_hash": nil}, expect: m{"needsAtHash": true}, want: "at_hash"},
		{name: "renewed for another user", claims: m{"sub": "bob"}, expect: m{"previous": previous}, want: "sub"},
		{name: "renewed with another nonce", claims: m{"nonce": "another"}, expect: m{"previous": previous}, want: "nonce"},
		{name: "renewed with another auth_time", claims: m{"auth_time": now}, expect: m{"previous": previous}, want: "auth_time"},
	}
}

func TestVerifyIDToken(t *testing.T) {
	k := newKeys(t)
	tab := openPage(t, `
		import { verifyIDToken } from "/chrome/idtoken.js";
		window.verify = async (expect) => {
			try { return { claims: await verifyIDToken(expect) }; }
			catch (error) { return { code: error.code ?? String(error), ...error.explanation }; }
		};`, k)
	header := map[string]any{"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}
	claims := map[string]any{
		"iss": issuer, "sub": "alice-0001", "aud": clientID, "nonce": nonce,
		"iat": now - 10, "exp": now + 600, "auth_time": now - 100, "at_hash": hashOf(accessToken),
	}
	for _, tt := range attempts(k) {
		t.Run(tt.name, func(t *testing.T) {
			key := tt.key
			if key == nil {
				key = k.rsa
			}
			jwt := k.sign(t, change(header, tt.header), change(claims, tt.claims), key)
			if tt.raw != nil {
				jwt = tt.raw(jwt)
			}
			expect := change(map[string]any{
				"idToken": jwt, "issuer": issuer, "clientID": clientID, "jwksURI": "/fake/jwks",
				"nonce": nonce, "accessToken": accessToken, "now": now,
			}, tt.expect)
			got := browsertest.Eval[verdict](tab.For(t), "verify("+string(marshal(t, expect))+")")
			if got.Code != tt.want {
				t.Fatalf("failed check %q (%s; arrived %s), want %q", got.Code, got.Title, got.Arrived, tt.want)
			}
			if tt.want == "" {
				if got.Claims["sub"] != "alice-0001" {
					t.Errorf("claims %v", got.Claims)
				}
				return
			}
			if got.Title == "" || got.Arrived == "" || (got.Section == "" && !strings.HasPrefix(tt.want, "status-")) {
				t.Errorf("the refusal explains too little: %+v", got)
			}
		})
	}
}
