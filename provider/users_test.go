package provider_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestSeedUsersHaveEveryClaim: conformance tests look for all of OIDC Core §5.1.
func TestSeedUsersHaveEveryClaim(t *testing.T) {
	types := map[string]string{"email_verified": "bool", "phone_number_verified": "bool", "updated_at": "int", "address": "map[string]interface {}"}
	for _, user := range provider.SeedUsers() {
		known := []string{"sub"}
		for scope, names := range claimsOfScope {
			if scope == "groups" {
				continue
			}
			for _, name := range names {
				known = append(known, name)
				want := types[name]
				if want == "" {
					want = "string"
				}
				if got := fmt.Sprintf("%T", user.Claims[name]); got != want || user.Claims[name] == "" {
					t.Errorf("%s: %s is %v, a %s", user.Username, name, user.Claims[name], got)
				}
			}
		}
		for name := range user.Claims {
			if !slices.Contains(known, name) {
				t.Errorf("%s: unknown claim %s", user.Username, name)
			}
		}
		address, _ := user.Claims["address"].(map[string]any)
		for _, member := range []string{"formatted", "street_address", "locality", "region", "postal_code", "country"} {
			if text, _ := address[member].(string); text == "" {
				t.Errorf("%s: address without %s", user.Username, member)
			}
		}
		if len(user.Groups) == 0 {
			t.Errorf("%s is in no group", user.Username)
		}
	}
}

// TestPasswords: plain in the configuration or hashed, and each only its own
// user's. A hash is no password.
func TestPasswords(t *testing.T) {
	hash := provider.HashPassword("hashed secret")
	op := providertest.Start(t, &providertest.Options{Users: []provider.User{
		{Username: "plain", Password: "plain secret", Claims: map[string]any{"sub": "1"}},
		{Username: "hashed", PasswordHash: hash, Claims: map[string]any{"sub": "2"}},
	}})
	for _, tt := range []struct {
		username, password string
		good               bool
	}{
		{"plain", "plain secret", true},
		{"hashed", "hashed secret", true},
		{"plain", "hashed secret", false},
		{"hashed", "plain secret", false},
		{"hashed", hash, false},
		{"plain", "plain", false},
		{"alice", "alice", false}, // the seeded users are gone
	} {
		t.Run(tt.username+", "+tt.password, func(t *testing.T) {
			b, page := atLogin(t, op)
			got := b.Submit(page, "submit", map[string]string{"username": tt.username, "password": tt.password})
			if good := got.URL.Path == "/consent"; good != tt.good || !good && got.Status != http.StatusUnauthorized {
				t.Errorf("answer %d at %s", got.Status, got.URL.Path)
			}
		})
	}
}

// TestDemoUsersAreShown only where they are the users.
func TestDemoUsersAreShown(t *testing.T) {
	own := []provider.User{{Username: "carol", Password: "secret", Claims: map[string]any{"sub": "1"}}}
	for name, users := range map[string][]provider.User{"alice": nil, "": own} {
		_, page := atLogin(t, providertest.Start(t, &providertest.Options{Users: users}))
		if got := strings.Contains(page.Body, "alice"); got != (name != "") || strings.Contains(page.Body, "carol") {
			t.Errorf("users %q: the login page names alice: %v\n%s", name, got, page.Body)
		}
	}
}
