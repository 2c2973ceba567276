package frontenddriven_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func TestConfigIsWhatABrowserNeeds(t *testing.T) {
	b := newBench(t)
	want := claims{
		"issuer": opURL, "authorization_endpoint": opURL + "/authorize", "authorization_response_iss_parameter_supported": true,
		"client_id": "fd", "scope": "openid profile email offline_access", "redirect_uri": callback,
	}
	if diff := cmp.Diff(want, b.get(t, "/auth/config").body); diff != "" {
		t.Error(diff)
	}
}

func TestConfigBeforeTheProviderIsThere(t *testing.T) {
	b := newBench(t)
	b.op.set(func(o *op) { o.down = true })
	wantRefusal(t, b.get(t, "/auth/config"), 503, "temporarily_unavailable", "cannot be reached")
	b.op.set(func(o *op) { o.down = false })
	if a := b.get(t, "/auth/config"); a.status != 200 {
		t.Errorf("when it is there: %d %s", a.status, a.text)
	}
}

func TestExchange(t *testing.T) {
	b := newBench(t)
	a := b.login(t)

	if a.str("token_type") != "Bearer" || a.body["expires_in"] != 300.0 || a.body["refresh_expires_in"] != 43200.0 {
		t.Errorf("answer %v", a.body)
	}
	if diff := cmp.Diff(claims{"sub": "alice-1", "name": "Alice Liddell", "preferred_username": "alice"}, a.body["user"]); diff != "" {
		t.Error(diff)
	}
	idToken := a.body["id_token"].(claims)
	if idToken["header"].(claims)["alg"] != "RS256" || idToken["payload"].(claims)["nonce"] != "the-nonce" {
		t.Errorf("ID token %v", idToken)
	}

	header, access := b.verified(t, a.str("access_token"))
	if header.ExtraHeaders["typ"] != "at+jwt" || header.Algorithm != "ES256" {
		t.Errorf("access token's header %v", header)
	}
	for _, random := range []string{"jti", "iat", "exp"} {
		if access[random] == nil {
			t.Errorf("the access token lacks %s", random)
		}
		delete(access, random)
	}
	wantAccess := claims{
		"iss": backendURL, "aud": audience, "sub": "alice-1", "client_id": "fd", "scope": "notes:read notes:write",
		"name": "Alice Liddell", "preferred_username": "alice",
	}
	if diff := cmp.Diff(wantAccess, access); diff != "" {
		t.Error(diff)
	}

	header, refresh := b.verified(t, a.str("refresh_token"))
	if header.ExtraHeaders["typ"] != "rt+jwt" || refresh["aud"] != backendURL || refresh["iss"] != backendURL {
		t.Errorf("refresh token %v %v", header, refresh)
	}

	for _, secret := range b.op.seen {
		if strings.Contains(a.text, secret) {
			t.Errorf("the answer holds the provider's %s", secret)
		}
	}
}

// Each part of the request, made wrong alone.
func TestExchangeChecksTheRequest(t *testing.T) {
	b := newBench(t)
	good := claims{"code_verifier": verifier, "nonce": "the-nonce", "redirect_uri": callback}
	for _, tt := range []struct {
		name   string
		change claims
		part   string
	}{
		{"no code", claims{"code": ""}, "code is missing"},
		{"long code", claims{"code": strings.Repeat("x", 5000)}, "code is missing or too long"},
		{"no verifier", claims{"code_verifier": ""}, "code_verifier"},
		{"short verifier", claims{"code_verifier": verifier[:42]}, "code_verifier"},
		{"long verifier", claims{"code_verifier": strings.Repeat("x", 129)}, "code_verifier"},
		{"verifier with other characters", claims{"code_verifier": verifier + "+"}, "code_verifier"},
		{"no nonce", claims{"nonce": ""}, "nonce"},
		{"no redirect_uri", claims{"redirect_uri": ""}, "redirect_uri"},
		{"unknown field", claims{"client_secret": "x"}, "unknown field"},
		{"number for a code", claims{"code": 7}, "JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := maps.Clone(good)
			body["code"] = b.op.code("the-nonce", callback)
			maps.Copy(body, tt.change)
			wantRefusal(t, b.post(t, "/auth/exchange", "", body), 400, "invalid_request", tt.part)
		})
	}
	if b.op.calls["/token"] != 0 {
		t.Error("the provider was asked in vain")
	}
}

