package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	frontChannelURI = "https://suite.example/test/a/oidclab/frontchannel_logout"
	backChannelURI  = "http://suite.localhost/test/a/oidclab/backchannel_logout"
)

var logoutModules = []suiteModule{
	{name: "oidcc-rp-initiated-logout-discovery-endpoint-verification", run: func(m *moduleRun) { m.httpsOnly("end_session_endpoint") }},
	{name: "oidcc-rp-initiated-logout", run: moduleLogout(params{"state": randomText(128)})},
	{name: "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", run: moduleLogoutRefused(params{"post_logout_redirect_uri": suiteLogout + "/not-registered"})},
	{name: "oidcc-rp-initiated-logout-modified-id-token-hint", run: moduleLogoutModifiedHint},
	{name: "oidcc-rp-initiated-logout-no-id-token-hint", run: moduleLogoutRefused(params{"id_token_hint": ""})},
	{name: "oidcc-rp-initiated-logout-no-params", run: moduleLogoutStays()},
	{name: "oidcc-rp-initiated-logout-no-post-logout-redirect-uri", run: moduleLogoutStays("id_token_hint", "state")},
	{name: "oidcc-rp-initiated-logout-no-state", run: moduleLogout(params{"state": ""})},
	{name: "oidcc-rp-initiated-logout-only-state", run: moduleLogoutStays("state")},
	{name: "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", run: moduleLogoutRefused(params{"post_logout_redirect_uri": suiteLogout + "?foo=bar"})},
	{name: "oidcc-rp-initiated-logout-bad-id-token-hint", run: moduleLogoutForeignHint},
}

// logoutRequest is the suite's request to /logout after a login.
func (l *login) logoutRequest() params {
	return params{"id_token_hint": l.rawIDToken, "post_logout_redirect_uri": suiteLogout, "state": "some-state"}
}

// logoutClient is a client that is registered for logout.
func (m *moduleRun) logoutClient(id string, changes document) *suiteRP {
	m.Helper()
	return m.clientNamed(id, document{"post_logout_redirect_uris": []string{suiteLogout}}.with(changes))
}

func (m *moduleRun) logout(p params) *visit {
	m.Helper()
	return m.open("/logout?" + p.values().Encode())
}

// wantSignedOut: prompt=none finds nobody.
func (rp *suiteRP) wantSignedOut() {
	rp.Helper()
	p := rp.request().with(params{"prompt": "none"})
	rp.wantResponseError(rp.authorize(p), p, "login_required", "interaction_required")
}

// moduleLogout: the browser comes back with state and nothing else.
func moduleLogout(changes params) func(*moduleRun) {
	return func(m *moduleRun) {
		rp := m.logoutClient("client", nil)
		p := rp.complete(nil).logoutRequest().with(changes)
		v := m.logout(p)
		want := url.Values{}
		if p["state"] != "" {
			want.Set("state", p["state"])
		}
		if v.place != "query" || v.target != suiteLogout || v.values.Encode() != want.Encode() {
			m.Errorf("%d at %q with %v; want %v\n%s", v.status, v.target, v.values, want, v.body)
		}
		rp.wantSignedOut()
	}
}

// moduleLogoutRefused: one parameter is wrong, and the browser must not be sent
// to what may not be the client's.
func moduleLogoutRefused(changes params) func(*moduleRun) {
	return func(m *moduleRun) {
		rp := m.logoutClient("client", nil)
		m.wantErrorPage(m.logout(rp.complete(nil).logoutRequest().with(changes)), "invalid_request")
	}
}

func moduleLogoutModifiedHint(m *moduleRun) {
	rp := m.logoutClient("client", nil)
	l := rp.complete(nil)
	hint := unsigned(strings.Split(l.rawIDToken, ".")[1], "JWT")
	m.wantErrorPage(m.logout(l.logoutRequest().with(params{"id_token_hint": hint})), "invalid_request")
}

func moduleLogoutForeignHint(m *moduleRun) {
	rp := m.logoutClient("client", nil)
	l := rp.complete(nil)
	kid, _ := headerOf(m.T, l.rawIDToken)["kid"].(string)
	hint := signed(m.T, jose.RS256, newRSAKey(m.T), kid, "JWT", l.idToken)
	m.wantErrorPage(m.logout(l.logoutRequest().with(params{"id_token_hint": hint})), "invalid_request")
}

