package provider_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// OIDC Core §3.1.2.1 (acr_values), §5.5.1.1 (the claim acr), OIDC Registration
// §2 (default_acr_values).
func TestACR(t *testing.T) {
	clients := providertest.DefaultClients()
	careful := clients[0]
	careful.ID, careful.DefaultACRValues = "careful", []string{"bronze", "silver"}
	op := providertest.Start(t, &providertest.Options{Clients: append(clients, careful), Configure: func(c *provider.Config) {
		c.Requests.ACRValues = []string{"gold", "silver"}
	}})
	const essential = `{"id_token": {"acr": {"essential": true, "values": ["bronze", "silver"]}}}`
	for _, tt := range []struct {
		name, client, acrValues, claims string
		want                            string
	}{
		{"not asked for", "spa", "", "", "gold"},
		{"the provider's first", "spa", "gold", "", "gold"},
		{"the provider's second", "spa", "silver", "", "silver"},
		{"in the order of preference", "spa", "bronze silver gold", "", "silver"},
		{"none that is known", "spa", "bronze 1 2", "", "gold"},
		{"the client's default", "careful", "", "", "silver"},
		{"the request before the default", "careful", "gold", "", "gold"},
		{"a value", "spa", "", `{"id_token": {"acr": {"value": "silver"}}}`, "silver"},
		{"values", "spa", "", `{"id_token": {"acr": {"values": ["bronze", "silver", "gold"]}}}`, "silver"},
		{"the claim before acr_values", "spa", "gold", `{"id_token": {"acr": {"value": "silver"}}}`, "silver"},
		{"a wish that is not met", "spa", "", `{"id_token": {"acr": {"value": "bronze"}}}`, "gold"},
		{"essential, without a value", "spa", "silver", `{"id_token": {"acr": {"essential": true}}}`, "silver"},
		{"essential, met", "spa", "", essential, "silver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := codeRequest().with(params{"client_id": tt.client, "acr_values": tt.acrValues, "claims": tt.claims, "response_type": "code id_token"})
			got := signIn(t, op, request)
			tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")).with(params{"client_id": tt.client}), nil)
			again := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(params{"client_id": tt.client}), nil)
			for where, token := range map[string]string{
				"ID token in front": got.Get("id_token"), "ID token": tokens.text("id_token"), "access token": tokens.text("access_token"),
				"refreshed ID token": again.text("id_token"),
			} {
				if acr := claimsOf(t, token)["acr"]; acr != tt.want {
					t.Errorf("%s: acr %v, want %s", where, acr, tt.want)
				}
			}
		})
	}
	for name, tt := range map[string]struct{ claims, want string }{
		"essential, not met":            {`{"id_token": {"acr": {"essential": true, "value": "bronze"}}}`, "unmet_authentication_requirements"},
		"essential, none of several":    {`{"id_token": {"acr": {"essential": true, "values": ["bronze", "1"]}}}`, "unmet_authentication_requirements"},
		"a number":                      {`{"id_token": {"acr": {"values": ["gold", 1]}}}`, "invalid_request"},
		"essential, not met, with more": {`{"id_token": {"acr": {"essential": true, "value": "bronze"}, "name": null}}`, "unmet_authentication_requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"claims": tt.claims, "acr_values": "gold"})))
			wantRedirectError(t, op, page, "query", tt.want)
		})
	}
	if diff := cmp.Diff([]any{"gold", "silver"}, get(t, op.URL()+openIDConfiguration, nil).Body["acr_values_supported"]); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// Without a configuration there is one class, which the metadata name and the
// tokens say.
func TestACRByDefault(t *testing.T) {
	op := providertest.Start(t, nil)
	const own = "urn:oidclab:acr:pwd"
	if acr := claimsOf(t, tokensFor(t, op, codeRequest()).text("id_token"))["acr"]; acr != own {
		t.Errorf("acr %v", acr)
	}
	if diff := cmp.Diff([]any{own}, get(t, op.URL()+openIDConfiguration, nil).Body["acr_values_supported"]); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// OIDC Registration §2: default_max_age holds where the request has no max_age.
func TestDefaultMaxAge(t *testing.T) {
	zero, clients := 0, providertest.DefaultClients()
	clients[0].DefaultMaxAge = &zero
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	b, _ := signedIn(t, op)
	for maxAge, want := range map[string]string{"": "login_required", "0": "login_required", "10000": ""} {
		page := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "none", "max_age": maxAge})))
		if got := response(t, page.Callback).Get("error"); got != want {
			t.Errorf("max_age %q: error %q, want %q", maxAge, got, want)
		}
	}
	// A login for the very request satisfies it.
	page := b.Submit(b.Get(authorizeURL(op, codeRequest())), "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.Callback == nil || !page.Callback.Query().Has("code") {
		t.Errorf("after the login: %d, %v", page.Status, page.Callback)
	}
}
