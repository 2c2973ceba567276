package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/provider/localtls"
)

// TestProviderBelievesTheLocalCA: the provider fetches a client's keys from an
// https server of this machine, whose certificate the local CA signed.
func TestProviderBelievesTheLocalCA(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir, err := caDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := localtls.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keysURL := serveKeys(t, ca, jose.JSONWebKey{Key: key.Public(), KeyID: "rp", Algorithm: "ES256", Use: "sig"})
	for _, command := range []string{"serve", "up"} {
		for private, status := range map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized} {
			t.Run(fmt.Sprint(command, " ", private), func(t *testing.T) {
				config := filepath.Join(t.TempDir(), "config.yaml")
				if err := os.WriteFile(config, fmt.Appendf(nil,
					"insecure_private_addresses: %t\nclients:\n- client_id: rp\n  token_endpoint_auth_method: private_key_jwt\n"+
						"  jwks_uri: %s\n  grant_types: [client_credentials]\n", private, keysURL), 0o600); err != nil {
					t.Fatal(err)
				}
				line := runCommand(t, command, "--tls", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--config", config)
				got, body := authenticate(t, line.Issuer, key)
				if got != status {
					t.Errorf("status %d: %s", got, body)
				}
			})
		}
	}
}

// serveKeys serves a client's keys at an https URL, which it returns.
func serveKeys(t *testing.T, ca *localtls.CA, keys ...jose.JSONWebKey) string {
	t.Helper()
	cert, err := ca.Issue([]string{"rp.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys}); err != nil {
			t.Error(err)
		}
	}))
	server.TLS = localtls.ServerConfig(cert)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://rp.localhost:" + port + "/jwks"
}

// runCommand runs a command until the test ends, and returns once it serves.
func runCommand(t *testing.T, args ...string) readyLine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready")
	root := newRoot()
	root.SetArgs(append(args, "--ready-file", file, "--log-level", "error"))
	root.SetOut(io.Discard)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(file); err == nil {
			var line readyLine
			if err := json.Unmarshal(text, &line); err != nil {
				t.Fatal(err)
			}
			return line
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("it ended: %v", err)
		}
	}
}

// authenticate asks for a token with a client assertion (RFC 7523 §2.2).
func authenticate(t *testing.T, issuer string, key *ecdsa.PrivateKey) (status int, body string) {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "rp"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "rp", Subject: "rp", Audience: jwt.Audience{issuer}, ID: rand.Text(), Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	roots, err := trusted()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dialLocal(""), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