// moduleLogoutStays: with these parameters alone the user ends on our own page.
func moduleLogoutStays(kept ...string) func(*moduleRun) {
	return func(m *moduleRun) {
		rp := m.logoutClient("client", nil)
		p := rp.complete(nil).logoutRequest()
		for name := range p {
			if !slices.Contains(kept, name) {
				delete(p, name)
			}
		}
		v := m.logout(p)
		if v.place != "" || v.status != http.StatusOK || !strings.Contains(v.body, "signed out") {
			m.Errorf("%d, response in %q:\n%s", v.status, v.place, v.body)
		}
		rp.wantSignedOut()
	}
}

var frontChannelModules = []suiteModule{
	{name: "oidcc-frontchannel-logout-discovery-endpoint-verification", run: func(m *moduleRun) {
		m.wantTrue("frontchannel_logout_supported", "frontchannel_logout_session_supported")
	}},
	{name: "oidcc-frontchannel-rp-initiated-logout", run: moduleFrontChannel},
}

func (m *moduleRun) wantTrue(names ...string) {
	m.Helper()
	m.httpsOnly("end_session_endpoint")
	for _, name := range names {
		if m.metadata()[name] != true {
			m.Errorf("%s is %v", name, m.metadata()[name])
		}
	}
}

// moduleFrontChannel: the page loads the client's URI with iss and sid, then
// leads on (OIDC Front-Channel Logout 1.0 §3).
func moduleFrontChannel(m *moduleRun) {
	rp := m.logoutClient("frontchannel", document{"frontchannel_logout_uri": frontChannelURI, "frontchannel_logout_session_required": true})
	l := rp.complete(nil)
	v := m.logout(l.logoutRequest())
	src := v.attribute("iframe", "src")
	frame, err := url.Parse(src)
	if err != nil || !strings.HasPrefix(src, frontChannelURI+"?") || frame.Query().Get("iss") != suiteIssuer || frame.Query().Get("sid") != l.idToken["sid"] {
		m.Errorf("iframe: %q; the ID token's sid is %v", src, l.idToken["sid"])
	}
	if !strings.Contains(v.body, suiteLogout) || !strings.Contains(v.body, "state=some-state") {
		m.Errorf("the page does not lead on:\n%s", v.body)
	}
	rp.wantSignedOut()
}

var backChannelModules = []suiteModule{
	{name: "oidcc-backchannel-logout-discovery-endpoint-verification", run: func(m *moduleRun) {
		m.wantTrue("backchannel_logout_supported", "backchannel_logout_session_supported")
	}},
	{name: "oidcc-backchannel-rp-initiated-logout", run: moduleBackChannel},
}

// moduleBackChannel: the client gets a logout token (OIDC Back-Channel Logout
// 1.0 §2.4), and the browser goes on.
func moduleBackChannel(m *moduleRun) {
	rp := m.logoutClient("backchannel", document{"backchannel_logout_uri": backChannelURI, "backchannel_logout_session_required": true})
	l := rp.complete(nil)
	v := m.logout(l.logoutRequest())
	if v.place != "query" || v.target != suiteLogout {
		m.Errorf("%d at %q\n%s", v.status, v.target, v.body)
	}
	posted := m.site.received()
	if len(posted) != 1 || posted[0].path != "/test/a/oidclab/backchannel_logout" || len(posted[0].form) != 1 {
		m.Fatalf("posted: %v", posted)
	}
	raw := posted[0].form.Get("logout_token")
	claims := m.verifyJWT(raw)
	events, _ := claims["events"].(map[string]any)
	event, _ := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	iat, _ := claims["iat"].(float64)
	switch {
	case claims["iss"] != suiteIssuer, claims["aud"] != rp.id, claims["sub"] != l.idToken["sub"], claims["sid"] != l.idToken["sid"]:
		m.Errorf("iss, aud, sub or sid: %v", claims)
	case len(events) != 1 || event == nil || len(event) != 0:
		m.Errorf("events: %v", claims["events"])
	case claims["jti"] == nil, time.Since(time.Unix(int64(iat), 0)).Abs() > time.Minute, claims["nonce"] != nil:
		m.Errorf("jti, iat or nonce: %v", claims)
	}
	rp.wantSignedOut()
}

