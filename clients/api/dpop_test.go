package api_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/clients/api"
)

// TestBoundTokenWithItsKey: every algorithm, and the scheme in any letters.
func TestBoundTokenWithItsKey(t *testing.T) {
	b := newBench(t)
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, "Ed25519", jose.PS256} {
		h := newHolder(t, alg)
		token := h.token(t, b)
		for _, scheme := range []string{"DPoP", "dpop", "dPOP"} {
			resp := b.present(t, scheme, token, h.proof(t, token, nil, nil))
			if got := decode(t, resp); resp.StatusCode != http.StatusOK || got["jkt"] != h.thumbprint(t) || got["sub"] != "alice-1" {
				t.Errorf("%s, %s: status %d: %v", alg, scheme, resp.StatusCode, got)
			}
		}
	}
}

// TestProofRefused: each check, with just its input made wrong. RFC 9449 §4.3.
func TestProofRefused(t *testing.T) {
	b := newBench(t)
	h, other := newHolder(t, jose.ES256), newHolder(t, jose.ES256)
	token := h.token(t, b)
	good := func() string { return h.proof(t, token, nil, nil) }
	changed := func(change claims) []string { return []string{h.proof(t, token, nil, change)} }
	header := func(change claims) []string { return []string{h.proof(t, token, change, nil)} }
	parts := strings.Split(good(), ".")
	rsaSigner := newHolder(t, jose.RS256)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for _, tt := range []struct {
		name   string
		proofs []string
		want   error
	}{
		{"none", nil, api.ErrProofMissing},
		{"two", []string{good(), good()}, api.ErrProofTwice},
		{"empty", []string{""}, api.ErrProofMalformed},
		{"no JWT", []string{"proof"}, api.ErrProofMalformed},
		{"two in one header", []string{good() + ", " + good()}, api.ErrProofMalformed},
		{"too long", changed(claims{"x": strings.Repeat("x", 9000)}), api.ErrProofMalformed},
		{"no typ", header(claims{"typ": nil}), api.ErrProofType},
		{"typ of an access token", header(claims{"typ": "at+jwt"}), api.ErrProofType},
		{"no alg", []string{rewritten(t, good(), "alg", nil)}, api.ErrProofAlgorithm},
		{"alg none", []string{strings.TrimSuffix(rewritten(t, good(), "alg", "none"), parts[2])}, api.ErrProofAlgorithm},
		{"alg RS256", []string{rsaSigner.proof(t, token, nil, nil)}, api.ErrProofAlgorithm},
		{"alg HS256", []string{rewritten(t, good(), "alg", "HS256")}, api.ErrProofAlgorithm},
		{"no jwk", header(claims{"jwk": nil}), api.ErrProofKey},
		{"jwk that is none", header(claims{"jwk": "key"}), api.ErrProofKey},
		{"RSA key too short", []string{holder{jose.PS256, short}.proof(t, token, nil, nil)}, api.ErrProofKey},
		{"jwk private", []string{rewritten(t, good(), "jwk", jose.JSONWebKey{Key: h.key})}, api.ErrProofPrivate},
		{"jwk symmetric", []string{rewritten(t, good(), "jwk", claims{"kty": "oct", "k": "AAAA"})}, api.ErrProofPrivate},
		{"jwk of another key", header(claims{"jwk": other.public()}), api.ErrProofSignature},
		{"jwk of another kind", header(claims{"jwk": rsaSigner.public()}), api.ErrProofSignature},
		{"payload changed", []string{parts[0] + "." + strings.Split(good(), ".")[1] + "." + parts[2]}, api.ErrProofSignature},
		{"claims of other types", changed(claims{"jti": 1}), api.ErrProofMalformed},
		{"no htm", changed(claims{"htm": nil}), api.ErrProofMethod},
		{"another htm", changed(claims{"htm": "POST"}), api.ErrProofMethod},
		{"htm in small letters", changed(claims{"htm": "get"}), api.ErrProofMethod},
		{"no htu", changed(claims{"htu": nil}), api.ErrProofURL},
		{"another path", changed(claims{"htu": baseURL + "/api/notes"}), api.ErrProofURL},
		{"another host", changed(claims{"htu": "http://op.example/api/me"}), api.ErrProofURL},
		{"another scheme", changed(claims{"htu": "https://api.example/api/me"}), api.ErrProofURL},
		{"another port", changed(claims{"htu": baseURL + ":8080/api/me"}), api.ErrProofURL},
		{"a user name", changed(claims{"htu": "http://me@api.example/api/me"}), api.ErrProofURL},
		{"a slash in disguise", changed(claims{"htu": baseURL + "/api%2Fme"}), api.ErrProofURL},
		{"a path alone", changed(claims{"htu": "/api/me"}), api.ErrProofURL},
		{"no iat", changed(claims{"iat": nil}), api.ErrProofTime},
		{"an hour ago", changed(claims{"iat": now - 3600}), api.ErrProofTime},
		{"in an hour", changed(claims{"iat": now + 3600}), api.ErrProofTime},
		{"expired", changed(claims{"exp": now - 11}), api.ErrProofExpired},
		{"exp as text", changed(claims{"exp": "tomorrow"}), api.ErrProofMalformed},
		{"not valid yet", changed(claims{"nbf": now + 60}), api.ErrProofNotYet},
		{"nbf as text", changed(claims{"nbf": "now"}), api.ErrProofMalformed},
		{"no jti", changed(claims{"jti": nil}), api.ErrProofID},
		{"jti too long", changed(claims{"jti": strings.Repeat("x", 257)}), api.ErrProofID},
		{"no ath", changed(claims{"ath": nil}), api.ErrProofToken},
		{"ath of another token", []string{h.proof(t, h.token(t, b)+"x", nil, nil)}, api.ErrProofToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantRefused(t, b.present(t, "DPoP", token, tt.proofs...), "invalid_dpop_proof", tt.want)
		})
	}
	if resp := b.present(t, "DPoP", token, good()); resp.StatusCode != http.StatusOK {
		t.Errorf("control: status %d", resp.StatusCode)
	}
	if strings.Contains(b.log.String(), token) || strings.Contains(b.log.String(), parts[1]) {
		t.Error("a token or a proof stands in the log")
	}
}

