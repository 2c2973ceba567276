package provider_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// login is all that one authorization brought the suite's relying party.
type login struct {
	visit       *visit
	code        string
	accessToken string // the last one: of the token endpoint, if there is one
	frontToken  string // of the authorization endpoint
	refresh     string
	rawIDToken  string // the last one
	idToken     map[string]any
	userinfo    map[string]any
}

// complete is the suite's happy flow: it authorizes, redeems, asks userinfo,
// and checks whatever comes.
func (rp *suiteRP) complete(changes params) *login {
	rp.Helper()
	p := rp.request().with(changes)
	return rp.finish(rp.authorize(p), p)
}

// finish is complete, from the authorization response on.
func (rp *suiteRP) finish(v *visit, p params) *login {
	rp.Helper()
	rp.checkResponse(v, p)
	if v.values.Has("error") {
		rp.Fatalf("error: %v", v.values)
	}
	l := &login{visit: v, code: v.values.Get("code"), frontToken: v.values.Get("access_token")}
	l.accessToken = l.frontToken
	rp.checkParts(v)
	if raw := v.values.Get("id_token"); raw != "" {
		l.rawIDToken, l.idToken = raw, rp.checkIDToken(raw, p)
		rp.checkHash(l.idToken, "at_hash", l.frontToken)
		rp.checkHash(l.idToken, "c_hash", l.code)
	}
	if l.code != "" {
		rp.checkEntropy("code", l.code)
		rp.redeem(l, p)
	}
	if l.accessToken != "" {
		rp.checkEntropy("access token", l.accessToken)
		a := rp.answer(rp.T, http.MethodGet, "/userinfo", nil, bearer(l.accessToken))
		l.userinfo = rp.checkUserInfo(a, l)
	}
	return l
}

// checkParts: the response has what the response type names, and no more.
func (rp *suiteRP) checkParts(v *visit) {
	rp.Helper()
	for name, brought := range map[string]func(string) bool{"code": bringsCode, "id_token": bringsIDToken, "access_token": bringsToken} {
		if want := brought(rp.responseType); v.values.Has(name) != want {
			rp.Errorf("%s in the response: %t, want %t", name, !want, want)
		}
	}
	if v.values.Has("access_token") && (v.values.Get("token_type") != "Bearer" || v.values.Get("expires_in") == "") {
		rp.Errorf("token_type %q, expires_in %q", v.values.Get("token_type"), v.values.Get("expires_in"))
	}
}

// redeem redeems the code of a login.
func (rp *suiteRP) redeem(l *login, p params) {
	rp.Helper()
	a := rp.tokenRequest(rp.redemption(l.code).with(params{"code_verifier": p["verifier"]}))
	rp.checkTokens(a)
	l.accessToken, l.refresh, l.rawIDToken = a.text("access_token"), a.text("refresh_token"), a.text("id_token")
	second := rp.checkIDToken(l.rawIDToken, p)
	if l.idToken != nil && (l.idToken["sub"] != second["sub"] || l.idToken["iss"] != second["iss"]) {
		rp.Errorf("sub or iss differ: %v, %v", l.idToken, second)
	}
	l.idToken = second
	if second["at_hash"] != nil {
		rp.checkHash(second, "at_hash", l.accessToken)
	}
}

// redemption is the token request for a code.
func (rp *suiteRP) redemption(code string) params {
	return params{"grant_type": "authorization_code", "code": code, "redirect_uri": rp.redirectURI}
}

// tokenRequest authenticates as the client is registered.
func (rp *suiteRP) tokenRequest(p params) answer {
	rp.Helper()
	return rp.answer(rp.T, http.MethodPost, "/token", p.with(rp.inBody()).values(), rp.inHeader)
}

func (rp *suiteRP) inBody() params {
	switch rp.auth {
	case "client_secret_post":
		return params{"client_id": rp.id, "client_secret": rp.secret}
	case "private_key_jwt":
		audience := suiteIssuer + "/token"
		if rp.assertionAudience != "" {
			audience = rp.assertionAudience
		}
		now := time.Now()
		assertion := signed(rp.T, jose.RS256, rp.key, rp.kid, "JWT", map[string]any{
			"iss": rp.id, "sub": rp.id, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		})
		return params{"client_assertion_type": assertionTypeV, "client_assertion": assertion}
	}
	return params{}
}

func (rp *suiteRP) inHeader(r *http.Request) {
	if rp.auth == "client_secret_basic" {
		r.SetBasicAuth(url.QueryEscape(rp.id), url.QueryEscape(rp.secret))
	}
}

// checkTokens checks a token response: OIDC Core §3.1.3.3, RFC 6749 §5.1.
func (rp *suiteRP) checkTokens(a answer) {
	rp.Helper()
	expires, _ := a.Body["expires_in"].(float64)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" ||
		a.text("token_type") != "Bearer" || a.text("access_token") == "" || expires <= 0 {
		rp.Fatalf("token response: %d %v %s", a.Status, a.Header, a.Raw)
	}
}

// wantTokenError checks an error of the token endpoint: RFC 6749 §5.2.
func (m *moduleRun) wantTokenError(a answer, code string) {
	m.Helper()
	if a.Status != http.StatusBadRequest || a.text("error") != code || a.Header.Get("Content-Type") != "application/json" {
		m.Errorf("token error: %d %v %s; want 400 %s", a.Status, a.Header, a.Raw, code)
	}
}

