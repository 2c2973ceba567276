package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var dynamicModules = []suiteModule{
	{name: "oidcc-idtoken-rs256", run: moduleIDTokenRS256},
	{name: "oidcc-idtoken-unsigned", run: moduleIDTokenUnsigned},
	{name: "oidcc-userinfo-rs256", run: moduleUserInfoRS256},
	{name: "oidcc-ensure-redirect-uri-in-authorization-request", run: moduleRedirectURIMissing},
	{name: "oidcc-redirect-uri-query-OK", run: moduleRedirectURIQuery},
	{name: "oidcc-redirect-uri-query-mismatch", run: moduleRedirectURIQueryOff("?foo=bar", "?foo=baz")},
	{name: "oidcc-redirect-uri-query-added", run: moduleRedirectURIQueryOff("", "?foo=bar")},
	{name: "oidcc-redirect-uri-regfrag", run: moduleRedirectURIFragment},
	{name: "oidcc-discovery-endpoint-verification", run: moduleDiscoveryDynamic},
	{name: "oidcc-server", run: modulePrivateKeyJWT},
	{name: "oidcc-registration-logo-uri", run: moduleLoginPageShows("logo_uri", `id="client-logo" src="`)},
	{name: "oidcc-registration-policy-uri", run: moduleLoginPageShows("policy_uri", `id="client-policy" href="`)},
	{name: "oidcc-registration-tos-uri", run: moduleLoginPageShows("tos_uri", `id="client-tos" href="`)},
	{name: "oidcc-registration-jwks-uri", run: moduleJWKSURI},
	{name: "oidcc-registration-sector-uri", run: moduleSectorURI},
	{name: "oidcc-registration-sector-bad", run: moduleSectorBad},
	{name: "oidcc-server-rotate-keys", run: moduleRotateKeys},
	{name: "oidcc-refresh-token-rp-key-rotation", run: moduleRPKeyRotation},
	{name: "oidcc-request-uri-unsigned", run: moduleUnsignedRequestURI},
	{name: "oidcc-request-uri-signed-rs256", run: moduleSignedRequestURI},
	{name: "oidcc-ensure-request-object-with-redirect-uri", run: moduleUnsignedRequestObject},
	{name: "oidcc-refresh-token", run: moduleRefreshToken},
	{name: "oidcc-ensure-client-assertion-with-iss-aud-succeeds", run: moduleAssertionForIssuer},
}

func moduleIDTokenRS256(m *moduleRun) {
	rp := m.register(document{"id_token_signed_response_alg": "RS256"})
	if headerOf(m.T, rp.complete(nil).rawIDToken)["kid"] == nil {
		m.Error("no kid")
	}
}

func moduleUserInfoRS256(m *moduleRun) {
	if !m.announces("userinfo_signing_alg_values_supported", "RS256") {
		m.Error("RS256 is not announced")
	}
	rp := m.register(document{"userinfo_signed_response_alg": "RS256"})
	p := rp.request()
	v := rp.authorize(p)
	rp.checkResponse(v, p)
	l := &login{code: v.values.Get("code")}
	rp.redeem(l, p)
	rec := m.do(m.T, http.MethodGet, "/userinfo", nil, bearer(l.accessToken))
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/jwt" {
		m.Fatalf("%d %v", rec.Code, rec.Header())
	}
	claims := m.verifyJWT(rec.Body.String())
	if claims["iss"] != suiteIssuer || claims["aud"] != rp.id || claims["sub"] != l.idToken["sub"] || claims["nonce"] != nil {
		m.Errorf("claims: %v", claims)
	}
}

func moduleRedirectURIMissing(m *moduleRun) {
	rp := m.register(document{"redirect_uris": []string{suiteCallback, suiteCallback + "2"}})
	m.wantErrorPage(rp.authorize(rp.request().with(params{"redirect_uri": ""})), "invalid_request", "redirect_uri")
}

func moduleRedirectURIQuery(m *moduleRun) {
	const callback = suiteCallback + "?foo=bar"
	rp := m.register(document{"redirect_uris": []string{callback}})
	p := rp.request()
	v := rp.authorize(p)
	if v.place != "query" || v.target != suiteCallback || v.values.Get("foo") != "bar" || v.values.Get("code") == "" || v.values.Get("state") != p["state"] {
		m.Errorf("%d, %q, %v", v.status, v.target, v.values)
	}
}

