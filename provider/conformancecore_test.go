package provider_test

import (
	"net/http"
	"strings"
	"time"
)

func moduleServer(m *moduleRun) {
	m.client().complete(nil)
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		m.httpsOnly(name)
	}
	if !m.announces("token_endpoint_auth_methods_supported", "client_secret_basic") {
		m.Error("the method in use is not announced")
	}
}

// moduleResponseTypeMissing: the error belongs to the query, or to the form if
// that was asked for, since nothing says otherwise.
func moduleResponseTypeMissing(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"response_type": ""})
	v := rp.authorize(p)
	rp.responseType = "code"
	rp.wantResponseError(v, p, "unsupported_response_type", "invalid_request")
}

func moduleIDTokenSignature(m *moduleRun) {
	l := m.client().complete(nil)
	header := headerOf(m.T, l.rawIDToken)
	if header["alg"] != "RS256" || header["kid"] == nil {
		m.Errorf("header: %v", header)
	}
}

// moduleIDTokenUnsigned: "none" is not announced, so the suite skips it. Nor can
// a client register it.
func moduleIDTokenUnsigned(m *moduleRun) {
	if m.announces("id_token_signing_alg_values_supported", "none") {
		m.Error("none is announced")
	}
	body := document{"redirect_uris": []string{suiteCallback}, "id_token_signed_response_alg": "none"}
	a := m.json(m.T, http.MethodPost, "/register", body, nil)
	wantError(m.T, a, http.StatusBadRequest, "invalid_client_metadata")
}

func moduleUserInfoGet(m *moduleRun) { m.client().complete(nil) }

func moduleUserInfoPostHeader(m *moduleRun) {
	rp := m.client()
	l := rp.complete(nil)
	rp.checkUserInfo(rp.answer(m.T, http.MethodPost, "/userinfo", nil, bearer(l.accessToken)), l)
}

func moduleUserInfoPostBody(m *moduleRun) {
	rp := m.client()
	l := rp.complete(nil)
	rp.checkUserInfo(rp.answer(m.T, http.MethodPost, "/userinfo", params{"access_token": l.accessToken}.values(), nil), l)
}

func moduleWithoutNonceSucceeds(m *moduleRun) { m.client().complete(params{"nonce": ""}) }

func moduleWithoutNonceFails(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"nonce": ""})
	rp.wantResponseError(rp.authorize(p), p, "invalid_request")
}

// moduleScope: all standard claims of the scopes come (OIDC Core §5.4).
func moduleScope(scopes ...string) func(*moduleRun) {
	claims := map[string][]string{
		"profile": {
			"name", "given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website", "gender",
			"birthdate", "zoneinfo", "locale", "updated_at", "preferred_username",
		},
		"email":   {"email", "email_verified"},
		"address": {"address"},
		"phone":   {"phone_number", "phone_number_verified"},
	}
	return func(m *moduleRun) {
		l := m.client().complete(params{"scope": "openid " + strings.Join(scopes, " ")})
		for _, scope := range scopes {
			if !m.announces("scopes_supported", scope) {
				m.Errorf("%s is not announced", scope)
			}
			for _, name := range claims[scope] {
				if l.claimsAbout()[name] == nil {
					m.Errorf("no %s for the scope %s", name, scope)
				}
			}
		}
	}
}

// moduleAlternateHappyFlow: the order of parameters and scopes has no meaning.
func moduleAlternateHappyFlow(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"scope": "email openid"})
	var reversed []string
	for pair := range strings.SplitSeq(p.values().Encode(), "&") {
		reversed = append([]string{pair}, reversed...)
	}
	rp.finish(rp.open("/authorize?"+strings.Join(reversed, "&")), p)
}

// moduleAccepts: the parameter must not cause an error.
func moduleAccepts(extra params) func(*moduleRun) {
	return func(m *moduleRun) { m.client().complete(extra) }
}

func moduleLoginHint(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"login_hint": "alice"})
	rec := m.do(m.T, http.MethodGet, "/authorize?"+p.values().Encode(), nil, nil)
	page := m.do(m.T, http.MethodGet, rec.Header().Get("Location"), nil, nil).Body.String()
	if inputs(m.T, page).Get("username") != "alice" {
		m.Error("the login page does not have the hint filled in")
	}
	rp.finish(rp.authorize(p), p)
}

// modulePromptLogin: the user signs in anew, and the ID token says so.
func modulePromptLogin(m *moduleRun) {
	rp := m.client()
	first := rp.complete(nil)
	time.Sleep(time.Second)
	second := rp.complete(params{"prompt": "login"})
	if !second.visit.askedToSignIn() || second.authTime() <= first.authTime() {
		m.Errorf("login page shown: %t; auth_time %v after %v", second.visit.askedToSignIn(), second.authTime(), first.authTime())
	}
}

func modulePromptNoneNotLoggedIn(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"prompt": "none", "state": randomText(128)})
	rp.wantResponseError(rp.authorize(p), p, "login_required")
}

func modulePromptNoneLoggedIn(m *moduleRun) {
	rp := m.client()
	first := rp.complete(nil)
	wantSilent(rp, first, rp.complete(params{"prompt": "none"}))
}

// wantSilent checks that a second login showed no page and is the first one's.
func wantSilent(rp *suiteRP, first, second *login) {
	rp.Helper()
	if len(second.visit.pages) != 0 {
		rp.Errorf("pages were shown: %v", second.visit.pages)
	}
	if second.idToken["sub"] != first.idToken["sub"] || second.authTime() != first.authTime() {
		rp.Errorf("sub or auth_time differ: %v, %v", first.idToken, second.idToken)
	}
}

