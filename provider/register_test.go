package provider_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// document is a client's metadata; with returns a changed copy, in which nil
// takes the member away.
type document map[string]any

func (d document) with(changes document) document {
	c := maps.Clone(d)
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// smallest is what a client must say of itself.
func smallest() document { return document{"redirect_uris": []string{providertest.RedirectURI}} }

// publicDocument is a single-page application.
func publicDocument() document {
	return smallest().with(document{
		"client_name": "Registered app", "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"},
	})
}

// sendJSON sends a JSON body. change may alter the request.
func sendJSON(t *testing.T, method, target string, body any, change func(*http.Request)) answer {
	t.Helper()
	raw, isRaw := body.(string)
	if !isRaw {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(encoded)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader([]byte(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	return do(t, req)
}

func register(t *testing.T, op *providertest.Server, body any) answer {
	t.Helper()
	return sendJSON(t, http.MethodPost, op.URL()+"/register", body, nil)
}

// registered registers a client that must be accepted.
func registered(t *testing.T, op *providertest.Server, body any) answer {
	t.Helper()
	a := register(t, op, body)
	if a.Status != http.StatusCreated {
		t.Fatalf("register: %d %s", a.Status, a.Raw)
	}
	return a
}

// manage sends a request with a client's registration access token to its
// registration_client_uri.
func manage(t *testing.T, method string, client answer, body any) answer {
	t.Helper()
	return sendJSON(t, method, client.text("registration_client_uri"), body, bearer(client.text("registration_access_token")))
}

// TestRegisterAnswers: RFC 7591 §3.2.1, with the defaults of §2.
func TestRegisterAnswers(t *testing.T) {
	op := providertest.Start(t, nil)
	before := time.Now().Unix()
	a := registered(t, op, smallest())
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	id, _ := a.Body["client_id"].(string)
	issued, _ := a.Body["client_id_issued_at"].(float64)
	if int64(issued) < before || int64(issued) > time.Now().Unix() {
		t.Errorf("client_id_issued_at: %v", issued)
	}
	for name, bits := range map[string]int{"client_id": 128, "client_secret": 256, "registration_access_token": 256} {
		if got := a.text(name); len(got)*6 < bits || strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%s: %q is not %d bits in base64url", name, got, bits)
		}
	}
	want := document{
		"client_id": id, "client_secret": a.Body["client_secret"], "registration_access_token": a.Body["registration_access_token"],
		"client_id_issued_at": issued, "client_secret_expires_at": 0.0,
		"registration_client_uri": op.URL() + "/register/" + id,
		"redirect_uris":           []any{providertest.RedirectURI},
	}
	if diff := cmp.Diff(map[string]any(registrationDefaults().with(want)), a.Body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if other := registered(t, op, smallest()); other.text("client_id") == id || other.text("client_secret") == a.text("client_secret") ||
		other.text("registration_access_token") == a.text("registration_access_token") {
		t.Error("two clients share a value")
	}
}

// registrationDefaults are what a registration holds for what the client leaves
// out, as it comes back.
func registrationDefaults() document {
	return document{
		"grant_types": []any{"authorization_code"}, "response_types": []any{"code"},
		"token_endpoint_auth_method": "client_secret_basic", "application_type": "web", "subject_type": "public",
		"id_token_signed_response_alg": "RS256", "authorization_signed_response_alg": "RS256",
		"scope": "openid profile email address phone groups offline_access",
	}
}

// everyMember has each member that a client may register, with a value that is
// not its default.
func everyMember() document {
	return document{
		"client_name": "Ünïcode ☃", "client_uri": "https://rp.example/", "logo_uri": "https://rp.example/logo.png",
		"policy_uri": "https://rp.example/policy", "tos_uri": "http://rp.example/terms", "contacts": []any{"admin@rp.example", "second"},
		"application_type": "native", "token_endpoint_auth_method": "client_secret_post",
		"redirect_uris":             []any{"https://rp.example/callback?foo=bar", "com.example.app:/callback", "http://127.0.0.1/callback"},
		"post_logout_redirect_uris": []any{"https://rp.example/bye"},
		"grant_types":               []any{"authorization_code", "implicit", "refresh_token"},
		"response_types":            []any{"code", "code id_token", "id_token"},
		"initiate_login_uri":        "https://rp.example/login", "scope": "openid email",
		"subject_type": "public", "default_max_age": 3600.0, "require_auth_time": true, "default_acr_values": []any{"1"},
		"id_token_signed_response_alg": "ES256", "userinfo_signed_response_alg": "ES256", "authorization_signed_response_alg": "ES256",
		"jwks_uri": "https://rp.example/jwks", "request_object_signing_alg": "ES256", "require_signed_request_object": true,
		"require_pushed_authorization_requests": true, "dpop_bound_access_tokens": true,
		"request_uris":            []any{"https://rp.example/request.jwt#hash"},
		"frontchannel_logout_uri": "https://rp.example/front", "frontchannel_logout_session_required": true,
		"backchannel_logout_uri": "https://rp.example/back", "backchannel_logout_session_required": true,
	}
}

// membersOfOthers are members that go with others than everyMember's; see
// registerkeys_test.go and registersector_test.go.
var membersOfOthers = []string{"jwks", "token_endpoint_auth_signing_alg", "sector_identifier_uri"}

// TestRegisterKeepsEveryMember: what is registered is what the answer says, then
// and later.
func TestRegisterKeepsEveryMember(t *testing.T) {
	for field := range reflect.TypeFor[provider.Client]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if _, there := everyMember()[name]; !there && name != "-" && !slices.Contains(membersOfOthers, name) {
			t.Errorf("%s: no test registers it", name)
		}
	}
	op := providertest.Start(t, nil)
	a := registered(t, op, everyMember())
	read := manage(t, http.MethodGet, a, nil)
	for name, want := range everyMember() {
		for when, got := range map[string]any{"at registration": a.Body[name], "later": read.Body[name]} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", name, when, diff)
			}
		}
	}
}