// TestBoundTokenWithoutItsKey: RFC 9449 §7.1, §7.2.
func TestBoundTokenWithoutItsKey(t *testing.T) {
	b := newBench(t)
	h, other := newHolder(t, jose.ES256), newHolder(t, jose.ES256)
	token := h.token(t, b)
	wantRefused(t, b.present(t, "Bearer", token), "invalid_token", api.ErrBound)
	wantRefused(t, b.present(t, "Bearer", token, h.proof(t, token, nil, nil)), "invalid_token", api.ErrBound)
	wantRefused(t, b.present(t, "DPoP", token, other.proof(t, token, nil, nil)), "invalid_token", api.ErrOtherKey)

	unbound := b.provider.token(t, nil)
	wantRefused(t, b.present(t, "DPoP", unbound, h.proof(t, unbound, nil, nil)), "invalid_token", api.ErrNotBound)
	if resp := b.present(t, "Bearer", unbound, "not looked at"); resp.StatusCode != http.StatusOK {
		t.Errorf("a bearer token: status %d", resp.StatusCode)
	}
	expired := b.provider.token(t, claims{"cnf": claims{"jkt": h.thumbprint(t)}, "exp": time.Now().Unix() - 60})
	wantRefused(t, b.present(t, "DPoP", expired, h.proof(t, expired, nil, nil)), "invalid_token", api.ErrExpired)
}

