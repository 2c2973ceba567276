package provider_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestHashesPerAlgorithm: at_hash and c_hash are the left half of the hash that
// goes with the ID token's algorithm (OIDC Core §3.1.3.6, §3.3.2.11).
func TestHashesPerAlgorithm(t *testing.T) {
	for alg, newHash := range map[string]func() hash.Hash{
		"RS256": sha256.New, "PS256": sha256.New, "ES256": sha256.New, "ES384": sha512.New384,
		"EdDSA": sha512.New, // RFC 8032 §5.1
	} {
		t.Run(alg, func(t *testing.T) {
			half := func(value string) string {
				h := newHash()
				h.Write([]byte(value))
				return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
			}
			clients := providertest.DefaultClients()
			clients[0].IDTokenSignedResponseAlg = alg
			op := serving(t, provider.Config{Clients: clients, FixedKeys: fixedKeys()})

			front := op.authorize(t, codeRequest().with(params{"response_type": "code id_token token"}))
			claims := claimsOf(t, front.Get("id_token"))
			if got, want := claims["at_hash"], half(front.Get("access_token")); got != want {
				t.Errorf("at_hash through the browser: %v, want %v", got, want)
			}
			if got, want := claims["c_hash"], half(front.Get("code")); got != want {
				t.Errorf("c_hash: %v, want %v", got, want)
			}
			redeemed := op.token(t, redeem(front.Get("code")))
			refreshed := op.token(t, refreshRequest(redeemed.text("refresh_token")))
			for name, a := range map[string]answer{"code": redeemed, "refresh": refreshed} {
				if got, want := claimsOf(t, a.text("id_token"))["at_hash"], half(a.text("access_token")); got != want {
					t.Errorf("at_hash after %s: %v, want %v", name, got, want)
				}
			}
		})
	}
}