// suiteDocument is what the OpenID Foundation's conformance suite registers.
func suiteDocument(t *testing.T, grantTypes []string, responseType string) document {
	t.Helper()
	keys := publicKeys(t, rpKeys()[jose.RS256])
	keys["keys"].([]any)[0].(map[string]any)["alg"] = "RS256"
	return document{
		"client_name": "oidclab oidcc-server", "grant_types": grantTypes, "response_types": []string{responseType},
		"jwks":                       keys,
		"token_endpoint_auth_method": "client_secret_basic", "contacts": []string{"certification@oidf.org"},
		"redirect_uris": []string{"https://localhost.emobix.co.uk:8443/test/a/oidclab/callback"},
	}
}

// TestRegisterAsTheSuiteDoes: every plan begins with one of these.
func TestRegisterAsTheSuiteDoes(t *testing.T) {
	op := providertest.Start(t, nil)
	code, implicit := "authorization_code", "implicit"
	for responseType, grantTypes := range map[string][]string{
		"code": {code}, "id_token": {implicit}, "id_token token": {implicit},
		"code id_token": {code, implicit}, "code token": {code, implicit}, "code id_token token": {code, implicit},
	} {
		for name, change := range map[string]document{
			"plain": nil, "post": {"token_endpoint_auth_method": "client_secret_post"},
			"refresh":    {"grant_types": append(slices.Clone(grantTypes), "refresh_token")},
			"query":      {"redirect_uris": []string{"https://localhost.emobix.co.uk:8443/test/a/oidclab/callback?foo=bar"}},
			"RS256":      {"id_token_signed_response_alg": "RS256"},
			"two":        {"redirect_uris": []string{"https://rp.example/a", "https://rp.example/b"}},
			"logo":       {"logo_uri": "https://openid.net/wordpress-content/uploads/2016/05/oid-l-certification-mark-l-cmyk-150dpi-90mm.jpg"},
			"policy":     {"policy_uri": "https://openid.net/policy.html"},
			"terms":      {"tos_uri": "https://openid.net/tos.html"},
			"logout":     {"post_logout_redirect_uris": []string{"https://localhost.emobix.co.uk:8443/test/a/oidclab/post_logout_redirect"}},
			"initiation": {"initiate_login_uri": "https://localhost.emobix.co.uk:8443/test/a/oidclab/login-initiation"},
		} {
			t.Run(responseType+" "+name, func(t *testing.T) {
				a := registered(t, op, suiteDocument(t, grantTypes, responseType).with(change))
				if a.text("client_secret") == "" || a.Body["client_secret_expires_at"] == nil || a.text("scope") == "" {
					t.Errorf("answer %s", a.Raw)
				}
				if read := manage(t, http.MethodGet, a, nil); read.Status != http.StatusOK || read.Body["initiate_login_uri"] != change["initiate_login_uri"] {
					t.Errorf("read %d %s", read.Status, read.Raw)
				}
				if gone := manage(t, http.MethodDelete, a, nil); gone.Status != http.StatusNoContent || gone.Raw != "" {
					t.Errorf("delete %d %s", gone.Status, gone.Raw)
				}
			})
		}
	}
}

