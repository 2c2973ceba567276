package backchannel_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestGoodTokens(t *testing.T) {
	for name, make := range map[string]func(*bench) string{
		"as it should be":         func(b *bench) string { return b.token(nil) },
		"only the session":        func(b *bench) string { return b.token(claims{"sub": nil}) },
		"one of many audiences":   func(b *bench) string { return b.token(claims{"aud": []string{"other", clientID}}) },
		"without typ":             func(b *bench) string { return b.signed(jose.ES256, b.key, "", nil) },
		"typ with its prefix":     func(b *bench) string { return b.signed(jose.ES256, b.key, "application/Logout+JWT", nil) },
		"a clock that is early":   func(b *bench) string { return b.token(claims{"iat": time.Now().Add(50 * time.Second).Unix()}) },
		"a clock that is late":    func(b *bench) string { return b.token(claims{"exp": time.Now().Add(-50 * time.Second).Unix()}) },
		"claims nobody asked for": func(b *bench) string { return b.token(claims{"toe": 1, "amr": "x"}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wantDone(b.tell(make(b)))
			if !b.ended(alice) {
				t.Error("the sign-in goes on")
			}
		})
	}
}

// Each token has one thing wrong.
func TestBadClaims(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change claims
		want   string
	}{
		{"iss missing", claims{"iss": nil}, "iss"},
		{"iss of another", claims{"iss": issuer + "/"}, "iss"},
		{"aud missing", claims{"aud": nil}, "aud"},
		{"aud of another", claims{"aud": []string{"other", "rp2"}}, "aud"},
		{"iat missing", claims{"iat": nil}, "iat"},
		{"iat to come", claims{"iat": time.Now().Add(2 * time.Minute).Unix()}, "iat"},
		{"iat is text", claims{"iat": "now"}, "no JWT"},
		{"exp missing", claims{"exp": nil}, "exp"},
		{"exp past", claims{"exp": time.Now().Add(-2 * time.Minute).Unix()}, "expired"},
		{"nobody", claims{"sub": nil, "sid": nil}, "sid, sub"},
		{"empty names", claims{"sub": "", "sid": ""}, "sid, sub"},
		{"sid is a number", claims{"sid": 1}, "no JWT"},
		{"events missing", claims{"events": nil}, "events"},
		{"events empty", claims{"events": claims{}}, "events"},
		{"events a list", claims{"events": []string{event}}, "no JWT"},
		{"another event", claims{"events": claims{"http://schemas.openid.net/event/other": claims{}}}, "events"},
		{"one more event", claims{"events": claims{event: claims{}, "http://schemas.openid.net/event/other": claims{}}}, "events"},
		{"event is null", claims{"events": map[string]*int{event: nil}}, "events"},
		{"event is text", claims{"events": claims{event: "{}"}}, "events"},
		{"nonce", claims{"nonce": "n"}, "nonce"},
		{"nonce is null", claims{"nonce": (*int)(nil)}, "nonce"},
		{"jti missing", claims{"jti": nil}, "jti"},
		{"jti empty", claims{"jti": ""}, "jti"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.wantRefused(b.tell(b.token(tt.change)), http.StatusBadRequest, "invalid_request", tt.want)
		})
	}
}

func TestBadSignatures(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	for _, tt := range []struct {
		name string
		make func(*bench) string
		want string
	}{
		{"another key", func(b *bench) string { return b.signed(jose.ES256, stranger, "logout+jwt", nil) }, "No key"},
		{"changed", func(b *bench) string {
			part := strings.Split(b.token(nil), ".")
			return part[0] + "." + strings.Split(b.token(claims{"sub": "bob"}), ".")[1] + "." + part[2]
		}, "No key"},
		{"none", func(b *bench) string {
			return encode([]byte(`{"alg":"none","typ":"logout+jwt"}`)) + "." + strings.Split(b.token(nil), ".")[1] + "."
		}, "asymmetric signature"},
		{"an HMAC", func(b *bench) string {
			return b.signed(jose.HS256, []byte("the client's secret, thirty-two bytes"), "logout+jwt", nil)
		}, "asymmetric signature"},
		{"typ of an ID token", func(b *bench) string { return b.signed(jose.ES256, b.key, "JWT", nil) }, "typ"},
		{"typ of an access token", func(b *bench) string { return b.signed(jose.ES256, b.key, "at+jwt", nil) }, "typ"},
		{"no JWT", func(*bench) string { return "logout" }, "no JWT"},
		{"no claims", func(b *bench) string {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: b.key}, nil)
			if err != nil {
				b.t.Fatal(err)
			}
			jws, err := signer.Sign([]byte(`"logout"`))
			if err != nil {
				b.t.Fatal(err)
			}
			compact, err := jws.CompactSerialize()
			if err != nil {
				b.t.Fatal(err)
			}
			return compact
		}, "no JWT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.wantRefused(b.tell(tt.make(b)), http.StatusBadRequest, "invalid_request", tt.want)
		})
	}
}

// FuzzLogoutToken: whatever is posted is answered with 200 or 4xx, and ends
// nothing unless the provider signed it.
func FuzzLogoutToken(f *testing.F) {
	f.Add("logout")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJFUzI1NiIsInR5cCI6ImxvZ291dCtqd3QifQ.e30.AAAA")
	f.Add("eyJhbGciOiJFUzI1NiIsInR5cCI6MX0.e30.AAAA")
	f.Add("\x00\xff%&=")
	f.Fuzz(func(t *testing.T, token string) {
		b := newBench(t)
		if w := b.tell(token); w.Code != http.StatusBadRequest || b.ended(alice) {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