var sessionModules = []suiteModule{
	{name: "oidcc-session-management-discovery-endpoint-verification", run: func(m *moduleRun) { m.httpsOnly("check_session_iframe") }},
	{name: "oidcc-session-management-rp-initiated-logout", run: moduleSession},
}

// moduleSession: what the iframe compares changes with the logout (OIDC Session
// Management 1.0 §3.2). Its script runs in a real browser elsewhere.
func moduleSession(m *moduleRun) {
	rp := m.logoutClient("client", nil)
	l := rp.complete(nil)
	state := l.visit.values.Get("session_state")
	if _, salt, ok := strings.Cut(state, "."); !ok || salt == "" {
		m.Errorf("session_state: %q", state)
	}
	before := m.cookies["__Host-op_browser_state"]
	iframe, _ := m.metadata()["check_session_iframe"].(string)
	frame := m.do(m.T, http.MethodGet, strings.TrimPrefix(iframe, suiteIssuer), nil, nil)
	if frame.Code != http.StatusOK || frame.Header().Get("X-Frame-Options") != "" ||
		strings.Contains(frame.Header().Get("Content-Security-Policy"), "frame-ancestors") {
		m.Errorf("the iframe cannot be framed: %d %v", frame.Code, frame.Header())
	}
	m.logout(l.logoutRequest())
	if after := m.cookies["__Host-op_browser_state"]; before == "" || after == before {
		m.Errorf("browser state %q before, %q after", before, after)
	}
}

var thirdPartyModules = []suiteModule{
	{name: "oidcc-3rd_party-init-login", run: func(m *moduleRun) {
		rp := m.register(document{"initiate_login_uri": "https://suite.example/initiate"})
		token, _ := rp.registration["registration_access_token"].(string)
		uri, _ := rp.registration["registration_client_uri"].(string)
		a := m.answer(m.T, http.MethodGet, strings.TrimPrefix(uri, suiteIssuer), nil, bearer(token))
		for _, body := range []map[string]any{rp.registration, a.Body} {
			if body["initiate_login_uri"] != "https://suite.example/initiate" {
				m.Errorf("initiate_login_uri: %v", body)
			}
		}
	}},
	{name: "oidcc-3rd_party-init-login-nohttps", run: func(m *moduleRun) {
		body := document{"redirect_uris": []string{suiteCallback}, "initiate_login_uri": "http://suite.example/initiate"}
		wantError(m.T, m.json(m.T, http.MethodPost, "/register", body, nil), http.StatusBadRequest, "invalid_client_metadata")
	}},
}

// moduleDiscovery: OIDC Discovery 1.0 §3, §4.
func moduleDiscovery(m *moduleRun) {
	document := m.metadata()
	if document["issuer"] != suiteIssuer {
		m.Errorf("issuer: %v", document["issuer"])
	}
	for name, value := range document {
		if strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" || name == "check_session_iframe" {
			m.httpsOnly(name)
		}
		if list, isList := value.([]any); isList && len(list) == 0 {
			m.Errorf("%s is empty", name)
		}
		if !slices.Contains(knownMetadata, name) {
			m.Errorf("%s is not registered", name)
		}
	}
	for name, value := range map[string]string{
		"response_types_supported": "code", "subject_types_supported": "public", "id_token_signing_alg_values_supported": "RS256",
		"grant_types_supported": "authorization_code", "scopes_supported": "openid", "claims_supported": "sub",
		"code_challenge_methods_supported": "S256", "request_object_signing_alg_values_supported": "RS256",
	} {
		if !m.announces(name, value) {
			m.Errorf("%s has no %s: %v", name, value, document[name])
		}
	}
}

func moduleDiscoveryDynamic(m *moduleRun) {
	moduleDiscovery(m)
	m.httpsOnly("registration_endpoint")
	for _, responseType := range []string{"code", "id_token", "id_token token"} {
		if !m.announces("response_types_supported", responseType) {
			m.Errorf("response type %s is not announced", responseType)
		}
	}
	if !m.announces("grant_types_supported", "implicit") {
		m.Error("the implicit grant is not announced")
	}
}