// TestRegisterAccepts has what looks strange and is allowed.
func TestRegisterAccepts(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, tt := range []struct {
		name string
		body any
		want document // members of the answer; nil: it has none
	}{
		{"unknown members", smallest().with(document{"client_name#de": "Deutsch", "something": map[string]any{"a": 1}}), document{"client_name#de": nil, "something": nil}},
		{"what the operator alone may say", smallest().with(document{
			"skip_consent": true, "insecure_http_redirect_uris": true, "resource_server": "https://api", "audience": []string{"x"}, "access_token_format": "opaque",
		}), document{"skip_consent": nil, "resource_server": nil, "audience": nil, "access_token_format": nil, "insecure_http_redirect_uris": nil}},
		{"an id and a secret of its own", smallest().with(document{"client_id": providertest.PublicClient, "client_secret": "mine"}), document{"client_secret_expires_at": 0.0}},
		{"nulls", `{"redirect_uris": ["https://rp.example/"], "client_name": null, "default_max_age": null, "grant_types": null, "jwks": null, "software_statement": null}`, document{"grant_types": []any{"authorization_code"}, "client_name": nil}},
		{"empty lists", smallest().with(document{"grant_types": []string{}, "response_types": []string{}, "contacts": []string{}}), document{"response_types": []any{"code"}, "contacts": nil}},
		{"null in a text", smallest().with(document{"contacts": []string{"null"}}), document{"contacts": []any{"null"}}},
		{"brackets in a text", smallest().with(document{"client_name": strings.Repeat(`[{\"`, 20)}), nil},
		{"a public client", publicDocument(), document{"client_secret": nil, "client_secret_expires_at": nil}},
		{"max age 0", smallest().with(document{"default_max_age": 0}), document{"default_max_age": 0.0}},
		{"localhost", smallest().with(document{"redirect_uris": []string{"http://localhost:3000/cb", "http://app.localhost/cb", "http://127.0.0.1:1/cb", "http://[::1]/cb"}}), nil},
		{"an implicit web client on localhost", smallest().with(document{"redirect_uris": []string{"http://localhost/"}, "application_type": "web", "grant_types": []string{"implicit"}, "response_types": []string{"id_token"}}), nil},
		{"a native app", smallest().with(document{"application_type": "native", "redirect_uris": []string{"com.example.app:/cb", "http://127.0.0.1/", "https://claimed.example/cb"}}), document{"application_type": "native"}},
		{"a grant that no response type uses", smallest().with(document{"grant_types": []string{"authorization_code", "implicit"}}), document{"response_types": []any{"code"}}},
		{"a response type in another order", smallest().with(document{"grant_types": []string{"authorization_code", "implicit"}, "response_types": []string{"token code id_token"}}), nil},
		{"charset", smallest(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := sendJSON(t, http.MethodPost, op.URL()+"/register", tt.body, func(r *http.Request) {
				if tt.name == "charset" {
					r.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
				}
			})
			if a.Status != http.StatusCreated {
				t.Fatalf("answer %d %s", a.Status, a.Raw)
			}
			for name, want := range tt.want {
				if diff := cmp.Diff(want, a.Body[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if a.text("client_id") == providertest.PublicClient || a.text("client_secret") == "mine" {
				t.Errorf("the client chose: %s", a.Raw)
			}
		})
	}
}

// TestRegisterCannotSkipConsent: the switches are the operator's, whatever the
// document says.
func TestRegisterCannotSkipConsent(t *testing.T) {
	op := providertest.Start(t, nil)
	a := registered(t, op, publicDocument().with(document{"skip_consent": true}))
	b := providertest.NewBrowser(t)
	page := b.Get(authorizeURL(op, codeRequest().with(params{"client_id": a.text("client_id")})))
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.URL.Path != "/consent" || page.Callback != nil {
		t.Errorf("no consent is asked: %s", page.URL)
	}
}

// TestRegisterClientCredentials: only where an initial access token guards it.
func TestRegisterClientCredentials(t *testing.T) {
	body := document{"grant_types": []string{"client_credentials"}}
	a := register(t, providertest.Start(t, nil), body)
	wantError(t, a, 400, "invalid_client_metadata")
	if !strings.Contains(a.text("error_description"), "grant_types") {
		t.Errorf("description %q", a.text("error_description"))
	}
	op := startWithRegistration(t, provider.Registration{InitialAccessToken: initialToken})
	a = sendJSON(t, http.MethodPost, op.URL()+"/register", body, bearer(initialToken))
	tokens := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, func(r *http.Request) {
		r.SetBasicAuth(a.text("client_id"), a.text("client_secret"))
	})
	if tokens.Status != http.StatusOK || claimsOf(t, tokens.text("access_token"))["sub"] != a.text("client_id") {
		t.Errorf("register: %d %s, token: %d %s", a.Status, a.Raw, tokens.Status, tokens.Raw)
	}
	if a.Body["response_types"] != nil || a.Body["redirect_uris"] != nil {
		t.Errorf("answer %s", a.Raw)
	}
}
