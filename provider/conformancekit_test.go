package provider_test

import (
	"crypto"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// suiteIssuer is https, as the suite demands of all endpoints.
const (
	suiteIssuer   = "https://op.example"
	suiteCallback = "https://suite.example/test/a/oidclab/callback"
	suiteLogout   = "https://suite.example/test/a/oidclab/post_logout_redirect"
)

// moduleRun is one run of a module: a provider of its own, and a browser.
type moduleRun struct {
	*testing.T
	*inProcess
	responseType      string
	formPost, dynamic bool
	provider          *provider.Provider
	site              *suiteSite
	registered        []answer
}

func newModuleRun(t *testing.T, responseType string, formPost, dynamic bool) *moduleRun {
	t.Helper()
	m := &moduleRun{T: t, responseType: responseType, formPost: formPost, dynamic: dynamic}
	var clients []provider.Client
	for _, id := range []string{"client", "client2", "client_secret_post", "frontchannel", "backchannel"} {
		clients = append(clients, m.staticClient(id))
	}
	// A cheap hash: what the suite tests is not the password.
	users := provider.SeedUsers()
	users[0].PasswordHash = "$argon2id$v=19$m=8,t=1,p=1$b2lkY2xhYi1leGFtcGxl$Eda8ZeDtGDnEsRXVHvIy7FW6wwgV8cs8GBf26yBCaHY"
	m.site = newSuiteSite(t)
	config := provider.Config{
		Issuer: suiteIssuer, Store: storagetest.NewModel(), Clients: clients, Users: users,
		InsecurePrivateAddresses: true, DialContext: m.site.dial,
	}
	storeKeys(t, config.Store)
	m.inProcess = serving(t, config)
	m.provider, _ = m.handler.(*provider.Provider)
	return m
}

// staticClient is how the suite asks to be registered by hand.
func (m *moduleRun) staticClient(id string) provider.Client {
	c := provider.Client{
		ID: id, Name: id, Secret: "secret-of-" + id + "-0123456789", TokenEndpointAuthMethod: "client_secret_basic",
		RedirectURIs: []string{suiteCallback}, PostLogoutRedirectURIs: []string{suiteLogout},
		ResponseTypes: []string{m.responseType}, GrantTypes: m.grantTypes(),
	}
	switch id {
	case "client_secret_post":
		c.TokenEndpointAuthMethod = id
	case "frontchannel":
		c.FrontchannelLogoutURI, c.FrontchannelLogoutSessionRequired = frontChannelURI, true
	case "backchannel":
		c.BackchannelLogoutURI, c.BackchannelLogoutSessionRequired = backChannelURI, true
	}
	return c
}

func (m *moduleRun) grantTypes() []string {
	grants := []string{"authorization_code", "implicit"}
	if bringsCode(m.responseType) {
		return append(grants, "refresh_token")
	}
	return grants
}

// suiteRP is the suite as a relying party.
type suiteRP struct {
	*moduleRun
	id, secret, auth, redirectURI string
	registration                  map[string]any // the answer to the registration

	// For private_key_jwt and request objects.
	key               crypto.Signer
	kid               string
	assertionAudience string // "": the token endpoint
}

// client returns the first client of the variant, client2 the second.
func (m *moduleRun) client() *suiteRP  { m.Helper(); return m.clientNamed("client", nil) }
func (m *moduleRun) client2() *suiteRP { m.Helper(); return m.clientNamed("client2", nil) }

// clientNamed is a client of the configuration or, with dynamic registration,
// one that registers itself. changes are for the latter alone.
func (m *moduleRun) clientNamed(id string, changes document) *suiteRP {
	m.Helper()
	if m.dynamic {
		if id == "client_secret_post" {
			changes = document{"token_endpoint_auth_method": id}.with(changes)
		}
		return m.register(changes)
	}
	c := m.staticClient(id)
	return &suiteRP{moduleRun: m, id: id, secret: c.Secret, auth: c.TokenEndpointAuthMethod, redirectURI: suiteCallback}
}

// register registers as the suite does, with changes, and checks the answer:
// RFC 7591 §3.2.1, OIDC Registration §3.2.
func (m *moduleRun) register(changes document) *suiteRP {
	m.Helper()
	body := document{
		"client_name": "suite", "grant_types": m.grantTypes(), "response_types": []string{m.responseType},
		"redirect_uris": []string{suiteCallback}, "contacts": []string{"certification@oidf.org"},
		"token_endpoint_auth_method": "client_secret_basic", "jwks": publicKeys(m.T, rpKeys()[jose.RS256]),
	}.with(changes)
	a := m.json(m.T, http.MethodPost, "/register", body, nil)
	if a.Status != http.StatusCreated || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		m.Fatalf("register: %d %s", a.Status, a.Raw)
	}
	if a.Body["client_secret"] != nil && a.Body["client_secret_expires_at"] == nil {
		m.Error("a client_secret without client_secret_expires_at")
	}
	if !strings.HasPrefix(a.text("registration_client_uri"), suiteIssuer+"/") || a.text("registration_access_token") == "" {
		m.Errorf("no way to manage the registration: %s", a.Raw)
	}
	m.registered = append(m.registered, a)
	uris, _ := a.Body["redirect_uris"].([]any)
	callback, _ := uris[0].(string)
	return &suiteRP{
		moduleRun: m, id: a.text("client_id"), secret: a.text("client_secret"),
		auth: a.text("token_endpoint_auth_method"), redirectURI: callback, registration: a.Body, key: rpKeys()[jose.RS256],
	}
}

