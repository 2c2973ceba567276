package provider_test

import (
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
)

// TestInvalidRequestValues is TestInvalidValues for what a configuration says of
// authorization requests.
func TestInvalidRequestValues(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty class", "requests:\n  acr_values_supported: ['']\n", `f.yaml:1: requests: acr_values_supported: "" is empty`},
		{"class with a space", "requests: {acr_values_supported: [a b]}\n", `acr_values_supported: "a b" is empty or has spaces`},
		{"negative default_max_age", client("client_id: a", "default_max_age: -1"), `f.yaml:4: client "a": default_max_age: -1 is negative`},
		{"empty default_acr_values", client("client_id: a", "default_acr_values: ['']"), `f.yaml:4: client "a": default_acr_values: holds a value that is empty or has spaces`},
		{"default_acr_values in one", client("client_id: a", "default_acr_values: [a b]"), `default_acr_values: holds a value`},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.text, tt.want) })
	}
	for _, text := range []string{
		"requests: {acr_values_supported: [a, 'urn:b']}\n",
		client("client_id: a", "default_max_age: 0", "require_auth_time: true", "default_acr_values: [unknown]"),
	} {
		if _, err := provider.ReadConfig(strings.NewReader(text), "f.yaml"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
