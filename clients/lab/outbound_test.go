package lab_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider"
)

// TestProviderCallsClients finds a client's jwks_uri among the lab's names,
// where the switch allows it, and its call is in the log with the others.
func TestProviderCallsClients(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprint(allowed), func(t *testing.T) {
			l := start(t, func(c *lab.Config) {
				c.Provider.InsecurePrivateAddresses = allowed
				keys := "http://op.lab.localhost:" + port(t, "http://"+c.Listener.Addr().String()) + "/jwks"
				c.Provider.Clients = []provider.Client{{ID: "signer", TokenEndpointAuthMethod: "private_key_jwt", GrantTypes: []string{"client_credentials"}, JWKSURI: keys}}
			})
			got := l.forgeAssertion(t, "signer")
			if got.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d: %s", got.StatusCode, got.body)
			}
			if err := l.Recorder().Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			calls := 0
			for _, e := range l.Recorder().Exchanges() {
				if e.From == "provider" && e.To == "provider" && e.Path == "/jwks" && e.Status == http.StatusOK {
					calls++
				}
			}
			if (calls > 0) != allowed {
				t.Errorf("%d calls; the answer was %s", calls, got.body)
			}
		})
	}
}

// forgeAssertion asks for a token with an assertion that nobody signed.
func (r *running) forgeAssertion(t *testing.T, client string) answer {
	t.Helper()
	now := time.Now().Unix()
	encode := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	assertion := encode(`{"alg":"ES256"}`) + "." +
		encode(fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":"1","iat":%d,"exp":%d}`, client, client, r.Issuer(), now, now+60)) + "." +
		encode(strings.Repeat("x", 64))
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(t, req)
}