func TestExchangeBodies(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"a form", "application/x-www-form-urlencoded", "code=x", 415},
		{"plain text, which needs no preflight", "text/plain", "{}", 415},
		{"no type", "", "{}", 415},
		{"no JSON", "application/json", "code", 400},
		{"two values", "application/json", "{}{}", 400},
		{"huge", "application/json", `{"code":"` + strings.Repeat("x", 20<<10) + `"}`, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/auth/exchange", strings.NewReader(tt.body))
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			wantRefusal(t, b.do(t, req), tt.status, "invalid_request", "")
		})
	}
}

func TestRedirectURIs(t *testing.T) {
	b := newBench(t)
	for uri, allowed := range map[string]bool{
		callback:                               true,
		"http://127.0.0.1:49152/callback":      true,
		"http://[::1]:49152/callback":          true,
		callback + "/":                         false,
		callback + "?x=y":                      false,
		frontendURL + "/callback/../evil":      false,
		frontendURL + ".evil.example/callback": false,
		"http://evil.example/callback":         false,
		"https://127.0.0.1:49152/callback":     false,
		"http://127.0.0.1/callback":            false,
		"http://127.0.0.1:49152/callback?x":    false,
		"http://127.0.0.1:49152/callback#":     false,
		"http://127.0.0.1:49152/other":         false,
		"http://u@127.0.0.1:49152/callback":    false,
		"http://127.0.0.2:49152/callback":      false,
		"http://localhost:49152/callback":      false,
		"http://127.0.0.1:49152@evil/callback": false,
		"HTTP://127.0.0.1:49152/callback":      false,
	} {
		t.Run(uri, func(t *testing.T) {
			code := b.op.code("n", uri)
			a := b.post(t, "/auth/exchange", "", claims{"code": code, "code_verifier": verifier, "nonce": "n", "redirect_uri": uri})
			if allowed && a.status != 200 {
				t.Errorf("refused: %s", a.text)
			}
			if !allowed {
				wantRefusal(t, a, 400, "invalid_request", "redirect_uri is not one")
			}
		})
	}
}

// What only the provider can see is refused by it, and passed on as 400.
func TestExchangeOfABadCode(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]claims{
		"unknown code":           {"code": "op-code-unknown"},
		"another verifier":       {"code_verifier": strings.Repeat("w", 43)},
		"another redirect_uri":   {"redirect_uri": "http://127.0.0.1:5/callback"},
		"a code that was for me": {"code": b.op.code("the-nonce", "http://127.0.0.1:5/callback")},
	} {
		t.Run(name, func(t *testing.T) {
			body := claims{"code": b.op.code("the-nonce", callback), "code_verifier": verifier, "nonce": "the-nonce", "redirect_uri": callback}
			maps.Copy(body, change)
			wantRefusal(t, b.post(t, "/auth/exchange", "", body), 400, "invalid_grant", "no such code")
		})
	}
	t.Run("replay", func(t *testing.T) {
		body := claims{"code": b.op.code("the-nonce", callback), "code_verifier": verifier, "nonce": "the-nonce", "redirect_uri": callback}
		if a := b.post(t, "/auth/exchange", "", body); a.status != 200 {
			t.Fatal(a.text)
		}
		wantRefusal(t, b.post(t, "/auth/exchange", "", body), 400, "invalid_grant", "used before")
	})
}