// unregister deletes what the module registered: RFC 7592 §2.3.
func (m *moduleRun) unregister() {
	m.Helper()
	for _, a := range m.registered {
		path := strings.TrimPrefix(a.text("registration_client_uri"), suiteIssuer)
		rec := m.do(m.T, http.MethodDelete, path, nil, bearer(a.text("registration_access_token")))
		if rec.Code != http.StatusNoContent {
			m.Errorf("unregister: %d", rec.Code)
		}
	}
}

// request is the suite's authorization request.
func (rp *suiteRP) request() params {
	p := params{
		"response_type": rp.responseType, "client_id": rp.id, "redirect_uri": rp.redirectURI, "scope": "openid",
		"state": randomText(10), "nonce": randomText(10),
	}
	if rp.formPost {
		p["response_mode"] = "form_post"
	}
	return p
}

// randomText is n characters of those that RFC 3986 has unreserved.
func randomText(n int) string {
	return strings.Repeat("aZ09-._~", n/8+1)[:n-1] + string('a'+rune(time.Now().UnixNano()%26))
}

// visit is where a browser ends that follows the provider's redirects.
type visit struct {
	pages  []string   // the provider's pages that were shown
	place  string     // where the response stood: "query", "fragment", "form_post"; "": no response
	values url.Values // the response
	target string     // the redirect URI without the response
	status int        // of the provider's last page
	body   string
}

// open sends the browser to a path of the provider and signs alice in where it
// is asked.
func (m *moduleRun) open(path string) *visit {
	m.Helper()
	return m.follow(m.do(m.T, http.MethodGet, path, nil, nil), &visit{})
}

func (m *moduleRun) follow(rec *httptest.ResponseRecorder, v *visit) *visit {
	m.Helper()
	for range 12 {
		location := strings.TrimPrefix(rec.Header().Get("Location"), suiteIssuer)
		switch {
		case rec.Code == http.StatusSeeOther && strings.HasPrefix(location, "/"):
			rec = m.do(m.T, http.MethodGet, location, nil, nil)
			continue
		case rec.Code == http.StatusSeeOther:
			return v.arrive(m.T, location)
		}
		v.status, v.body = rec.Code, rec.Body.String()
		next, fill := v.formToFill()
		if next == "" {
			v.formPost(m.T)
			return v
		}
		v.pages = append(v.pages, next)
		time.Sleep(time.Second) // a person takes a while
		form := inputs(m.T, v.body)
		for name, value := range fill {
			form.Set(name, value)
		}
		rec = m.do(m.T, http.MethodPost, next, form, nil)
	}
	m.Fatal("the provider leads round in circles")
	return nil
}

// formToFill is the page of the provider that is shown, and what to fill in.
func (v *visit) formToFill() (path string, fill params) {
	switch {
	case v.status != http.StatusOK:
		return "", nil
	case strings.Contains(v.body, `id="username"`):
		return "/login", params{"username": "alice", "password": "alice"}
	case strings.Contains(v.body, `id="allow"`):
		return "/consent", params{"decision": "allow"}
	case strings.Contains(v.body, `id="logout-yes"`):
		return "/logout", params{"logout": "yes"}
	}
	return "", nil
}

// arrive reads a redirect to the relying party.
func (v *visit) arrive(t *testing.T, location string) *visit {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	v.place, v.values = "query", u.Query()
	if u.Fragment != "" {
		v.place, v.values = "fragment", response(t, u)
		if u.Query().Has("code") || u.Query().Has("error") {
			t.Error("code or error in the query of a response in the fragment")
		}
	}
	u.Fragment, u.RawQuery = "", ""
	v.target = u.String()
	return v
}

