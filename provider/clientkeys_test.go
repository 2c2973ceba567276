package provider_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestKeysAtJWKSURI: a client authenticates with the key that is at its
// jwks_uri now (OIDC Core §10.1.1), and only where its address is allowed.
func TestKeysAtJWKSURI(t *testing.T) {
	var published atomic.Value
	rp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(published.Load()); err != nil {
			t.Error(err)
		}
	}))
	defer rp.Close()
	start := func(allowed bool) *providertest.Server {
		return providertest.Start(t, &providertest.Options{
			Clients: []provider.Client{{
				ID: keyClient, TokenEndpointAuthMethod: "private_key_jwt", GrantTypes: []string{"client_credentials"}, JWKSURI: rp.URL + "/jwks",
			}},
			Configure: func(c *provider.Config) { c.InsecurePrivateAddresses = allowed },
		})
	}
	ask := func(op *providertest.Server, alg jose.SignatureAlgorithm) answer {
		t.Helper()
		assertion := signed(t, alg, rpKeys()[alg], "", "JWT", assertionClaims(op, keyClient))
		return postForm(t, op.URL()+"/token", asserting(assertion), nil)
	}

	op := start(true)
	published.Store(publicKeys(t, rpKeys()[jose.RS256]))
	if a := ask(op, jose.RS256); a.Status != http.StatusOK {
		t.Errorf("the published key: %d %s", a.Status, a.Raw)
	}
	wantError(t, ask(op, jose.ES256), http.StatusUnauthorized, "invalid_client")
	published.Store(publicKeys(t, rpKeys()[jose.ES256]))
	if a := ask(op, jose.ES256); a.Status != http.StatusOK {
		t.Errorf("the next key: %d %s", a.Status, a.Raw)
	}
	wantError(t, ask(op, jose.RS256), http.StatusUnauthorized, "invalid_client")

	a := ask(start(false), jose.ES256)
	wantError(t, a, http.StatusUnauthorized, "invalid_client")
	if !strings.Contains(a.text("error_description"), "the client's jwks_uri is not an https URL") {
		t.Errorf("it says: %s", a.Raw)
	}
}
