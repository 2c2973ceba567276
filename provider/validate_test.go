package provider_test

import (
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
)

// TestInvalidValues has a file per value whose form is right and whose meaning
// is not. Each is a valid file with one thing changed.
func TestInvalidValues(t *testing.T) {
	const okp = "jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}"
	const argon = "$argon2id$v=19$m=19456,t=2,p=1$b2lkY2xhYi1leGFtcGxl$"
	for _, tt := range []struct{ name, text, want string }{
		{"issuer without scheme", "issuer: localhost:8080\n", `f.yaml:1: issuer: "localhost:8080" is no http or https URL`},
		{"issuer with a slash", "issuer: http://localhost/\n", `f.yaml:1: issuer: "http://localhost/" must not end with a slash`},
		{"issuer with a query", "issuer: http://localhost?a=b\n", `must have no query, fragment or user`},
		{"issuer with a fragment", "issuer: http://localhost#\n", `must have no query, fragment or user`},
		{"issuer with a user", "issuer: http://a@localhost\n", `must have no query, fragment or user`},
		{"issuer with an escape", "issuer: http://localhost/a%20b\n", `has a path that is not of letters, digits and -._~ between single slashes`},
		{"issuer with a pattern", "issuer: 'http://localhost/{tenant}'\n", `has a path that is not of letters`},
		{"issuer with an empty segment", "issuer: http://localhost//a\n", `has a path that is not of letters`},
		{"issuer with a dot segment", "issuer: http://localhost/a/../b\n", `has a path that is not of letters`},
		{"code lives too long", "lifetimes:\n  code: 1h\n", `f.yaml:1: lifetimes: code: 1h0m0s is more than ten minutes (RFC 6749 §4.1.2)`},
		{"negative lifetime", "lifetimes:\n  session: -1h\n", `f.yaml:2: session: duration "-1h" is not positive`},
		{"keys rotate too fast", "key_rotation: 5m\n", `f.yaml:1: key_rotation: 5m0s is less than key_lead, 10m0s`},
		{"keys sign too early", "issuer: http://a\nkey_lead: 1m\n", `f.yaml:2: key_lead: 1m0s is less than 6m0s: relying parties may keep the old keys for 5m0s`},
		{"fewer than no requests", "issuer: http://a\nmax_concurrent_requests: -1\n", `f.yaml:2: max_concurrent_requests: -1 is negative`},
		{"requests in words", "max_concurrent_requests: many\n", `f.yaml:1: max_concurrent_requests: want a whole number, got text`},
		{"keys never rotate", "key_rotation: 0s\n", `f.yaml:1: key_rotation: duration "0s" is not positive`},

		{"scope without name", "scopes:\n- description: x\n", `f.yaml:2: scope number 1: name: is missing`},
		{"scope with a space", "scopes:\n- name: a b\n", `f.yaml:2: scope "a b": name: a scope is printable ASCII`},
		{"scope twice", "scopes:\n- name: a\n- name: a\n", `f.yaml:3: scope "a": name: this scope is there already`},
		{"scope of the standard", "scopes:\n- name: openid\n", `f.yaml:2: scope "openid": name: this scope is there already`},

		{"client without id", client("client_name: x"), `f.yaml:2: client number 1: client_id: is missing`},
		{"client name of spaces", client("client_id: a", "client_name: '  '"), `f.yaml:4: client "a": client_name: has nothing to see in it`},
		{"client name with a line break", client("client_id: a", `client_name: "a\nb"`), `f.yaml:4: client "a": client_name: holds control characters`},
		{"client twice", client("client_id: a") + client("client_id: a")[len("clients:\n"):], `f.yaml:4: client "a": client_id: another client has it already`},
		{"client id not ASCII", client("client_id: é"), `client_id: must be printable ASCII`},
		{"unknown authentication", client("client_id: a", "token_endpoint_auth_method: tls_client_auth"), `f.yaml:4: client "a": token_endpoint_auth_method: "tls_client_auth" is not one of client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, none`},
		{"key authentication without keys", client("client_id: a", "token_endpoint_auth_method: private_key_jwt"), `jwks: is missing: private_key_jwt needs jwks or jwks_uri`},
		{"key authentication with a secret", client("client_id: a", "token_endpoint_auth_method: private_key_jwt", "client_secret: x", "jwks_uri: https://a/jwks"), `client_secret: a client that authenticates by "private_key_jwt" has none`},
		{"key authentication with HS256", client("client_id: a", "token_endpoint_auth_method: private_key_jwt", "jwks_uri: https://a/jwks", "token_endpoint_auth_signing_alg: HS256"), `token_endpoint_auth_signing_alg: "HS256" is not one of [RS256 PS256 ES256 Ed25519 EdDSA]`},
		{"signing secret that is short", client("client_id: a", "token_endpoint_auth_method: client_secret_jwt", "client_secret: short"), `client_secret: must be at least 32 bytes for HS256 (RFC 7518 §3.2)`},
		{"signing secret with RS256", client("client_id: a", "token_endpoint_auth_method: client_secret_jwt", "client_secret: 0123456789abcdef0123456789abcdef", "token_endpoint_auth_signing_alg: RS256"), `token_endpoint_auth_signing_alg: "RS256" is not one of [HS256]`},
		{"signing algorithm without a signature", client("client_id: a", "token_endpoint_auth_method: none", "token_endpoint_auth_signing_alg: RS256"), `token_endpoint_auth_signing_alg: is for clients that authenticate by private_key_jwt or client_secret_jwt`},
		{"confidential without secret", client("client_id: a", "token_endpoint_auth_method: client_secret_post"), `f.yaml:2: client "a": client_secret: is missing: client_secret_post needs one`},
		{"public with secret", client("client_id: a", "token_endpoint_auth_method: none", "client_secret: x"), `f.yaml:5: client "a": client_secret: a client that authenticates by "none" has none`},
		{"secret not ASCII", client("client_id: a", "client_secret: é"), `client_secret: must be printable ASCII`},
		{"public resource server", client("client_id: a", "resource_server: http://api"), `resource_server: introspection needs a client that has a secret or a key (RFC 7662 §2.1)`},

		{"unknown grant type", client("client_id: a", "grant_types: [password]"), `f.yaml:4: client "a": grant_types: "password" is not one of`},
		{"client_credentials without secret", client("client_id: a", "grant_types: [client_credentials]"), `grant_types: client_credentials is for clients that have a secret or a key (RFC 6749 §4.4)`},
		{"unknown response type", client("client_id: a", "response_types: [tokens]"), `f.yaml:4: client "a": response_types: "tokens" is not one of`},
		{"token alone", client("client_id: a", "response_types: [token]", "grant_types: [implicit]"), `response_types: "token" is not one of`},
		{"id_token without implicit", client("client_id: a", "response_types: [id_token]"), `response_types: "id_token" needs "implicit" among grant_types (RFC 7591 §2.1)`},
		{"code without its grant", client("client_id: a", "response_types: [code]", "grant_types: [implicit]"), `response_types: "code" needs "authorization_code" among grant_types`},
		{"hybrid without implicit", client("client_id: a", "response_types: [code id_token]"), `"code id_token" needs "implicit" among grant_types`},
		{"hybrid without code", client("client_id: a", "response_types: [id_token code]", "grant_types: [implicit]"), `"id_token code" needs "authorization_code" among grant_types`},

		{"bound tokens through the browser", client("client_id: a", "dpop_bound_access_tokens: true", "response_types: [code token]", "grant_types: [authorization_code, implicit]"), `f.yaml:4: client "a": dpop_bound_access_tokens: needs other response types: "code token" brings access tokens that are not bound (RFC 9449 §5)`},

		{"no redirect URI", "clients:\n- client_id: a\n", `f.yaml:2: client "a": redirect_uris: is missing`},
		{"no redirect URI for implicit", "clients:\n- client_id: a\n  grant_types: [implicit]\n  response_types: [id_token]\n", `redirect_uris: is missing`},
		{"redirect URI relative", redirect("/callback"), `f.yaml:3: client "a": redirect_uris: "/callback" is no absolute URL (RFC 6749 §3.1.2)`},
		{"redirect URI malformed", redirect("http://[::1"), `is no absolute URL`},
		{"redirect URI with fragment", redirect("https://a/#x"), `redirect_uris: "https://a/#x" has a fragment (RFC 6749 §3.1.2)`},
		{"redirect URI with empty fragment", redirect("https://a/#"), `has a fragment`},
		{"redirect URI with wildcard", redirect("https://*.a/"), `has a wildcard`},
		{"redirect URI with user", redirect("https://u@a/"), `holds a user name`},
		{"redirect URI with a comma in its host", redirect("https://a,frame-src/"), `redirect_uris: "https://a,frame-src/" has a host that is no name and no address`},
		{"redirect URI with a semicolon in its host", redirect("https://a;script-src/"), `has a host that is no name and no address`},
		{"redirect URI with a quote in its host", redirect("https://a''b/"), `has a host that is no name and no address`},
		{"redirect URI of an app with such a host", redirect("com.example.app://a,b/"), `has a host that is no name and no address`},
		{"redirect URI with a zone", redirect("http://[fe80::1%25eth0]/"), `has a host that is no name and no address`},
		{"redirect URI of a dot", redirect("https://./"), `has a host that is no name and no address`},
		{"redirect URI with an empty label", redirect("https://a..b/"), `has a host that is no name and no address`},
		{"redirect URI of hyphens", redirect("https://-/"), `has a host that is no name and no address`},
		{"redirect URI of a port", redirect("https://:8443/"), `has a host that is no name and no address`},
		{"redirect URI of a port beyond all", redirect("https://a:99999/"), `f.yaml:3: client "a": redirect_uris: "https://a:99999/" has a port beyond 65535`},
		{"redirect URI with space", redirect("https://a/ b"), `holds characters that a URL must escape`},
		{"redirect URI without host", redirect("https:callback"), `has no host`},
		{"redirect URI that runs", redirect("javascript:alert(1)"), `must be http, https or a scheme of the app's own`},
		{"redirect URI that is data", redirect("data:text/html,x"), `must be http, https or a scheme of the app's own`},
		{"post-logout URI with fragment", client("client_id: a", "post_logout_redirect_uris: ['https://a/#x']"), `f.yaml:4: client "a": post_logout_redirect_uris: "https://a/#x" has a fragment`},

		{"logout frame with a comma in its host", redirect("https://a/") + "  frontchannel_logout_uri: 'https://a,frame-src/logout'\n", `frontchannel_logout_uri: "https://a,frame-src/logout" has a host that is no name and no address`},
		{"logo with a comma in its host", client("client_id: a", "logo_uri: 'https://a,b/logo.png'"), `logo_uri: "https://a,b/logo.png" is not an http or https URL`},
		{"logout URI with a fragment", client("client_id: a", "backchannel_logout_uri: 'https://a/#x'"), `f.yaml:4: client "a": backchannel_logout_uri: "https://a/#x" has a fragment`},
		{"logout URI relative", client("client_id: a", "backchannel_logout_uri: /logout"), `backchannel_logout_uri: "/logout" is no absolute URL`},
		{"logout URI of an app", client("client_id: a", "backchannel_logout_uri: 'com.example.app:/logout'"), `backchannel_logout_uri: "com.example.app:/logout" is not an http or https URL`},
		{"logout URI unencrypted", client("client_id: a", "backchannel_logout_uri: 'http://rp:3000/logout'"), `backchannel_logout_uri: "http://rp:3000/logout" would tell of the sign-out unencrypted, on another machine: use https, or set insecure_http_redirect_uris`},
		{"logout frame with a fragment", redirect("https://a/") + "  frontchannel_logout_uri: 'https://a/logout#x'\n", `f.yaml:4: client "a": frontchannel_logout_uri: "https://a/logout#x" has a fragment`},
		{"logout frame that runs", redirect("https://a/") + "  frontchannel_logout_uri: 'javascript:alert(1)'\n", `frontchannel_logout_uri: "javascript:alert(1)" must be http, https`},
		{"logout frame of an app", redirect("com.example.app:/callback") + "  frontchannel_logout_uri: 'com.example.app:/logout'\n", `frontchannel_logout_uri: "com.example.app:/logout" is not an http or https URL`},
		{"logout frame unencrypted", redirect("https://rp/") + "  frontchannel_logout_uri: 'http://rp/logout'\n", `frontchannel_logout_uri: "http://rp/logout" would tell of the sign-out unencrypted`},
		{"logout frame on another host", redirect("https://a/") + "  frontchannel_logout_uri: 'https://b.a/logout'\n", `frontchannel_logout_uri: "https://b.a/logout" has another scheme, host or port than every redirect URI (OpenID Connect Front-Channel Logout §2)`},
		{"logout frame on another port", redirect("https://a/") + "  frontchannel_logout_uri: 'https://a:8443/logout'\n", `has another scheme, host or port`},
		{"logout frame of another scheme", redirect("http://localhost/") + "  frontchannel_logout_uri: 'https://localhost/logout'\n", `has another scheme, host or port`},
		{"session required that is text", client("client_id: a", "backchannel_logout_session_required: often"), `backchannel_logout_session_required`},

		{"unknown subject type", client("client_id: a", "subject_type: private"), `f.yaml:4: client "a": subject_type: "private" is not one of public, pairwise`},
		{"sector that is no web page", client("client_id: a", "sector_identifier_uri: 'urn:x'"), `f.yaml:4: client "a": sector_identifier_uri: "urn:x" is not an https URL`},
		{"several hosts without a sector", "clients:\n- client_id: a\n  redirect_uris: ['https://a', 'https://b']\n  subject_type: pairwise\n", `f.yaml:2: client "a": sector_identifier_uri: is missing: the redirect URIs have several hosts`},
		{"no host and no sector", redirect("com.example.app:/callback") + "  subject_type: pairwise\n", `sector_identifier_uri: is missing: without an http or https redirect URI it names the sector`},
		{"no redirect URI and no sector", "clients:\n- {client_id: a, client_secret: x, grant_types: [client_credentials], subject_type: pairwise}\n", `sector_identifier_uri: is missing`},

		{"keys and where to fetch them", client("client_id: a", "jwks: {keys: []}", "jwks_uri: 'https://a/jwks'"), `f.yaml:5: client "a": jwks_uri: is there beside jwks: a client has one of the two (RFC 7591 §2)`},
		{"keys from a file", client("client_id: a", "jwks_uri: 'file:///keys'"), `f.yaml:4: client "a": jwks_uri: "file:///keys" is not an https URL with a host and without a user name`},
		{"no JWK Set", client("client_id: a", "jwks: {kty: RSA}"), `f.yaml:4: client "a": jwks: is not a JWK Set (RFC 7517 §5)`},
		{"no keys", client("client_id: a", "jwks: {keys: []}"), `f.yaml:4: client "a": jwks: holds no key to verify signatures with`},
		{"keys that cannot be used", client("client_id: a", "jwks: {keys: [{kty: oct, k: AA}]}"), `jwks: holds no key to verify signatures with; key 1 is symmetric`},
		{"an assertion key of another algorithm", client("client_id: a", "token_endpoint_auth_method: private_key_jwt", "token_endpoint_auth_signing_alg: RS256", okp), `f.yaml:5: client "a": token_endpoint_auth_signing_alg: "RS256" needs a key for it, and jwks holds none`},
		{"a request object key of another algorithm", client("client_id: a", "request_object_signing_alg: RS256", okp), `f.yaml:4: client "a": request_object_signing_alg: "RS256" needs a key for it, and jwks holds none`},
		{"a private key", client("client_id: a", "jwks: {keys: [{kty: EC, crv: P-256, x: AA, y: AA, d: AA}]}"), `jwks: holds a private key, with which whoever reads it can sign`},

		{"unknown scope", client("client_id: a", "scope: openid notes"), `f.yaml:4: client "a": scope: "notes" is not known`},
		{"unsigned ID tokens", client("client_id: a", "id_token_signed_response_alg: none"), `f.yaml:4: client "a": id_token_signed_response_alg: "none" is for a provider with insecure_unsigned_id_tokens`},
		{"unsigned ID tokens through the browser", unsignedFile("response_types: [code, token id_token]", "grant_types: [authorization_code, implicit]"), `id_token_signed_response_alg: "none" is not for the response type "token id_token": the ID token would come through the browser`},
		{"unknown ID token algorithm", client("client_id: a", "id_token_signed_response_alg: HS256"), `id_token_signed_response_alg: "HS256" is not one of [RS256 PS256 ES256 ES384 EdDSA]`},
		{"unknown userinfo algorithm", client("client_id: a", "userinfo_signed_response_alg: HS256"), `userinfo_signed_response_alg: "HS256" is not one of`},
		{"unknown response algorithm", client("client_id: a", "authorization_signed_response_alg: none"), `authorization_signed_response_alg: "none" is not one of`},
		{"unknown access token algorithm", client("client_id: a", "access_token_signing_alg: HS256"), `access_token_signing_alg: "HS256" is not one of`},
		{"unknown access token format", client("client_id: a", "access_token_format: saml"), `access_token_format: "saml" is not jwt or opaque`},
		{"empty audience", client("client_id: a", "audience: ['']"), `audience: holds an empty value`},
		{"page that is no web page", client("client_id: a", "client_uri: example.com"), `f.yaml:4: client "a": client_uri: "example.com" is not an http or https URL`},
		{"logo that is a script", client("client_id: a", "logo_uri: 'javascript:alert(1)'"), `logo_uri: "javascript:alert(1)" is not an http or https URL`},
		{"policy without a host", client("client_id: a", "policy_uri: 'https:///x'"), `policy_uri: "https:///x" is not an http or https URL`},
		{"terms as data", client("client_id: a", "tos_uri: 'data:,x'"), `tos_uri: "data:,x" is not an http or https URL`},
		{"login initiation by plain http", client("client_id: a", "initiate_login_uri: http://rp/login"), `f.yaml:4: client "a": initiate_login_uri: "http://rp/login" is not https (OpenID Connect Core §4)`},
		{"unknown application type", client("client_id: a", "application_type: mobile"), `application_type: "mobile" is not web or native`},
		{"an app's scheme for the web", redirect("com.example.app:/callback") + "  application_type: web\n", `redirect_uris: "com.example.app:/callback" is for application_type native`},
		{"plain http to another machine", redirect("http://rp:3000/callback"), `or set insecure_http_redirect_uris for this client`},
		{"lifetime of a client", client("client_id: a", "lifetimes: {code: 11m}"), `f.yaml:4: client "a": lifetimes: code: 11m0s is more than ten minutes`},

		{"session of a client", client("client_id: a", "lifetimes: {session: 1h}"), `f.yaml:4: client "a": lifetimes: session: a session is the provider's, not a client's`},

		{"user without name", user("password: p", "claims: {sub: s}"), `f.yaml:2: user number 1: username: is missing`},
		{"user without password", user("username: u", "claims: {sub: s}"), `f.yaml:2: user "u": password: is missing; give password or password_hash`},
		{"user with both", user("username: u", "password: p", "password_hash: h", "claims: {sub: s}"), `f.yaml:3: user "u": password: give password or password_hash, not both`},
		{"no hash", user("username: u", "password_hash: plain", "claims: {sub: s}"), `f.yaml:3: user "u": password_hash: not an argon2id hash`},
		{"hash without key", user("username: u", "password_hash: "+argon, "claims: {sub: s}"), `password_hash: not an argon2id hash`},
		{"user without claims", user("username: u", "password: p"), `f.yaml:2: user "u": claims: sub is missing (OpenID Connect Core §2)`},
		{"user without sub", user("username: u", "password: p", "claims: {name: U}"), `f.yaml:4: user "u": claims: sub is missing`},
		{"empty sub", user("username: u", "password: p", "claims: {sub: ''}"), `claims: sub is missing`},
		{"sub a number", user("username: u", "password: p", "claims: {sub: 7}"), `claims: sub must be text: put it in quotes`},
		{"sub too long", user("username: u", "password: p", "claims: {sub: "+strings.Repeat("x", 256)+"}"), `claims: sub must be at most 255`},
		{"username twice", user("username: u", "password: p", "claims: {sub: a}") + user("username: u", "password: p", "claims: {sub: b}")[len("users:\n"):], `f.yaml:5: user "u": username: another user has it already`},
		{"sub of a client", client("client_id: a") + user("username: u", "password: p", "claims: {sub: a}"), `user "u": claims: sub "a": a client has it as its client_id (RFC 9068 §5)`},
		{"sub twice", user("username: u", "password: p", "claims: {sub: a}") + user("username: v", "password: p", "claims: {sub: a}")[len("users:\n"):], `f.yaml:7: user "v": claims: sub "a": another user has it already`},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.text, tt.want) })
	}
}