func moduleRedirectURIQueryOff(registered, sent string) func(*moduleRun) {
	return func(m *moduleRun) {
		rp := m.register(document{"redirect_uris": []string{suiteCallback + registered}})
		m.wantErrorPage(rp.authorize(rp.request().with(params{"redirect_uri": suiteCallback + sent})), "invalid_request", "redirect_uri")
	}
}

func moduleRedirectURIFragment(m *moduleRun) {
	a := m.json(m.T, http.MethodPost, "/register", document{"redirect_uris": []string{suiteCallback + "#foo"}}, nil)
	wantError(m.T, a, http.StatusBadRequest, "invalid_redirect_uri")
}

// keyClient registers a client that authenticates with its key.
func (m *moduleRun) keyClient() *suiteRP {
	m.Helper()
	return m.register(document{"token_endpoint_auth_method": "private_key_jwt"})
}

// keyURIClient is the same with the key at a jwks_uri.
func (m *moduleRun) keyURIClient() *suiteRP {
	m.Helper()
	m.site.publish("/jwks", suiteKeys("one", suiteKey()))
	rp := m.register(document{
		"token_endpoint_auth_method": "private_key_jwt", "jwks": nil, "jwks_uri": "http://suite.example/jwks",
	})
	rp.kid = "one"
	return rp
}

func modulePrivateKeyJWT(m *moduleRun) {
	if !m.announces("token_endpoint_auth_methods_supported", "private_key_jwt") {
		m.Error("private_key_jwt is not announced")
	}
	m.keyClient().complete(nil)
}

func moduleAssertionForIssuer(m *moduleRun) {
	rp := m.keyClient()
	rp.assertionAudience = suiteIssuer
	rp.complete(nil)
}

// moduleLoginPageShows: the suite looks at the login page.
func moduleLoginPageShows(member, element string) func(*moduleRun) {
	return func(m *moduleRun) {
		const uri = "https://suite.example/about"
		rp := m.register(document{member: uri})
		rec := m.do(m.T, http.MethodGet, "/authorize?"+rp.request().values().Encode(), nil, nil)
		page := m.do(m.T, http.MethodGet, rec.Header().Get("Location"), nil, nil).Body.String()
		if !strings.Contains(page, element+uri) {
			m.Errorf("the login page does not show %s:\n%s", member, page)
		}
	}
}

// suiteKey is the suite's key as a JWK.
func suiteKey() jose.JSONWebKey { return jose.JSONWebKey{Key: rpKeys()[jose.RS256].Public()} }

func moduleJWKSURI(m *moduleRun) {
	m.keyURIClient().complete(nil)
}

func moduleSectorURI(m *moduleRun) {
	if !m.announces("subject_types_supported", "pairwise") {
		m.Error("pairwise is not announced")
	}
	m.site.publish("/sector", `["`+suiteCallback+`"]`)
	rp := m.register(document{"subject_type": "pairwise", "sector_identifier_uri": "http://suite.example/sector"})
	public := m.register(nil)
	if pairwise, plain := rp.complete(nil), public.complete(nil); pairwise.idToken["sub"] == plain.idToken["sub"] {
		m.Errorf("the pairwise sub is the public one: %v", plain.idToken["sub"])
	}
}

func moduleSectorBad(m *moduleRun) {
	m.site.publish("/sector", `["https://other.example/callback"]`)
	body := document{
		"redirect_uris": []string{suiteCallback}, "subject_type": "pairwise", "sector_identifier_uri": "http://suite.example/sector",
	}
	wantError(m.T, m.json(m.T, http.MethodPost, "/register", body, nil), http.StatusBadRequest, "invalid_client_metadata")
}

// moduleRPKeyRotation: the relying party publishes another key, which works from
// then on (OIDC Core §10.1.1).
func moduleRPKeyRotation(m *moduleRun) {
	rp := m.keyURIClient()
	l := rp.complete(params{"scope": "openid offline_access", "prompt": "consent"})
	if l.refresh == "" {
		m.Fatal("no refresh token")
	}
	rp.key, rp.kid = newRSAKey(m.T), "two"
	m.site.publish("/jwks", suiteKeys("two", jose.JSONWebKey{Key: rp.key.Public()}))
	time.Sleep(time.Second)
	rp.checkTokens(rp.tokenRequest(params{"grant_type": "refresh_token", "refresh_token": l.refresh}))
}

