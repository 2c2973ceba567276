package provider_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestLogoutHintAudience: an ID token may name its client in two ways, OIDC
// Core §2.
func TestLogoutHintAudience(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.FixedKeys = fixedKeys() }})
	const spa, web = providertest.PublicClient, providertest.ConfidentialClient
	tests := []struct {
		name     string
		aud, azp any
		ok       bool
	}{
		{"one", spa, nil, true},
		{"list of one", []string{spa}, nil, true},
		{"list of two and azp", []string{web, spa}, spa, true},
		{"azp that is the only one", spa, spa, true},
		{"list of two", []string{spa, web}, nil, false},
		{"azp that is not in the list", []string{web}, spa, false},
		{"empty list", []string{}, nil, false},
		{"no client", "nobody", nil, false},
		{"a number", 7, nil, false},
		{"none", nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, idToken := signedIn(t, op)
			claims := maps.Clone(claimsOf(t, idToken))
			for name, value := range map[string]any{"aud": tt.aud, "azp": tt.azp} {
				claims[name] = value
				if value == nil {
					delete(claims, name)
				}
			}
			// The provider's own key signs: this is what another of its versions may have issued.
			hint := signedBy(t, jose.SigningKey{Algorithm: jose.RS256, Key: fixedKeys()[0]}, claims)
			page := b.Get(logoutURL(op, goodLogout(hint)))
			if tt.ok != (page.Callback != nil) || !tt.ok && (page.Status != http.StatusBadRequest || !strings.Contains(page.Body, "invalid_request")) {
				t.Errorf("answer %d to %v", page.Status, page.Callback)
			}
			wantSession(t, op, b, !tt.ok)
		})
	}
}