// Each check of the ID token and of UserInfo, with just its input made wrong. No
// login begins, and what the provider issued for it is revoked.
func TestExchangeChecksTheAnswer(t *testing.T) {
	forger := jose.JSONWebKey{Key: newECKey(t), KeyID: "op-1", Algorithm: "ES256"}
	for _, tt := range []struct {
		name   string
		change func(*op)
		status int
		code   string
		part   string
	}{
		{"nonce of another browser", func(o *op) { o.idClaims = claims{"nonce": "other"} }, 400, "invalid_grant", "nonce"},
		{"no nonce", func(o *op) { o.idClaims = claims{"nonce": nil} }, 400, "invalid_grant", "nonce"},
		{"iss", func(o *op) { o.idClaims = claims{"iss": "http://evil.example"} }, 502, "server_error", "different provider"},
		{"aud", func(o *op) { o.idClaims = claims{"aud": "other"} }, 502, "server_error", "audience"},
		{"aud of two without azp", func(o *op) { o.idClaims = claims{"aud": []string{"fd", "other"}} }, 502, "server_error", "azp"},
		{"azp", func(o *op) { o.idClaims = claims{"azp": "other"} }, 502, "server_error", "azp"},
		{"exp", func(o *op) { o.idClaims = claims{"exp": time.Now().Unix() - 1} }, 502, "server_error", "expired"},
		{"at_hash", func(o *op) { o.idClaims = claims{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"} }, 502, "server_error", "at_hash"},
		{"signature", func(o *op) { o.sign = func(c claims) string { return signed(t, forger, "JWT", c) } }, 502, "server_error", "signature"},
		{"alg none", func(o *op) { o.sign = func(c claims) string { return unsigned(t, c) } }, 502, "server_error", "malformed"},
		{"the public key as a shared secret", func(o *op) {
			public, _ := o.key.Public().MarshalJSON()
			key := jose.JSONWebKey{Key: public, KeyID: "op-1", Algorithm: "HS256"}
			o.sign = func(c claims) string { return signed(t, key, "JWT", c) }
		}, 502, "server_error", "malformed"},
		{"no ID token", func(o *op) { o.sign = func(claims) string { return "" } }, 502, "server_error", "no ID token"},
		{"userinfo of another user", func(o *op) { o.user = claims{"sub": "bob-1"} }, 502, "server_error", "another user"},
		{"userinfo of nobody", func(o *op) { o.user = claims{} }, 502, "server_error", "another user"},
		{"userinfo refuses", func(o *op) { o.fail["/userinfo"] = answering(401, "application/json", "{}") }, 502, "server_error", "UserInfo"},
		{"userinfo forbids", func(o *op) { o.fail["/userinfo"] = answering(403, "application/json", "{}") }, 502, "server_error", "403"},
		{"userinfo no JSON", func(o *op) { o.fail["/userinfo"] = answering(200, "text/html", "<p>") }, 502, "server_error", "JSON"},
		{"userinfo down", func(o *op) { o.fail["/userinfo"] = answering(500, "text/plain", "") }, 503, "temporarily_unavailable", ""},
		{"keys down", func(o *op) { o.fail["/jwks"] = answering(503, "text/plain", "") }, 503, "temporarily_unavailable", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.op.set(tt.change)
			wantRefusal(t, b.exchange(t), tt.status, tt.code, tt.part)
			if len(b.op.revoked) != 1 || b.op.alive() != 0 {
				t.Errorf("revoked %d, alive %d", len(b.op.revoked), b.op.alive())
			}
		})
	}
}

func TestExchangeAcceptsWhatIsOptional(t *testing.T) {
	for name, change := range map[string]claims{
		"no at_hash":       {"at_hash": nil},
		"two aud with azp": {"aud": []string{"fd", "other"}, "azp": "fd"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.op.set(func(o *op) { o.idClaims = change })
			b.login(t)
		})
	}
}

func TestExchangeNeedsARefreshToken(t *testing.T) {
	b := newBench(t)
	code := b.op.code("n", callback)
	b.op.codes[code].noRefresh = true
	a := b.post(t, "/auth/exchange", "", claims{"code": code, "code_verifier": verifier, "nonce": "n", "redirect_uri": callback})
	wantRefusal(t, a, 400, "invalid_scope", "offline_access")
}

func TestExchangeWhileTheProviderIsDown(t *testing.T) {
	b := newBench(t)
	body := claims{"code": b.op.code("n", callback), "code_verifier": verifier, "nonce": "n", "redirect_uri": callback}
	b.op.set(func(o *op) { o.down = true })
	wantRefusal(t, b.post(t, "/auth/exchange", "", body), 503, "temporarily_unavailable", "cannot be reached")
	b.op.set(func(o *op) { o.down = false })
	if a := b.post(t, "/auth/exchange", "", body); a.status != 200 {
		t.Errorf("the same request later: %d %s", a.status, a.text)
	}
}

func TestWrongSecretIsTheOperatorsFault(t *testing.T) {
	b := newBench(t)
	b.cfg.ClientSecret = "wrong"
	b.restart(t)
	wantRefusal(t, b.exchange(t), 502, "server_error", "invalid_client")
}

func TestCORS(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/auth/config", "/auth/exchange", "/auth/refresh", "/auth/logout"} {
		for _, tt := range []struct {
			origin  string
			allowed bool
		}{
			{frontendURL, true},
			{"http://evil.example", false},
			{frontendURL + ".evil.example", false},
			{"https://page.localhost:1", false},
			{"null", false},
		} {
			t.Run(path+" from "+tt.origin, func(t *testing.T) {
				req := httptest.NewRequestWithContext(t.Context(), "OPTIONS", path, nil)
				req.Header.Set("Origin", tt.origin)
				req.Header.Set("Access-Control-Request-Method", "POST")
				h := b.do(t, req).header
				if got := h.Get("Access-Control-Allow-Origin"); (got == tt.origin) != tt.allowed || (got != "") != tt.allowed {
					t.Errorf("Allow-Origin %q", got)
				}
				if got := h.Get("Access-Control-Allow-Headers"); (got != "") != tt.allowed {
					t.Errorf("Allow-Headers %q", got)
				}
				if h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("headers %v", h)
				}
			})
		}
	}
}

