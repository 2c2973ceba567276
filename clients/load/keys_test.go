package load_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestSignatures takes what the provider's keys signed, and nothing else.
func TestSignatures(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, _ := ed25519.GenerateKey(nil)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	key := func(alg jose.SignatureAlgorithm, key any, id string) jose.SigningKey {
		return jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}
	}
	// forge signs the tokens with another key than the one in the JWKS.
	forge := func(with jose.SigningKey) func(*fake) {
		return func(f *fake) {
			f.token = func(answer map[string]any) {
				_, rest, _ := strings.Cut(answer["id_token"].(string), ".")
				payload, _, _ := strings.Cut(rest, ".")
				decoded, _ := base64.RawURLEncoding.DecodeString(payload)
				answer["id_token"] = sign(with, decoded)
			}
		}
	}
	header := func(json string) func(*fake) {
		return func(f *fake) {
			f.token = func(answer map[string]any) {
				_, rest, _ := strings.Cut(answer["id_token"].(string), ".")
				answer["id_token"] = base64.RawURLEncoding.EncodeToString([]byte(json)) + "." + rest
			}
		}
	}
	signing := func(with jose.SigningKey) func(*fake) { return func(f *fake) { f.key = with } }
	tests := []struct {
		name, kind string
		misbehave  func(*fake)
	}{
		{"RS256", "", signing(key(jose.RS256, rsaKey, "r"))},
		{"PS256", "", signing(key(jose.PS256, rsaKey, "r"))},
		{"ES384", "", signing(key(jose.ES384, p384, "e"))},
		{"EdDSA", "", signing(key(jose.EdDSA, edKey, "d"))},
		{"no kid", "", forgeless},
		{"another ES256 key of that name", "ID token: bad signature", forge(key(jose.ES256, p256, "one"))},
		{"another key", "ID token: unknown key", forge(key(jose.ES256, p256, "two"))},
		{"a key of another kind", "ID token: unknown key", forge(key(jose.RS256, rsaKey, "one"))},
		{"an algorithm that the provider does not have", "ID token: wrong algorithm", forge(key(jose.RS512, rsaKey, "one"))},
		{"the secret", "ID token: wrong algorithm", forge(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("s3cret/+s3cret/+s3cret/+s3cret/+")})},
		{"none", "ID token: wrong algorithm", header(`{"alg":"none"}`)},
		{"another header", "ID token: bad signature", header(`{"alg":"ES256","kid":"one","typ":"JWT"}`)},
		{"something critical", "ID token: malformed", header(`{"alg":"ES256","kid":"one","crit":["b64"],"b64":false}`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			flows := run(t, startFake(t, test.misbehave).config()).Results[0]
			if test.kind == "" && flows.Done == 4 {
				return
			}
			if len(flows.Failures) != 1 || flows.Failures[0].Kind != test.kind || flows.Failures[0].Count != 4 {
				t.Errorf("got %d done and %+v", flows.Done, flows.Failures)
			}
		})
	}
}

// forgeless makes the provider name no key.
func forgeless(f *fake) {
	named := f.key.Key.(jose.JSONWebKey)
	f.key.Key = jose.JSONWebKey{Key: named.Key}
}
