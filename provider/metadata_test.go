package provider_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const (
	openIDConfiguration = "/.well-known/openid-configuration"
	oauthMetadata       = "/.well-known/oauth-authorization-server"
)

// knownMetadata are names of OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC
// 9207 §3, RFC 9449 §5.1, JARM §4, RP-Initiated Logout §2.1, Session Management
// §3.3, Front-Channel Logout §3, Back-Channel
// Logout §2.1 and Initiating User Registration §4.
var knownMetadata = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "introspection_endpoint",
	"revocation_endpoint", "end_session_endpoint", "scopes_supported", "response_types_supported", "response_modes_supported",
	"grant_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported",
	"token_endpoint_auth_methods_supported", "introspection_endpoint_auth_methods_supported",
	"revocation_endpoint_auth_methods_supported", "code_challenge_methods_supported", "prompt_values_supported",
	"acr_values_supported", "display_values_supported", "ui_locales_supported", "claims_supported", "claim_types_supported", "claims_parameter_supported", "pushed_authorization_request_endpoint", "require_pushed_authorization_requests", "request_parameter_supported",
	"request_uri_parameter_supported", "require_request_uri_registration", "request_object_signing_alg_values_supported", "authorization_response_iss_parameter_supported",
	"token_endpoint_auth_signing_alg_values_supported", "introspection_endpoint_auth_signing_alg_values_supported",
	"revocation_endpoint_auth_signing_alg_values_supported",
	"userinfo_signing_alg_values_supported", "authorization_signing_alg_values_supported",
	"registration_endpoint", "dpop_signing_alg_values_supported", "device_authorization_endpoint",
	"check_session_iframe", "frontchannel_logout_supported", "frontchannel_logout_session_supported",
	"backchannel_logout_supported", "backchannel_logout_session_supported",
}