// TestValidValues has what looks strange and is allowed.
func TestValidValues(t *testing.T) {
	for _, text := range []string{
		redirect("http://127.0.0.1/callback"),
		redirect("http://rp:3000/callback") + "  insecure_http_redirect_uris: true\n",
		client("client_id: a", "client_uri: 'http://a'", "logo_uri: 'https://a/logo.png'", "policy_uri: 'https://a/p'", "tos_uri: 'https://a/t'"),
		redirect("com.example.app:/callback"),
		redirect("https://a/?query=kept"),
		redirect("https://a:65535/"),
		client("client_id: a", "client_name: ' 銀行 é '"),
		client("client_id: a", "response_types: ['token id_token code']", "grant_types: [implicit, authorization_code]"),
		"clients:\n- {client_id: api, client_secret: x, resource_server: 'http://api'}\n",
		"clients:\n- {client_id: job, client_secret: x, grant_types: [client_credentials]}\n",
		"scopes:\n- name: notes\nclients:\n- {client_id: a, redirect_uris: ['https://a'], scope: openid notes}\n",
		"clients:\n- client_id: a\n  redirect_uris: ['https://a/x', 'https://A:8443/y']\n  subject_type: pairwise\n",
		"clients:\n- client_id: a\n  redirect_uris: ['https://a', 'https://b']\n  subject_type: public\n",
		"clients:\n- client_id: a\n  redirect_uris: ['https://a', 'com.example:/b']\n  subject_type: pairwise\n  sector_identifier_uri: https://c/d\n",
		redirect("https://a/x") + "  frontchannel_logout_uri: 'https://A:443/y?z=1'\n  frontchannel_logout_session_required: true\n",
		redirect("http://rp:3000/x") + "  frontchannel_logout_uri: 'http://rp:3000/y'\n  backchannel_logout_uri: 'http://rp:3000/z'\n  insecure_http_redirect_uris: true\n",
		redirect("https://a/x") + "  backchannel_logout_uri: 'http://b.localhost:3000/y?z=1'\n  backchannel_logout_session_required: true\n",
		client("client_id: a", "initiate_login_uri: 'http://rp.localhost/login'"),
		redirect("com.example.app:/callback") + "  application_type: native\n",
		"issuer: https://op.example/tenant\n",
		unsignedFile(),
		unsignedFile("response_types: [code, code token]", "grant_types: [authorization_code, implicit]"),
		"issuer: https://op.example/a/b-c.d_e~1\n",
		"lifetimes: {code: 10m}\n",
	} {
		if _, err := provider.ReadConfig(strings.NewReader(text), "f.yaml"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// client is a file with one client that has a redirect URI and lines.
func client(lines ...string) string {
	return "clients:\n- " + lines[0] + "\n  redirect_uris: ['https://a']\n" + indent(lines[1:])
}

// unsignedFile is a file with a client that gets unsigned ID tokens, and with the
// switch that allows it.
func unsignedFile(lines ...string) string {
	return "insecure_unsigned_id_tokens: true\n" + client(append([]string{"client_id: a", "id_token_signed_response_alg: none"}, lines...)...)
}

// redirect is a file with one client that has the redirect URI.
func redirect(uri string) string {
	return "clients:\n- client_id: a\n  redirect_uris: ['" + uri + "']\n"
}

// user is a file with one user.
func user(lines ...string) string { return "users:\n- " + lines[0] + "\n" + indent(lines[1:]) }

func indent(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}