func moduleMaxAge1(m *moduleRun) {
	rp := m.client()
	first := rp.complete(nil)
	time.Sleep(2 * time.Second)
	second := rp.complete(params{"max_age": "1"})
	if !second.visit.askedToSignIn() || second.authTime() <= first.authTime() {
		m.Errorf("login page shown: %t; auth_time %v after %v", second.visit.askedToSignIn(), second.authTime(), first.authTime())
	}
	if age := time.Since(time.Unix(int64(second.authTime()), 0)); age > time.Second {
		m.Errorf("auth_time is %s ago", age)
	}
}

func moduleMaxAge10000(m *moduleRun) {
	rp := m.client()
	first := rp.complete(params{"max_age": "15000"})
	wantSilent(rp, first, rp.complete(params{"max_age": "10000"}))
}

func moduleIDTokenHint(m *moduleRun) {
	rp := m.client()
	first := rp.complete(nil)
	wantSilent(rp, first, rp.complete(params{"prompt": "none", "id_token_hint": first.rawIDToken}))
}

// moduleACRValues: one of the requested is met.
func moduleACRValues(m *moduleRun) {
	supported, _ := m.metadata()["acr_values_supported"].([]any)
	var values []string
	for _, value := range supported {
		values = append(values, value.(string))
	}
	if len(values) == 0 {
		values = []string{"1", "2"}
	}
	l := m.client().complete(params{"acr_values": strings.Join(values, " ")})
	acr, _ := l.idToken["acr"].(string)
	if !strings.Contains(" "+strings.Join(values, " ")+" ", " "+acr+" ") || acr == "" {
		m.Errorf("acr %q, want one of %v", acr, values)
	}
}

// moduleCodeReuse: a code that comes again is refused, and what came of it is
// revoked (RFC 6749 §4.1.2).
func moduleCodeReuse(after time.Duration) func(*moduleRun) {
	return func(m *moduleRun) {
		rp := m.client()
		l := rp.complete(nil)
		time.Sleep(after * time.Second)
		m.wantTokenError(rp.tokenRequest(rp.redemption(l.code)), "invalid_grant")
		for _, token := range []string{l.accessToken, l.frontToken} {
			if token == "" {
				continue
			}
			if status := m.userinfo(m.T, token); status < 400 || status > 499 {
				m.Errorf("the access token still works: %d", status)
			}
		}
	}
}

func moduleRegisteredRedirectURI(m *moduleRun) {
	rp := m.client()
	v := rp.authorize(rp.request().with(params{"redirect_uri": suiteCallback + "-not-registered"}))
	m.wantErrorPage(v, "invalid_request", "redirect_uri")
}

func modulePostRequest(m *moduleRun) {
	rp := m.client()
	p := rp.request()
	rp.finish(rp.postAuthorize(p), p)
}

func moduleClientSecretPost(m *moduleRun) {
	rp := m.clientNamed("client_secret_post", nil)
	if rp.auth != "client_secret_post" {
		m.Fatalf("registered for %s", rp.auth)
	}
	rp.complete(nil)
}

// moduleClaimsEssential: the claim comes where it was asked for, and nowhere
// else (OIDC Core §5.5).
func moduleClaimsEssential(m *moduleRun) {
	member := "userinfo"
	if m.responseType == "id_token" {
		member = "id_token"
	}
	l := m.client().complete(params{"claims": `{"` + member + `":{"name":{"essential":true}}}`})
	if l.claimsAbout()["name"] == nil {
		m.Errorf("no name in %v", l.claimsAbout())
	}
	if member == "userinfo" && l.idToken["name"] != nil {
		m.Error("the name is in the ID token, too")
	}
}

// moduleRefreshToken: OIDC Core §11, §12.
func moduleRefreshToken(m *moduleRun) {
	rp, other := m.client(), m.client2()
	l := rp.complete(params{"scope": "openid offline_access", "prompt": "consent"})
	if l.refresh == "" {
		m.Fatal("no refresh token")
	}
	rp.checkEntropy("refresh token", l.refresh)
	time.Sleep(time.Second)
	a := rp.tokenRequest(params{"grant_type": "refresh_token", "refresh_token": l.refresh, "scope": "openid offline_access"})
	rp.checkTokens(a)
	if raw := a.text("id_token"); raw != "" {
		second := rp.checkIDToken(raw, params{})
		for _, name := range []string{"iss", "sub", "aud", "auth_time"} {
			if second[name] != l.idToken[name] {
				m.Errorf("%s: %v, was %v", name, second[name], l.idToken[name])
			}
		}
		if second["iat"] == l.idToken["iat"] {
			m.Error("iat is the old one")
		}
	}
	m.newBrowser()
	theirs := other.complete(params{"scope": "openid offline_access", "prompt": "consent"})
	m.wantTokenError(rp.tokenRequest(params{"grant_type": "refresh_token", "refresh_token": theirs.refresh}), "invalid_grant")
}

func modulePKCE(m *moduleRun) {
	rp := m.client()
	p := rp.request().with(params{"code_challenge": challenge(verifier), "code_challenge_method": "S256"})
	v := rp.authorize(p)
	rp.finish(v, p.with(params{"verifier": verifier}))
}