func TestMetadata(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
		c.Scopes = []provider.Scope{{Name: "notes:read", Description: "Read notes"}}
	}})
	document := get(t, op.URL()+openIDConfiguration, nil)
	if document.Status != http.StatusOK || document.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("answer %d, %s", document.Status, document.Header.Get("Content-Type"))
	}
	if other := get(t, op.URL()+oauthMetadata, nil); other.Raw != document.Raw {
		t.Errorf("the two documents differ:\n%s\n%s", document.Raw, other.Raw)
	}
	for name := range document.Body {
		if !slices.Contains(knownMetadata, name) {
			t.Errorf("unknown member %q", name)
		}
	}
	for name, want := range map[string]any{
		"issuer":                                         op.URL(),
		"response_types_supported":                       []any{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"},
		"response_modes_supported":                       []any{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"},
		"grant_types_supported":                          []any{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "implicit"},
		"subject_types_supported":                        []any{"public", "pairwise"},
		"id_token_signing_alg_values_supported":          []any{"RS256", "PS256", "ES256", "ES384", "EdDSA"},
		"token_endpoint_auth_methods_supported":          []any{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"},
		"revocation_endpoint_auth_methods_supported":     []any{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"},
		"introspection_endpoint_auth_methods_supported":  []any{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
		"code_challenge_methods_supported":               []any{"S256"},
		"dpop_signing_alg_values_supported":              []any{"ES256", "Ed25519", "EdDSA", "PS256"},
		"prompt_values_supported":                        []any{"none", "login", "consent", "select_account"},
		"scopes_supported":                               []any{"openid", "profile", "email", "address", "phone", "groups", "offline_access", "notes:read"},
		"authorization_response_iss_parameter_supported": true,
		"frontchannel_logout_supported":                  true,
		"frontchannel_logout_session_supported":          true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"claims_parameter_supported":                     true,
		"request_parameter_supported":                    true,
		"request_uri_parameter_supported":                true,
	} {
		if diff := cmp.Diff(want, document.Body[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestMetadataURLs: each is below the issuer and has something to say.
func TestMetadataURLs(t *testing.T) {
	op := providertest.Start(t, nil)
	urls := 0
	for name, value := range get(t, op.URL()+openIDConfiguration, nil).Body {
		target, isText := value.(string)
		if !isText {
			continue
		}
		urls++
		if name != "issuer" && !strings.HasPrefix(target, op.URL()+"/") {
			t.Errorf("%s is %s", name, target)
		}
		if a := get(t, target, nil); a.Status >= 500 || a.Status == http.StatusNotFound {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if urls != 12 {
		t.Errorf("%d URLs, want 12", urls)
	}
}

// TestMetadataClaims: what claims_supported promises, alice's tokens keep.
func TestMetadataClaims(t *testing.T) {
	op := providertest.Start(t, nil)
	request := codeRequest().with(params{"response_type": "code id_token token", "scope": "openid profile email address phone groups"})
	got := signIn(t, op, request)
	kept := claimsOf(t, got.Get("id_token"))
	for name := range get(t, op.URL()+"/userinfo", bearer(got.Get("access_token"))).Body {
		kept[name] = true
	}
	promised, _ := get(t, op.URL()+openIDConfiguration, nil).Body["claims_supported"].([]any)
	for _, name := range promised {
		if kept[name.(string)] == nil {
			t.Errorf("%s never comes", name)
		}
	}
	if len(promised) != len(kept) {
		t.Errorf("%d claims promised, %d kept", len(promised), len(kept))
	}
}

// TestPublicDocuments: how the metadata and the keys are served.
func TestPublicDocuments(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, path := range []string{openIDConfiguration, oauthMetadata, "/jwks"} {
		t.Run(path, func(t *testing.T) {
			full := get(t, op.URL()+path, func(r *http.Request) { r.Header.Set("Origin", "http://anyone.example") })
			tag := full.Header.Get("ETag")
			if full.Status != http.StatusOK || !strings.HasPrefix(tag, `"`) || len(tag) < 10 {
				t.Fatalf("answer %d, ETag %q", full.Status, tag)
			}
			for name, want := range map[string]string{
				"Cache-Control": "public, max-age=300, must-revalidate", "Access-Control-Allow-Origin": "*",
				"Access-Control-Allow-Credentials": "", "X-Content-Type-Options": "nosniff", "Set-Cookie": "",
			} {
				if got := full.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for _, tt := range []struct {
				name, header string
				status       int
			}{
				{"the tag", tag, 304},
				{"weak", "W/" + tag, 304},
				{"one of several", `"x", ` + tag, 304},
				{"any", "*", 304},
				{"another", `"x"`, 200},
				{"without quotes", strings.Trim(tag, `"`), 200},
				{"none", "", 200},
			} {
				a := get(t, op.URL()+path, func(r *http.Request) { r.Header.Set("If-None-Match", tt.header) })
				if a.Status != tt.status || (a.Raw == "") != (tt.status == 304) || a.Header.Get("ETag") != tag {
					t.Errorf("If-None-Match %s: %d, %d bytes, ETag %s", tt.name, a.Status, len(a.Raw), a.Header.Get("ETag"))
				}
				if got := a.Header.Get("Access-Control-Allow-Origin"); got != "*" {
					t.Errorf("If-None-Match %s: CORS %q", tt.name, got)
				}
			}
			split := get(t, op.URL()+path, func(r *http.Request) { r.Header["If-None-Match"] = []string{`"x"`, tag} })
			if split.Status != http.StatusNotModified { // RFC 9110 §5.3: one list in two lines
				t.Errorf("If-None-Match in two lines: %d", split.Status)
			}
			head := do(t, request(t, http.MethodHead, op.URL()+path))
			if length := strconv.Itoa(len(full.Raw)); full.Header.Get("Content-Length") != length || head.Header.Get("Content-Length") != length {
				t.Errorf("Content-Length %q, of HEAD %q, want %s", full.Header.Get("Content-Length"), head.Header.Get("Content-Length"), length)
			}
			if head.Status != http.StatusOK || head.Raw != "" || head.Header.Get("ETag") != tag {
				t.Errorf("HEAD: %d, %d bytes, ETag %s", head.Status, len(head.Raw), head.Header.Get("ETag"))
			}
		})
	}
}

// request is a request without a body.
func request(t *testing.T, method, target string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestForgedHostNeverAppears: every URL comes from the issuer, none from the request.
func TestForgedHostNeverAppears(t *testing.T) {
	op := providertest.Start(t, nil)
	forged := func(r *http.Request) {
		r.Host = "evil.example"
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL", "X-Rewrite-URL"} {
			r.Header.Set(name, "evil.example")
		}
	}
	_, login := atLogin(t, op)
	for _, path := range []string{
		"/", "/nowhere", "//authorize", "/../authorize", openIDConfiguration, oauthMetadata, "/jwks", "/healthz", "/readyz",
		"/authorize", "/authorize?" + codeRequest().values().Encode(),
		"/authorize?" + codeRequest().with(params{"prompt": "none"}).values().Encode(),
		login.URL.RequestURI(), "/login", "/consent", "/logout", "/userinfo", "/token", "/introspect", "/revoke", "/style.css",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req := request(t, method, op.URL())
			req.URL.Path, req.URL.RawQuery, _ = strings.Cut(path, "?")
			forged(req)
			a := do(t, req)
			for name, values := range a.Header {
				if strings.Contains(strings.Join(values, " "), "evil.example") {
					t.Errorf("%s %s: header %s: %q", method, path, name, values)
				}
			}
			if strings.Contains(a.Raw, "evil.example") || a.Status >= 500 {
				t.Errorf("%s %s: %d %s", method, path, a.Status, a.Raw)
			}
		}
	}
}

func TestJWKS(t *testing.T) {
	op := providertest.Start(t, nil)
	a := get(t, op.URL()+"/jwks", nil)
	if got := a.Header.Get("Content-Type"); got != "application/jwk-set+json" {
		t.Errorf("Content-Type %q", got)
	}
	allowed := map[string][]string{
		"RSA": {"kty", "kid", "use", "alg", "n", "e"}, "EC": {"kty", "kid", "use", "alg", "crv", "x", "y"}, "OKP": {"kty", "kid", "use", "alg", "crv", "x"},
	}
	algorithms, kids := []string{}, map[string]bool{}
	keys, _ := a.Body["keys"].([]any)
	for _, raw := range keys {
		key, _ := raw.(map[string]any)
		for name := range key {
			if !slices.Contains(allowed[key["kty"].(string)], name) {
				t.Errorf("%s key with a member %q", key["kty"], name)
			}
		}
		kid, _ := key["kid"].(string)
		if kid == "" || kids[kid] || key["use"] != "sig" {
			t.Errorf("kid %q, use %v", kid, key["use"])
		}
		kids[kid] = true
		algorithms = append(algorithms, key["alg"].(string))
	}
	if diff := cmp.Diff(everyAlgorithm, algorithms); diff != "" {
		t.Errorf("algorithms (-want +got):\n%s", diff)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.Raw), &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() {
			t.Errorf("key %s: valid %v, public %v", key.KeyID, key.Valid(), key.IsPublic())
		}
	}
}

// TestIssuerWithAPath: everything stands below it, and the OAuth document also
// where RFC 8414 §3.1 puts it.
func TestIssuerWithAPath(t *testing.T) {
	const issuer = "http://op.localhost/tenants/one"
	const base = "/tenants/one"
	op := serving(t, provider.Config{Issuer: issuer})
	document := op.answer(t, http.MethodGet, base+openIDConfiguration, nil, nil)
	if document.text("issuer") != issuer {
		t.Fatalf("issuer %q: %d %s", document.text("issuer"), document.Status, document.Raw)
	}
	for _, path := range []string{oauthMetadata + base, base + oauthMetadata} {
		a := op.answer(t, http.MethodGet, path, nil, nil)
		if a.Raw != document.Raw || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d, CORS %q", path, a.Status, a.Header.Get("Access-Control-Allow-Origin"))
		}
		if a := op.answer(t, http.MethodOptions, path, nil, nil); a.Status != http.StatusNoContent {
			t.Errorf("preflight of %s: %d", path, a.Status)
		}
	}
	for name, value := range document.Body {
		target, isText := value.(string)
		if !isText {
			continue
		}
		u, err := url.Parse(target)
		if err != nil || !strings.HasPrefix(target, issuer) {
			t.Errorf("%s is %s: %v", name, target, err)
		}
		if a := op.answer(t, http.MethodGet, u.Path, nil, nil); a.Status >= 500 || a.Status == http.StatusNotFound {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	for _, path := range []string{openIDConfiguration, oauthMetadata, "/token", "/", "/tenants", base + "/nowhere"} {
		if a := op.answer(t, http.MethodGet, path, nil, nil); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, a.Status)
		}
	}
}

// TestSignInBelowAPath: the pages lead from one to the next.
func TestSignInBelowAPath(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Issuer += "/tenants/one" }})
	issuer := op.URL() + "/tenants/one"
	b := providertest.NewBrowser(t)
	page := b.Get(issuer + "/authorize?" + codeRequest().values().Encode())
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	page = b.Submit(page, "allow", nil)
	if page.Callback == nil || page.Callback.Query().Get("iss") != issuer {
		t.Fatalf("answer %d at %s, callback %v", page.Status, page.URL.Path, page.Callback)
	}
	tokens := postForm(t, issuer+"/token", redeem(page.Callback.Query().Get("code")), nil)
	if a := get(t, issuer+"/userinfo", bearer(tokens.text("access_token"))); a.text("email") != "alice@example.com" {
		t.Errorf("userinfo: %d %s", a.Status, a.Raw)
	}
	wantSignedOutPage(t, b.Submit(b.Get(issuer+"/logout"), "logout-yes", nil))
	crossSite := postForm(t, issuer+"/logout", params{"state": "x"}, nil)
	if got := crossSite.Header.Get("Location"); got != "/tenants/one/logout?state=x" {
		t.Errorf("a POST from another site goes to %q", got)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	for path, want := range map[string]string{"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`} {
		if a := get(t, op.URL()+path, nil); a.Status != http.StatusOK || a.Raw != want || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
	store.fail("Ping")
	if a := get(t, op.URL()+"/readyz", nil); a.Status != http.StatusServiceUnavailable || a.Raw != `{"status":"not ready"}` || a.Header.Get("Retry-After") == "" {
		t.Errorf("readyz without a store: %d %s", a.Status, a.Raw)
	}
	if a := get(t, op.URL()+"/healthz", nil); a.Status != http.StatusOK {
		t.Errorf("healthz without a store: %d %s", a.Status, a.Raw)
	}
}