// TestTokenBoundToSomethingElse: what this server cannot check, it refuses
// (RFC 7800 §3.1).
func TestTokenBoundToSomethingElse(t *testing.T) {
	b := newBench(t)
	for name, cnf := range map[string]claims{"a certificate": {"x5t#S256": "x"}, "nothing": {}, "an empty thumbprint": {"jkt": ""}} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.api.Verify(t.Context(), b.provider.token(t, claims{"cnf": cnf})); !errors.Is(err, api.ErrBinding) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestProofURLsThatMeanTheSame: RFC 9449 §4.3, RFC 3986 §6.2.
func TestProofURLsThatMeanTheSame(t *testing.T) {
	b := newBench(t)
	h := newHolder(t, jose.ES256)
	token := h.token(t, b)
	for _, htu := range []string{
		"HTTP://API.Example/api/me", "http://api.example:80/api/me", "http://api.example:/api/me", baseURL + "/api/me?a=b", baseURL + "/api/me#a",
		baseURL + "/a/../api/./me", baseURL + "/%61pi/me",
	} {
		if resp := b.present(t, "DPoP", token, h.proof(t, token, nil, claims{"htu": htu})); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %v", htu, resp.StatusCode, decode(t, resp))
		}
	}
	// The Host header does not say who this server is.
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://evil.example/api/me", nil)
	req.Header.Set("Authorization", "DPoP "+token)
	req.Header.Set("DPoP", h.proof(t, token, nil, claims{"htu": "http://evil.example/api/me"}))
	wantRefused(t, b.do(req), "invalid_dpop_proof", api.ErrProofURL)
}

// TestServerWithoutAName: where the configuration does not say who this server
// is, no proof can be for it.
func TestServerWithoutAName(t *testing.T) {
	b := newBench(t)
	nameless, err := api.New(api.Config{
		Issuers: []api.Issuer{{URL: providerURL, Audience: audience}}, DBPath: t.TempDir() + "/api.db",
		HTTPClient: &http.Client{Transport: network{providerURL: b.provider}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nameless.Close() })
	b.api = nameless
	h := newHolder(t, jose.ES256)
	token := h.token(t, b)
	for _, htu := range []string{"/api/me", baseURL + "/api/me", ""} {
		wantRefused(t, b.present(t, "DPoP", token, h.proof(t, token, nil, claims{"htu": htu})), "invalid_dpop_proof", api.ErrProofURL)
	}
	if resp := b.present(t, "Bearer", b.provider.token(t, nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("a bearer token: status %d", resp.StatusCode)
	}
}

// TestProofIsUsedOnce: for as long as it could be used, and by one of many.
func TestProofIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		h, other := newHolder(t, jose.ES256), newHolder(t, jose.ES256)
		token, another := h.token(t, b), other.token(t, b)
		same := claims{"jti": "one", "iat": time.Now().Add(api.Leeway).Unix()}
		proof := h.proof(t, token, nil, same)
		answers := make([]*http.Response, 64)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = b.present(t, "DPoP", token, proof) })
		}
		all.Wait()
		won := 0
		for _, resp := range answers {
			if resp.StatusCode == http.StatusOK {
				won++
				continue
			}
			wantRefused(t, resp, "invalid_dpop_proof", api.ErrProofUsed)
		}
		if won != 1 {
			t.Errorf("%d of %d succeeded, want exactly one", won, len(answers))
		}
		// Another client may choose the same jti.
		if resp := b.present(t, "DPoP", another, other.proof(t, another, nil, same)); resp.StatusCode != http.StatusOK {
			t.Errorf("the jti of another: status %d", resp.StatusCode)
		}
		for range 7 {
			wantRefused(t, b.present(t, "DPoP", token, proof), "invalid_dpop_proof", api.ErrProofUsed)
			time.Sleep(10*time.Second - time.Millisecond)
		}
		time.Sleep(time.Second)
		wantRefused(t, b.present(t, "DPoP", token, proof), "invalid_dpop_proof", api.ErrProofTime)
	})
}