// CORS alone would hide the answer and still use up the code or the token.
func TestPostsOfOtherOriginsAreRefused(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	for _, path := range []string{"/auth/exchange", "/auth/refresh", "/auth/logout"} {
		req := httptest.NewRequestWithContext(t.Context(), "POST", path, nil)
		req.Header.Set("Origin", "http://evil.example")
		req.Header.Set("Authorization", "Bearer "+token)
		wantRefusal(t, b.do(t, req), 403, "invalid_request", "another origin")
	}
	// A program that is no browser sends no Origin.
	req := httptest.NewRequestWithContext(t.Context(), "POST", "/auth/refresh", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if a := b.do(t, req); a.status != 200 {
		t.Errorf("native: %d %s", a.status, a.text)
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	a := b.get(t, "/")
	if !strings.Contains(a.text, `data-party="backend"`) || !strings.Contains(a.text, frontendURL) || strings.Contains(a.text, clientSecret) {
		t.Error(a.text)
	}
	if a := b.get(t, "/chrome/style.css"); a.status != 200 {
		t.Errorf("style sheet: %d", a.status)
	}
	w := httptest.NewRecorder()
	b.app.Frontend().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	csp := w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || !strings.Contains(csp, "connect-src 'self' "+backendURL+" "+apiURL) {
		t.Errorf("status %d, policy %s", w.Code, csp)
	}
	w = httptest.NewRecorder()
	b.app.Frontend().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/config.json", nil))
	var cfg map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &cfg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"backend": backendURL, "api": apiURL, "home": "http://lab.example"}, cfg); diff != "" {
		t.Error(diff)
	}
	if got := b.get(t, "/.well-known/oauth-authorization-server").body["jwks_uri"]; got != backendURL+"/jwks" {
		t.Errorf("jwks_uri %v", got)
	}
	if strings.Contains(b.get(t, "/jwks").text, `"d"`) {
		t.Error("the private key is published")
	}
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func unsigned(t *testing.T, c claims) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}
