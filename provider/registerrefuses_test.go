package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestRegisterRefusesMetadata has a document per thing that can be wrong with
// it. Each is the smallest good one with that changed. RFC 7591 §3.2.2.
func TestRegisterRefusesMetadata(t *testing.T) {
	op := providertest.Start(t, nil)
	const redirectURI, metadata = "invalid_redirect_uri", "invalid_client_metadata"
	uris := func(all ...string) document { return document{"redirect_uris": all} }
	for _, tt := range []struct {
		name   string
		change document
		code   string
		want   string // in the description
	}{
		{"no redirect URI", document{"redirect_uris": nil}, redirectURI, "redirect_uris is missing"},
		{"an empty list of them", uris(), redirectURI, "redirect_uris is missing"},
		{"an empty one", uris(""), redirectURI, "is no absolute URL"},
		{"a relative one", uris("/callback"), redirectURI, "is no absolute URL"},
		{"one with a fragment", uris("https://rp.example/#fragment"), redirectURI, "has a fragment"},
		{"one with an empty fragment", uris("https://rp.example/#"), redirectURI, "has a fragment"},
		{"a bad one after a good one", uris("https://rp.example/", "https://rp.example/#x"), redirectURI, "has a fragment"},
		{"a wildcard", uris("https://*.rp.example/"), redirectURI, "has a wildcard"},
		{"a user", uris("https://u@rp.example/"), redirectURI, "holds a user name"},
		{"a port beyond all", uris("https://rp.example:65536/"), redirectURI, "has a port beyond 65535"},
		{"a page after logout at a port beyond all", document{"post_logout_redirect_uris": []string{"https://rp.example:99999/"}}, metadata, "has a port beyond 65535"},
		{"a frame at a port beyond all", document{"frontchannel_logout_uri": "https://rp.example:99999/"}, metadata, "frontchannel_logout_uri 'https://rp.example:99999/' has a port beyond 65535"},
		{"a logo at a port beyond all", document{"logo_uri": "https://rp.example:99999/"}, metadata, "logo_uri 'https://rp.example:99999/' is not an http or https URL"},
		{"one that runs", uris("javascript:alert(1)"), redirectURI, "must be http, https or a scheme"},
		{"one that is data", uris("data:text/html,x"), redirectURI, "must be http, https or a scheme"},
		{"plain http elsewhere", uris("http://rp.example/"), redirectURI, "unencrypted to another machine (RFC 9700 section 2.6): use https. Only a client of the provider's configuration can be allowed to do without (insecure_http_redirect_uris)"},
		{"plain http elsewhere for sign-outs", document{"backchannel_logout_uri": "http://rp.example/l"}, metadata, "on another machine: use https. Only a client of the provider's configuration can"},
		{"plain http elsewhere for frames", document{"frontchannel_logout_uri": "http://rp.example/l"}, metadata, "on another machine: use https. Only a client of the provider's configuration can"},
		{"plain http elsewhere, native", uris("http://rp.example/").with(document{"application_type": "native"}), redirectURI, "unencrypted"},
		{"a name that only begins with localhost", uris("http://localhost.rp.example/"), redirectURI, "unencrypted"},
		{"an app's scheme for the web", uris("com.example.app:/callback"), redirectURI, "is for application_type native"},
		{"the same said", uris("com.example.app:/callback").with(document{"application_type": "web"}), redirectURI, "is for application_type native"},
		{"a line break in one", uris("https://rp.example/\r\nSet-Cookie: a=b"), redirectURI, "holds control characters"},
		{"one that is too long", uris("https://rp.example/" + strings.Repeat("x", 5000)), redirectURI, "is longer than 4096 bytes"},
		{"text for a list", document{"redirect_uris": "https://rp.example/"}, redirectURI, "redirect_uris must be a list of texts"},
		{"a number in a list", document{"redirect_uris": []any{1}}, redirectURI, "redirect_uris must be a list of texts"},
		{"null in a list", document{"redirect_uris": []any{nil, "https://rp.example/"}}, redirectURI, "redirect_uris must be a list of texts"},

		{"a number for text", document{"client_name": 7}, metadata, "client_name must be text"},
		{"a list for text", document{"client_name": []string{"a"}}, metadata, "client_name must be text"},
		{"a control character", document{"client_name": "a\x00b"}, metadata, "client_name holds control characters"},
		{"a line break", document{"client_name": "a\nb"}, metadata, "client_name holds control characters"},
		{"a name too long", document{"client_name": strings.Repeat("x", 5000)}, metadata, "client_name is longer than 4096 bytes"},
		{"a name of spaces", document{"client_name": "   "}, metadata, "client_name has nothing to see in it"},
		{"a name of no width", document{"client_name": "\u200b\ufeff\u00a0"}, metadata, "client_name has nothing to see in it"},
		{"a name of a variation selector", document{"client_name": "\ufe0f"}, metadata, "client_name has nothing to see in it"},
		{"a name of an accent", document{"client_name": "\u0301"}, metadata, "client_name has nothing to see in it"},
		{"a name of fillers", document{"client_name": "\u3164\u2800\u00ad"}, metadata, "client_name has nothing to see in it"},
		{"a name with a control character of Latin-1", document{"client_name": "Bank\u0085"}, metadata, "client_name holds control characters"},
		{"text for a truth value", document{"require_auth_time": "true"}, metadata, "require_auth_time must be true or false"},
		{"a number for a truth value", document{"backchannel_logout_session_required": 1}, metadata, "backchannel_logout_session_required must be true or false"},
		{"text for a number", document{"default_max_age": "10"}, metadata, "default_max_age must be a whole number"},
		{"a fraction", document{"default_max_age": 1.5}, metadata, "default_max_age must be a whole number"},
		{"a number beyond all", document{"default_max_age": 1e300}, metadata, "default_max_age must be a whole number"},
		{"a list for an object", document{"jwks": []any{}}, metadata, "jwks must be an object"},
		{"text for an object", document{"jwks": "{}"}, metadata, "jwks must be an object"},
		{"text for a list of contacts", document{"contacts": "a@rp.example"}, metadata, "contacts must be a list of texts"},
		{"null among contacts", document{"contacts": []any{nil}}, metadata, "contacts must be a list of texts"},

		{"an unknown grant", document{"grant_types": []string{"password"}}, metadata, "grant_types 'password' is not one of"},
		{"an empty grant", document{"grant_types": []string{""}}, metadata, "grant_types '' is not one of"},
		{"an unknown response type", document{"response_types": []string{"cod"}}, metadata, "response_types 'cod' is not one of"},
		{"token alone", document{"response_types": []string{"token"}, "grant_types": []string{"implicit"}}, metadata, "response_types 'token' is not one of"},
		{"id_token without implicit", document{"response_types": []string{"id_token"}}, metadata, "'id_token' needs 'implicit' among grant_types (RFC 7591 section 2.1)"},
		{"hybrid without implicit", document{"response_types": []string{"code id_token"}}, metadata, "needs 'implicit' among grant_types"},
		{"code without its grant", document{"response_types": []string{"code"}, "grant_types": []string{"implicit"}}, metadata, "needs 'authorization_code' among grant_types"},
		{"implicit without a response type", document{"grant_types": []string{"implicit"}}, metadata, "'code' needs 'authorization_code' among grant_types"},
		{"client_credentials without a secret", document{"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "none"}, metadata, "grant_types client_credentials is for clients"},

		{"an unknown authentication", document{"token_endpoint_auth_method": "tls_client_auth"}, metadata, "token_endpoint_auth_method 'tls_client_auth' is not one of client_secret_basic"},
		{"an unknown application type", document{"application_type": "mobile"}, metadata, "application_type 'mobile' is not web or native"},
		{"an unknown scope", document{"scope": "openid notes:read"}, metadata, "scope 'notes:read' is not known"},
		{"an unknown subject type", document{"subject_type": "private"}, metadata, "subject_type 'private' is not one of public, pairwise"},
		{"no algorithm", document{"id_token_signed_response_alg": "none"}, metadata, "id_token_signed_response_alg 'none' is for a provider with insecure_unsigned_id_tokens"},
		{"an algorithm with the secret", document{"id_token_signed_response_alg": "HS256"}, metadata, "id_token_signed_response_alg 'HS256' is not one of"},

		{"a negative age", document{"default_max_age": -1}, metadata, "default_max_age -1 is negative"},
		{"an age beyond all", document{"default_max_age": 1 << 40}, metadata, "default_max_age 1099511627776 is too large"},
		{"no userinfo algorithm", document{"userinfo_signed_response_alg": "HS256"}, metadata, "userinfo_signed_response_alg 'HS256' is not one of"},
		{"no response algorithm", document{"authorization_signed_response_alg": "none"}, metadata, "authorization_signed_response_alg 'none' is not one of"},
		{"an empty acr", document{"default_acr_values": []string{""}}, metadata, "default_acr_values holds a value that is empty"},
		{"a frame that runs", document{"frontchannel_logout_uri": "javascript:alert(1)"}, metadata, "frontchannel_logout_uri"},
		{"a back channel that is none", document{"backchannel_logout_uri": "rp.example"}, metadata, "backchannel_logout_uri"},

		{"a page that is none", document{"client_uri": "rp.example"}, metadata, "client_uri 'rp.example' is not an http or https URL"},
		{"a logo that runs", document{"logo_uri": "javascript:alert(1)"}, metadata, "logo_uri 'javascript:alert(1)' is not"},
		{"a logo that is data", document{"logo_uri": "data:image/svg+xml,<svg/>"}, metadata, "logo_uri"},
		{"a policy that runs", document{"policy_uri": "javascript:alert(1)"}, metadata, "policy_uri"},
		{"terms that run", document{"tos_uri": "javascript:alert(1)"}, metadata, "tos_uri"},
		{"plain http for login initiation", document{"initiate_login_uri": "http://rp.example/login"}, metadata, "initiate_login_uri 'http://rp.example/login' is not https"},
		{"the same on this machine", document{"initiate_login_uri": "http://localhost:8443/login"}, metadata, "initiate_login_uri 'http://localhost:8443/login' is not https"},
		{"a login initiation that runs", document{"initiate_login_uri": "javascript:alert(1)"}, metadata, "initiate_login_uri"},
		{"a page after logout with a fragment", document{"post_logout_redirect_uris": []string{"https://rp.example/#x"}}, metadata, "post_logout_redirect_uris"},
		{"a page after logout that runs", document{"post_logout_redirect_uris": []string{"javascript:alert(1)"}}, metadata, "post_logout_redirect_uris"},

		{"keys by plain http", document{"jwks_uri": "http://rp.example/jwks"}, metadata, "jwks_uri 'http://rp.example/jwks' is not an https URL, and the provider calls no other unless insecure_private_addresses is on"},
		{"keys on this machine", document{"jwks_uri": "https://127.0.0.1/jwks"}, metadata, "jwks_uri 'https://127.0.0.1/jwks' leads to this machine"},
		{"a sector by plain http", document{"sector_identifier_uri": "http://127.0.0.1:1/s"}, metadata, "sector_identifier_uri 'http://127.0.0.1:1/s' is not an https URL, and the provider calls no other unless insecure_private_addresses is on"},
		{"a sector on this machine", document{"sector_identifier_uri": "https://localhost/s"}, metadata, "sector_identifier_uri 'https://localhost/s' leads to this machine"},
		{"requests by plain http", document{"request_uris": []string{"https://rp.example/r", "http://rp.example/r"}}, metadata, "request_uris 'http://rp.example/r' is not an https URL, and the provider calls no other unless insecure_private_addresses is on"},
		{"requests in a private network", document{"request_uris": []string{"https://10.0.0.1/r"}}, metadata, "request_uris 'https://10.0.0.1/r' leads to this machine or into a private network"},
		{"logout on this machine", document{"backchannel_logout_uri": "https://[::1]/l"}, metadata, "backchannel_logout_uri 'https://[::1]/l' leads to this machine"},
		{"several hosts without a sector", uris("https://a.example/", "https://b.example/").with(document{"subject_type": "pairwise"}), metadata, "sector_identifier_uri is missing: the redirect URIs have several hosts"},

		{"a software statement", document{"software_statement": "eyJhbGciOiJub25lIn0.e30."}, "unapproved_software_statement", "Software statements are not accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := register(t, op, smallest().with(tt.change))
			wantError(t, a, http.StatusBadRequest, tt.code)
			description := a.text("error_description")
			if !strings.Contains(description, tt.want) {
				t.Errorf("got  %s\nwant %s", description, tt.want)
			}
			if len(description) > 600 || strings.ContainsAny(description, "\"\\\r\n") || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("description %q", description)
			}
		})
	}
	if clients, err := op.Store.Clients(t.Context()); err != nil || len(clients) != 0 {
		t.Errorf("%d clients are stored, %v", len(clients), err)
	}
}

