package api_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/clients/api"
)

// Each check, with just its input made wrong.
func TestVerifyRefuses(t *testing.T) {
	b := newBench(t)
	stranger := newIssuer(t, providerURL, "RS256") // has the provider's name and kid, not its key
	now := time.Now().Unix()
	for _, tt := range []struct {
		name  string
		token string
		want  error
	}{
		{"no JWT at all", "opaque-token", api.ErrMalformed},
		{"no signature", unsigned(t, b.provider.claims(nil)), api.ErrMalformed},
		{"the public key as a shared secret", confused(t, b.provider), api.ErrMalformed},
		{"ID token", b.provider.sign(t, "JWT", claims{"aud": audience}), api.ErrType},
		{"no type", b.provider.sign(t, "", nil), api.ErrType},
		{"refresh token of the application", b.app.sign(t, "rt+jwt", claims{"aud": appAudience}), api.ErrType},
		{"unknown issuer", b.provider.token(t, claims{"iss": "http://evil.example"}), api.ErrIssuer},
		{"no issuer", b.provider.token(t, claims{"iss": nil}), api.ErrIssuer},
		{"issuer with a slash more", b.provider.token(t, claims{"iss": providerURL + "/"}), api.ErrIssuer},
		{"a key that the issuer does not have", withKid(t, b.provider, "k9"), api.ErrKey},
		{"no kid", withKid(t, b.provider, ""), api.ErrKey},
		{"another key under the issuer's kid", stranger.token(t, nil), api.ErrSignature},
		{"payload changed", tampered(t, b.provider.token(t, nil)), api.ErrSignature},
		{"one issuer in the name of the other", b.app.token(t, claims{"iss": providerURL}), api.ErrKey},
		{"provider's token for the application's audience", b.provider.token(t, claims{"aud": appAudience}), api.ErrAudience},
		{"application's token for the provider's audience", b.app.token(t, claims{"aud": audience}), api.ErrAudience},
		{"no audience", b.provider.token(t, claims{"aud": nil}), api.ErrAudience},
		{"audience of the client, as an ID token has", b.provider.token(t, claims{"aud": "spa"}), api.ErrAudience},
		{"no expiry", b.provider.token(t, claims{"exp": nil}), api.ErrNoExpiry},
		{"expired", b.provider.token(t, claims{"exp": now - 60}), api.ErrExpired},
		{"not yet valid", b.provider.token(t, claims{"nbf": now + 60}), api.ErrNotYetValid},
		{"issued in the future", b.provider.token(t, claims{"iat": now + 60}), api.ErrFromFuture},
		{"no subject", b.provider.token(t, claims{"sub": nil}), api.ErrIncomplete},
		{"no client", b.provider.token(t, claims{"client_id": nil}), api.ErrIncomplete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := b.api.Verify(t.Context(), tt.token); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			resp := b.call(t, "GET", "/api/me", tt.token, "")
			got := decode(t, resp)
			if resp.StatusCode != http.StatusUnauthorized || got["error"] != "invalid_token" {
				t.Errorf("status %d: %v", resp.StatusCode, got)
			}
			if got := got["error_description"].(string); !strings.HasPrefix(got, tt.want.Error()) {
				t.Errorf("error_description %q", got)
			}
			if got := resp.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token", error_description="`) {
				t.Errorf("challenge %s", got)
			}
			if strings.Contains(b.log.String(), tt.token) {
				t.Error("the token stands in the log")
			}
		})
	}
}

func TestVerifyAcceptsEveryAlgorithmOfTheList(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.ES384, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			b := newBench(t)
			b.provider.rotate(t, "k", alg)
			if _, err := b.api.Verify(t.Context(), b.provider.sign(t, "application/AT+JWT", nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A key is used for what the issuer made it.
func TestVerifyObservesUseAndAlg(t *testing.T) {
	for name, change := range map[string]func(*jose.JSONWebKey){
		"an encryption key":         func(k *jose.JSONWebKey) { k.Use = "enc" },
		"a key of another alg":      func(k *jose.JSONWebKey) { k.Algorithm = "PS256" },
		"the kid of another letter": func(k *jose.JSONWebKey) { k.KeyID = "K1" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			listed := b.provider.signing.Public()
			change(&listed)
			b.provider.public = []any{claims{"kty": "unheard-of"}, listed}
			if _, err := b.api.Verify(t.Context(), b.provider.token(t, nil)); !errors.Is(err, api.ErrKey) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The header's own key, or a place to fetch one from, is not looked at.
func TestVerifyIgnoresTheKeyInTheToken(t *testing.T) {
	b := newBench(t)
	forger := jose.JSONWebKey{Key: newKey(t, jose.RS256), KeyID: "k1", Algorithm: "RS256"}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt").WithHeader("jku", appURL+"/jwks")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: forger}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(b.provider.claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.api.Verify(t.Context(), compact)
	if !errors.Is(err, api.ErrKey) && !errors.Is(err, api.ErrSignature) {
		t.Errorf("got %v", err)
	}
	if b.app.asked() != 0 {
		t.Error("the server fetched what the token pointed at")
	}
}

// The answer changes exactly at exp + Leeway, and so for nbf and iat.
func TestLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.api.Close()
		verify := func(token string) error {
			_, err := b.api.Verify(t.Context(), token)
			return err
		}
		now := time.Now().Unix()
		expiring := b.provider.token(t, claims{"exp": now + 60})
		future := now + 60 + int64(api.Leeway/time.Second)
		notYet := b.provider.token(t, claims{"nbf": future})
		early := b.provider.token(t, claims{"iat": future})

		if err := verify(notYet); !errors.Is(err, api.ErrNotYetValid) {
			t.Errorf("nbf: %v", err)
		}
		if err := verify(early); !errors.Is(err, api.ErrFromFuture) {
			t.Errorf("iat: %v", err)
		}
		time.Sleep(60 * time.Second) // synctest's clock
		for name, token := range map[string]string{"nbf": notYet, "iat": early} {
			if err := verify(token); err != nil {
				t.Errorf("%s within the leeway: %v", name, err)
			}
		}
		time.Sleep(api.Leeway - time.Nanosecond)
		if err := verify(expiring); err != nil {
			t.Errorf("just before the end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := verify(expiring); !errors.Is(err, api.ErrExpired) {
			t.Errorf("at the end: %v", err)
		}
	})
}

func unsigned(t *testing.T, c claims) string {
	t.Helper()
	return encode(t, claims{"alg": "none", "typ": "at+jwt"}) + "." + encode(t, c) + "."
}

// confused is a token whose HMAC key is the issuer's public key.
func confused(t *testing.T, i *issuer) string {
	t.Helper()
	public, err := json.Marshal(i.signing.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signWith(t, jose.JSONWebKey{Key: public, KeyID: "k1", Algorithm: "HS256"}, "at+jwt", i.claims(nil))
}

func withKid(t *testing.T, i *issuer, kid string) string {
	t.Helper()
	key := i.signing
	key.KeyID = kid
	return signWith(t, key, "at+jwt", i.claims(nil))
}

// tampered makes the token's bearer somebody else.
func tampered(t *testing.T, compact string) string {
	t.Helper()
	parts := strings.Split(compact, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(payload), "alice-1", "admin-1", 1)
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}
