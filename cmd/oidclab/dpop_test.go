package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TestDPoPNonceSwitch: dpop_nonce of the configuration reaches the provider.
func TestDPoPNonceSwitch(t *testing.T) {
	for _, command := range []string{"serve", "up"} {
		for _, on := range []bool{false, true} {
			t.Run(fmt.Sprint(command, " ", on), func(t *testing.T) {
				config := filepath.Join(t.TempDir(), "config.yaml")
				if err := os.WriteFile(config, fmt.Appendf(nil,
					"dpop_nonce: %t\nclients:\n- client_id: rp\n  client_secret: secret\n  grant_types: [client_credentials]\n", on), 0o600); err != nil {
					t.Fatal(err)
				}
				line := runCommand(t, command, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--config", config)
				status := tokenWithProof(t, line.Issuer+"/token")
				if want := map[bool]int{false: http.StatusOK, true: http.StatusBadRequest}[on]; status != want {
					t.Errorf("status %d, want %d", status, want)
				}
			})
		}
	}
}

// tokenWithProof asks for a token with a DPoP proof that has no nonce.
func tokenWithProof(t *testing.T, endpoint string) int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := jwt.Signed(signer).Claims(map[string]any{
		"jti": rand.Text(), "htm": http.MethodPost, "htu": endpoint, "iat": time.Now().Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("DPoP", proof)
	req.SetBasicAuth("rp", "secret")
	transport := &http.Transport{DialContext: dialLocal("")}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