// TestProofAge: the window, to the second.
func TestProofAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		h := newHolder(t, jose.ES256)
		time.Sleep(2 * time.Minute) // so that no proof is older than the server
		token := h.token(t, b)
		for age, status := range map[time.Duration]int{
			-11 * time.Second: 401, -10 * time.Second: 200, 10 * time.Second: 200, 59 * time.Second: 200, 60 * time.Second: 401,
		} {
			if resp := b.present(t, "DPoP", token, h.proof(t, token, nil, claims{"iat": time.Now().Add(-age).Unix()})); resp.StatusCode != status {
				t.Errorf("%s old: status %d", age, resp.StatusCode)
			}
		}
	})
}

// TestProofsOwnLimits: exp and nbf, where a proof has them, to the second.
func TestProofsOwnLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		h := newHolder(t, jose.ES256)
		token := h.token(t, b)
		for _, tt := range []struct {
			claim  string
			from   time.Duration // now
			status int
		}{
			{"exp", -api.Leeway, 401},
			{"exp", time.Second - api.Leeway, 200},
			{"exp", time.Hour, 200},
			{"nbf", api.Leeway + time.Second, 401},
			{"nbf", api.Leeway, 200},
			{"nbf", -time.Hour, 200},
		} {
			proof := h.proof(t, token, nil, claims{tt.claim: time.Now().Add(tt.from).Unix()})
			if resp := b.present(t, "DPoP", token, proof); resp.StatusCode != tt.status {
				t.Errorf("%s %s from now: status %d, want %d", tt.claim, tt.from, resp.StatusCode, tt.status)
			}
		}
	})
}

// TestProofOlderThanTheServer: what was used before a restart is not known after
// it, so it is refused.
func TestProofOlderThanTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		h := newHolder(t, jose.ES256)
		token := h.token(t, b)
		proof := h.proof(t, token, nil, nil)
		if resp := b.present(t, "DPoP", token, proof); resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
		time.Sleep(2 * time.Second)
		b.open(t, t.TempDir()+"/api.db")
		wantRefused(t, b.present(t, "DPoP", token, proof), "invalid_dpop_proof", api.ErrProofUsed)
		if resp := b.present(t, "DPoP", token, h.proof(t, token, nil, nil)); resp.StatusCode != http.StatusOK {
			t.Errorf("a new one: status %d", resp.StatusCode)
		}
	})
}

// TestScopeOfABoundToken: the challenge is that of the scheme in use.
func TestScopeOfABoundToken(t *testing.T) {
	b := newBench(t)
	h := newHolder(t, jose.ES256)
	token := b.provider.token(t, claims{"cnf": claims{"jkt": h.thumbprint(t)}, "scope": "openid"})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/notes", nil)
	req.Header.Set("Authorization", "DPoP "+token)
	req.Header.Set("DPoP", h.proof(t, token, nil, claims{"htu": baseURL + "/api/notes"}))
	resp := b.do(req)
	got := resp.Header.Values("WWW-Authenticate")
	if resp.StatusCode != http.StatusForbidden || len(got) != 1 || !strings.HasPrefix(got[0], `DPoP realm="oidclab", error="insufficient_scope"`) {
		t.Errorf("status %d, challenges %q", resp.StatusCode, got)
	}
}

// TestBothSchemesAreOffered: to who brings no token, without an error code.
func TestBothSchemesAreOffered(t *testing.T) {
	b := newBench(t)
	got := b.call(t, "GET", "/api/me", "", "").Header.Values("WWW-Authenticate")
	if len(got) != 2 || got[0] != `Bearer realm="oidclab"` || got[1] != `DPoP realm="oidclab", algs="ES256 Ed25519 EdDSA PS256"` {
		t.Errorf("challenges %q", got)
	}
}

// TestPagesMaySendProofs: CORS lets the header through.
func TestPagesMaySendProofs(t *testing.T) {
	b := newBench(t)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/api/me", nil)
	req.Header.Set("Origin", pageOrigin)
	h := b.do(req).Header
	if got := h.Get("Access-Control-Allow-Headers"); got != "Authorization, Content-Type, DPoP" {
		t.Errorf("allowed %q", got)
	}
	if got := h.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "WWW-Authenticate") {
		t.Errorf("exposed %q", got)
	}
}
