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
		{"unknown request object algorithm", client("client_id: a", "request_object_signing_alg: HS256", "jwks_uri: https://a/jwks"), `f.yaml:4: client "a": request_object_signing_alg: "HS256" is not one of [RS256 PS256 ES256 Ed25519 EdDSA]`},
		{"unsigned request objects", client("client_id: a", "request_object_signing_alg: none"), `f.yaml:4: client "a": request_object_signing_alg: "none" is for a provider with insecure_unsigned_request_objects`},
		{"signed request objects without keys", client("client_id: a", "require_signed_request_object: true"), `f.yaml:4: client "a": require_signed_request_object: needs the client's keys`},
		{"signed request objects that are unsigned", client("client_id: a", "require_signed_request_object: true", "request_object_signing_alg: none"), `require_signed_request_object: nothing is signed by the request_object_signing_alg "none"`},
		{"request_uri that is no URL", client("client_id: a", "request_uris: ['urn:x']"), `f.yaml:4: client "a": request_uris: "urn:x" is not an https URL`},
		{"request_uri too long", client("client_id: a", "request_uris: ['https://a/"+strings.Repeat("x", 512)+"']"), `request_uris: holds one of more than 512 characters`},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.text, tt.want) })
	}
	for _, text := range []string{
		"requests: {acr_values_supported: [a, 'urn:b']}\n",
		"requests: {insecure_unsigned_request_objects: true}\n" + client("client_id: a", "request_object_signing_alg: none"),
		client("client_id: a", "request_object_signing_alg: EdDSA", "require_signed_request_object: true", "jwks_uri: https://a/jwks", "request_uris: ['https://a/r#x', 'http://localhost/r']"),
		client("client_id: a", "default_max_age: 0", "require_auth_time: true", "default_acr_values: [unknown]"),
	} {
		if _, err := provider.ReadConfig(strings.NewReader(text), "f.yaml"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