// moduleRotateKeys: a new key appears, the old one stays (OIDC Core §10.1.1).
func moduleRotateKeys(m *moduleRun) {
	rp := m.client()
	before := m.keys()
	first := rp.complete(nil)
	if err := m.provider.RotateKeysNow(m.Context()); err != nil {
		m.Fatal(err)
	}
	after := m.keys()
	for _, key := range before.Keys {
		if len(after.Key(key.KeyID)) == 0 {
			m.Errorf("key %s is gone", key.KeyID)
		}
	}
	second := rp.complete(nil)
	kid := headerOf(m.T, second.rawIDToken)["kid"]
	if kid == headerOf(m.T, first.rawIDToken)["kid"] || len(before.Key(kid.(string))) != 0 {
		m.Errorf("no new key signs: %v", kid)
	}
	m.verifyJWT(first.rawIDToken)
}

// requestObject signs an authorization request as a request object, OIDC Core §6.
func (rp *suiteRP) requestObject(p params) string {
	claims := map[string]any{"iss": rp.id, "aud": suiteIssuer}
	for name, value := range p {
		claims[name] = value
	}
	return signed(rp.T, jose.RS256, rp.key, rp.kid, "JWT", claims)
}

func moduleSignedRequestURI(m *moduleRun) {
	if m.metadata()["request_uri_parameter_supported"] != true || !m.announces("request_object_signing_alg_values_supported", "RS256") {
		m.Error("signed request_uri is not announced")
	}
	const uri = "http://suite.example/request.jwt"
	rp := m.register(document{"request_uris": []string{uri}, "request_object_signing_alg": "RS256"})
	p := rp.request()
	m.site.publish("/request.jwt", rp.requestObject(p))
	// state and redirect_uri stand in the object alone.
	outer := params{"client_id": rp.id, "response_type": rp.responseType, "scope": "openid", "request_uri": uri}
	rp.finish(rp.authorize(outer), p)
}

// moduleUnsignedRequestURI and moduleUnsignedRequestObject: none is not announced
// among the algorithms of request objects, so the suite skips these. What is
// unsigned is refused by name.
func moduleUnsignedRequestURI(m *moduleRun) {
	m.wantNoUnsignedRequests()
	rp := m.register(document{"request_uris": []string{"http://suite.example/unsigned.jwt"}})
	p := rp.request()
	m.site.publish("/unsigned.jwt", unsignedRequest(m, p))
	v := rp.authorize(p.with(params{"request_uri": "http://suite.example/unsigned.jwt"}))
	m.wantRefusedObject(v, "invalid_request_object", "request_uri_not_supported")
}

func moduleUnsignedRequestObject(m *moduleRun) {
	m.wantNoUnsignedRequests()
	rp := m.client()
	p := rp.request()
	v := rp.authorize(p.with(params{"request": unsignedRequest(m, p)}))
	m.wantRefusedObject(v, "invalid_request_object", "request_not_supported")
}

func (m *moduleRun) wantNoUnsignedRequests() {
	m.Helper()
	list, published := m.metadata()["request_object_signing_alg_values_supported"].([]any)
	if !published || slices.Contains(list, any("none")) {
		m.Errorf("request_object_signing_alg_values_supported: %v", list)
	}
}

// wantRefusedObject: the error reaches the relying party or stays on a page, and
// nothing is issued.
func (m *moduleRun) wantRefusedObject(v *visit, codes ...string) {
	m.Helper()
	if v.values.Has("code") || v.values.Has("id_token") || v.values.Has("access_token") || v.askedToSignIn() {
		m.Fatalf("the object was processed: %v", v.values)
	}
	if v.place != "" && !slices.Contains(codes, v.values.Get("error")) {
		m.Errorf("error %q, want one of %v", v.values.Get("error"), codes)
	}
	if v.place == "" && !slices.ContainsFunc(codes, func(code string) bool { return strings.Contains(v.body, code) }) {
		m.Errorf("the page names none of %v:\n%s", codes, v.body)
	}
}

func unsignedRequest(m *moduleRun, p params) string {
	m.Helper()
	payload, err := json.Marshal(p)
	if err != nil {
		m.Fatal(err)
	}
	return unsigned(base64.RawURLEncoding.EncodeToString(payload), "JWT")
}