// idTokenClaims are what an ID token may hold without being asked.
var idTokenClaims = []string{
	"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash", "c_hash", "jti",
}

// checkIDToken checks an ID token as the suite does, OIDC Core §2, §3.1.3.7.
func (rp *suiteRP) checkIDToken(raw string, p params) map[string]any {
	rp.Helper()
	claims := rp.verifyJWT(raw)
	now := time.Now()
	at := func(name string) time.Time {
		seconds, ok := claims[name].(float64)
		if !ok {
			rp.Errorf("%s is %v", name, claims[name])
		}
		return time.Unix(int64(seconds), 0)
	}
	audience, _ := claims["aud"].(string)
	sub, _ := claims["sub"].(string)
	switch {
	case claims["iss"] != suiteIssuer, audience != rp.id, sub == "":
		rp.Errorf("iss, aud or sub of %v", claims)
	case !at("exp").After(now), at("exp").After(now.AddDate(50, 0, 0)), now.Sub(at("iat")).Abs() > 5*time.Minute:
		rp.Errorf("times of %v", claims)
	case p["nonce"] != "" && claims["nonce"] != p["nonce"], p["nonce"] == "" && claims["nonce"] != nil:
		rp.Errorf("nonce %v, sent %q", claims["nonce"], p["nonce"])
	case at("auth_time").After(now):
		rp.Errorf("auth_time is to come: %v", claims["auth_time"])
	}
	if rp.responseType != "id_token" && p["claims"] == "" {
		for name := range claims {
			if !slices.Contains(idTokenClaims, name) {
				rp.Errorf("the ID token has %s, which nobody asked for", name)
			}
		}
	}
	rp.checkStandardClaims(claims)
	return claims
}

// checkHash: OIDC Core §3.2.2.9, §3.3.2.11.
func (rp *suiteRP) checkHash(claims map[string]any, name, value string) {
	rp.Helper()
	if value == "" {
		if claims[name] != nil {
			rp.Errorf("%s without what it is of", name)
		}
		return
	}
	sum := sha256.Sum256([]byte(value))
	if want := base64.RawURLEncoding.EncodeToString(sum[:16]); claims[name] != want {
		rp.Errorf("%s is %v, want %s", name, claims[name], want)
	}
}

// checkStandardClaims: types of OIDC Core §5.1, and nothing empty.
func (rp *suiteRP) checkStandardClaims(claims map[string]any) {
	rp.Helper()
	for name, value := range claims {
		var ok bool
		switch name {
		case "email_verified", "phone_number_verified":
			_, ok = value.(bool)
		case "updated_at":
			_, ok = value.(float64)
		case "address":
			_, ok = value.(map[string]any)
		default:
			ok = value != nil && value != ""
		}
		if !ok {
			rp.Errorf("claim %s is %v", name, value)
		}
	}
}

// checkUserInfo: OIDC Core §5.3.2.
func (rp *suiteRP) checkUserInfo(a answer, l *login) map[string]any {
	rp.Helper()
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.text("sub") == "" {
		rp.Fatalf("userinfo: %d %v %s", a.Status, a.Header, a.Raw)
	}
	if l.idToken != nil && a.Body["sub"] != l.idToken["sub"] {
		rp.Errorf("sub of userinfo %v, of the ID token %v", a.Body["sub"], l.idToken["sub"])
	}
	rp.checkStandardClaims(a.Body)
	return a.Body
}

// checkEntropy: at least 128 bits in base64url (RFC 6749 §10.10).
func (rp *suiteRP) checkEntropy(what, value string) {
	rp.Helper()
	distinct := map[rune]bool{}
	for _, r := range value {
		distinct[r] = true
	}
	if len(value) < 22 || len(distinct) < 12 {
		rp.Errorf("%s %q is not random enough", what, value)
	}
}

// claimsAbout is where claims about the user come: userinfo, or the ID token if
// there is no access token (OIDC Core §5.4).
func (l *login) claimsAbout() map[string]any {
	if l.userinfo != nil {
		return l.userinfo
	}
	return l.idToken
}

// authTime is the "auth_time" of a login.
func (l *login) authTime() float64 {
	seconds, _ := l.idToken["auth_time"].(float64)
	return seconds
}

// postAuthorize sends an authorization request as a form.
func (rp *suiteRP) postAuthorize(p params) *visit {
	rp.Helper()
	return rp.follow(rp.do(rp.T, http.MethodPost, "/authorize", p.values(), nil), &visit{})
}

// newBrowser forgets all cookies.
func (m *moduleRun) newBrowser() { clear(m.cookies) }

// metadata is the discovery document.
func (m *moduleRun) metadata() map[string]any {
	m.Helper()
	a := m.answer(m.T, http.MethodGet, openIDConfiguration, nil, nil)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		m.Fatalf("discovery: %d %v", a.Status, a.Header)
	}
	return a.Body
}

// announces reports whether a list in the metadata has a value.
func (m *moduleRun) announces(name, value string) bool {
	m.Helper()
	list, _ := m.metadata()[name].([]any)
	return slices.Contains(list, any(value))
}

// httpsOnly checks that a URL of the metadata is https and below the issuer.
func (m *moduleRun) httpsOnly(name string) {
	m.Helper()
	target, _ := m.metadata()[name].(string)
	if !strings.HasPrefix(target, suiteIssuer+"/") {
		m.Errorf("%s is %q", name, target)
	}
}