// formPost reads a page that posts a response to the relying party.
func (v *visit) formPost(t *testing.T) {
	t.Helper()
	if _, action, ok := strings.Cut(v.body, `action="https://suite.example`); ok {
		path, _, _ := strings.Cut(action, `"`)
		v.place, v.values, v.target = "form_post", inputs(t, v.body), "https://suite.example"+path
	}
}

// attribute is that of the first element of a kind on the page, "" for none.
func (v *visit) attribute(element, name string) string {
	root, err := html.Parse(strings.NewReader(v.body))
	if err != nil {
		return ""
	}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != element {
			continue
		}
		for _, a := range node.Attr {
			if a.Key == name {
				return a.Val
			}
		}
	}
	return ""
}

// askedToSignIn reports whether the browser saw the login page.
func (v *visit) askedToSignIn() bool { return slices.Contains(v.pages, "/login") }

// authorize sends an authorization request.
func (rp *suiteRP) authorize(p params) *visit {
	rp.Helper()
	return rp.open("/authorize?" + p.values().Encode())
}

// responsePlace is where the response of the variant belongs.
func (m *moduleRun) responsePlace() string {
	switch {
	case m.formPost:
		return "form_post"
	case m.responseType == "code":
		return "query"
	}
	return "fragment"
}

// checkResponse checks what every response has: its place, state, iss.
func (rp *suiteRP) checkResponse(v *visit, p params) {
	rp.Helper()
	if v.place != rp.responsePlace() || v.target != rp.redirectURI {
		rp.Fatalf("response in %q to %q, want %q to %q; %d:\n%s", v.place, v.target, rp.responsePlace(), rp.redirectURI, v.status, v.body)
	}
	if v.values.Get("state") != p["state"] || v.values.Get("iss") != suiteIssuer {
		rp.Errorf("state %q, iss %q", v.values.Get("state"), v.values.Get("iss"))
	}
}

// wantResponseError checks an error that comes to the relying party: with
// nothing but what belongs to it (RFC 6749 §4.1.2.1, RFC 9207 §2).
func (rp *suiteRP) wantResponseError(v *visit, p params, codes ...string) {
	rp.Helper()
	rp.checkResponse(v, p)
	if !slices.Contains(codes, v.values.Get("error")) {
		rp.Errorf("error %q, want one of %v", v.values.Get("error"), codes)
	}
	for name := range v.values {
		if !slices.Contains([]string{"error", "error_description", "error_uri", "state", "iss", "session_state"}, name) {
			rp.Errorf("a parameter %s beside the error", name)
		}
	}
	if strings.ContainsAny(v.values.Get("error_description"), "\r\n\t\"\\") {
		rp.Errorf("error_description %q has characters that RFC 6749 does not allow", v.values.Get("error_description"))
	}
}

// wantErrorPage checks that the provider kept the browser, with words for the
// suite's automation to find.
func (m *moduleRun) wantErrorPage(v *visit, words ...string) {
	m.Helper()
	if v.place != "" || v.status != http.StatusBadRequest {
		m.Errorf("no error page but %d, response in %q", v.status, v.place)
	}
	for _, word := range words {
		if !strings.Contains(v.body, word) {
			m.Errorf("the page does not say %s", word)
		}
	}
}

// keys fetches the published keys: each with a "kid" of its own and nothing
// private.
func (m *moduleRun) keys() jose.JSONWebKeySet {
	m.Helper()
	var set jose.JSONWebKeySet
	rec := m.do(m.T, http.MethodGet, "/jwks", nil, nil)
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || rec.Code != http.StatusOK {
		m.Fatalf("jwks: %d, %v", rec.Code, err)
	}
	seen := map[string]bool{}
	for _, key := range set.Keys {
		if key.KeyID == "" || seen[key.KeyID] || !key.IsPublic() {
			m.Errorf("key %q: no kid of its own, or not public", key.KeyID)
		}
		seen[key.KeyID] = true
	}
	return set
}

// verifyJWT checks a signature with the published keys, RS256 as the suite asks.
func (m *moduleRun) verifyJWT(raw string) map[string]any {
	m.Helper()
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		m.Fatalf("JWT: %v", err)
	}
	keys := m.keys()
	found := keys.Key(parsed.Headers[0].KeyID)
	if len(found) != 1 {
		m.Fatalf("%d keys with kid %q", len(found), parsed.Headers[0].KeyID)
	}
	var claims map[string]any
	if err := parsed.Claims(found[0].Key, &claims); err != nil {
		m.Fatalf("signature: %v", err)
	}
	return maps.Clone(claims)
}