// TestRegisterRefusesDocuments: what is no registration at all.
func TestRegisterRefusesDocuments(t *testing.T) {
	op := providertest.Start(t, nil)
	const good = `"redirect_uris": ["https://rp.example/"]`
	for _, tt := range []struct {
		name, body, contentType string
		status                  int
	}{
		{"nothing", "", "", 400},
		{"a list", "[" + "]", "", 400},
		{"text", `"x"`, "", 400},
		{"null", `null`, "", 400},
		{"half a document", `{` + good, "", 400},
		{"no JSON", `redirect_uris=https://rp.example/`, "", 400},
		{"two documents", `{` + good + `}{}`, "", 400},
		{"something after it", `{` + good + `} x`, "", 400},
		{"a member twice", `{` + good + `, ` + good + `}`, "", 400},
		{"a member twice, spelt with an escape", `{` + good + `, "redirect\u005furis": []}`, "", 400},
		{"a member twice in a key", `{` + good + `, "jwks": {"keys": [{"kty": "RSA", "kty": "EC"}]}}`, "", 400},
		{"a comment", `{` + good + ` /* x */}`, "", 400},
		{"a comma too many", `{` + good + `,}`, "", 400},
		{"not UTF-8", "{" + good + ", \"client_name\": \"\xff\"}", "", 400},
		{"too deep", `{` + good + `, "x": ` + strings.Repeat("[", 12) + strings.Repeat("]", 12) + `}`, "", 400},
		{"far too deep", strings.Repeat(`[`, 30<<10), "", 400},
		{"too long", `{` + good + `, "x": "` + strings.Repeat("x", 33<<10) + `"}`, "", 413},
		{"a form", `{` + good + `}`, "application/x-www-form-urlencoded", 400},
		{"plain text", `{` + good + `}`, "text/plain", 400},
		{"another JSON", `{` + good + `}`, "application/jwk-set+json", 400},
		{"no type", `{` + good + `}`, "-", 400},
		{"a broken type", `{` + good + `}`, "application/json; charset", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := sendJSON(t, http.MethodPost, op.URL()+"/register", tt.body, func(r *http.Request) {
				switch tt.contentType {
				case "":
				case "-":
					r.Header.Del("Content-Type")
				default:
					r.Header.Set("Content-Type", tt.contentType)
				}
			})
			wantError(t, a, tt.status, "invalid_request")
			if a.text("error_description") == "" {
				t.Error("no description")
			}
		})
	}
}

// TestRegisterExplains: which section a refused value breaks.
func TestRegisterExplains(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Explain = true }})
	a := register(t, op, document{})
	if a.text("error_uri") != "https://www.rfc-editor.org/rfc/rfc7591#section-2" {
		t.Errorf("answer %s", a.Raw)
	}
}
