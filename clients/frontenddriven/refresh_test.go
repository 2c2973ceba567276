package frontenddriven_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/internal/records"
)

func TestRefreshRotatesBothAndBringsTheLatestClaims(t *testing.T) {
	b := newBench(t)
	first := b.login(t)
	b.op.set(func(o *op) { o.user["name"] = "Alice Hargreaves" })

	second := b.refresh(t, first.str("refresh_token"))
	if second.status != http.StatusOK {
		t.Fatal(second.text)
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		if second.str(name) == first.str(name) {
			t.Errorf("the same %s again", name)
		}
	}
	if got := second.body["user"].(claims)["name"]; got != "Alice Hargreaves" {
		t.Errorf("user %v", got)
	}
	if _, access := b.verified(t, second.str("access_token")); access["name"] != "Alice Hargreaves" || access["sub"] != "alice-1" {
		t.Errorf("access token %v", access)
	}
	if diff := cmp.Diff(keysOf(first.body), keysOf(second.body)); diff != "" {
		t.Errorf("the answers differ in shape: %s", diff)
	}
	if b.op.alive() != 1 {
		t.Errorf("%d grants alive", b.op.alive())
	}
	for _, secret := range b.op.seen {
		if strings.Contains(second.text, secret) {
			t.Errorf("the answer holds the provider's %s", secret)
		}
	}
	if third := b.refresh(t, second.str("refresh_token")); third.status != http.StatusOK {
		t.Errorf("third: %s", third.text)
	}
}

func keysOf(m claims) map[string]bool {
	names := map[string]bool{}
	for name := range maps.Keys(m) {
		names[name] = true
	}
	return names
}

// F1: reuse ends the family, the pair that is in use included, and the
// provider's refresh token with it.
func TestReuseEndsTheFamily(t *testing.T) {
	b := newBench(t)
	first := b.login(t)
	second := b.refresh(t, first.str("refresh_token"))

	wantRefusal(t, b.refresh(t, first.str("refresh_token")), 401, "invalid_grant", "used before")
	wantRefusal(t, b.refresh(t, second.str("refresh_token")), 401, "invalid_grant", "has ended")
	if b.op.alive() != 0 || len(b.op.revoked) != 1 {
		t.Errorf("at the provider: alive %d, revoked %d", b.op.alive(), len(b.op.revoked))
	}
	if strings.Count(b.log.String(), "refresh token reused") != 1 {
		t.Error("the log says nothing about it")
	}
	// Another login of the same user goes on.
	if a := b.refresh(t, b.login(t).str("refresh_token")); a.status != http.StatusOK {
		t.Errorf("another login: %s", a.text)
	}
}

// Reuse ends the family here even if the provider cannot be told.
func TestReuseWhileTheProviderIsDown(t *testing.T) {
	b := newBench(t)
	first := b.login(t)
	second := b.refresh(t, first.str("refresh_token"))
	b.op.set(func(o *op) { o.down = true })
	wantRefusal(t, b.refresh(t, first.str("refresh_token")), 401, "invalid_grant", "used before")
	b.op.set(func(o *op) { o.down = false })
	wantRefusal(t, b.refresh(t, second.str("refresh_token")), 401, "invalid_grant", "has ended")
}

// F2: of parallel requests with one refresh token exactly one succeeds; the
// others are reuse.
func TestParallelRefresh(t *testing.T) {
	for range 10 {
		b := newBench(t)
		token := b.login(t).str("refresh_token")
		statuses := make(chan int, 20)
		var wg sync.WaitGroup
		for range cap(statuses) {
			wg.Go(func() {
				w := httptest.NewRecorder()
				req := httptest.NewRequestWithContext(t.Context(), "POST", "/auth/refresh", nil)
				req.Header.Set("Authorization", "Bearer "+token)
				b.app.Backend().ServeHTTP(w, req)
				statuses <- w.Code
			})
		}
		wg.Wait()
		close(statuses)
		count := map[int]int{}
		for status := range statuses {
			count[status]++
		}
		if diff := cmp.Diff(map[int]int{200: 1, 401: 19}, count); diff != "" {
			t.Error(diff)
		}
		if b.op.alive() != 0 {
			t.Error("the reused family's grant is alive at the provider")
		}
	}
}

// F3: a renewal never moves the end.
func TestFamilyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		a := b.login(t)
		_, first := b.verified(t, a.str("refresh_token"))
		end := first["exp"].(float64)
		for range 3 {
			time.Sleep(3*time.Hour + 58*time.Minute)
			a = b.refresh(t, a.str("refresh_token"))
			if a.status != http.StatusOK {
				t.Fatal(a.text)
			}
			_, refresh := b.verified(t, a.str("refresh_token"))
			_, access := b.verified(t, a.str("access_token"))
			if refresh["exp"] != end || access["exp"].(float64) > end || access["exp"].(float64)-access["iat"].(float64) > 300 {
				t.Errorf("refresh token until %v, access token until %v, end %v", refresh["exp"], access["exp"], end)
			}
		}
		// Six minutes are left, then four.
		time.Sleep(2 * time.Minute)
		if a = b.refresh(t, a.str("refresh_token")); a.body["expires_in"] != 240.0 || a.body["refresh_expires_in"] != 240.0 {
			t.Errorf("expires_in %v, %v", a.body["expires_in"], a.body["refresh_expires_in"])
		}
		time.Sleep(4 * time.Minute)
		wantRefusal(t, b.refresh(t, a.str("refresh_token")), 401, "invalid_grant", "expired")
		b.app.Close()
	})
}

// L3, one half: a provider that is merely down uses nothing up and ends nothing.
func TestRefreshWhileTheProviderIsDown(t *testing.T) {
	for name, fail := range map[string]func(*op){
		"refuses connections":     func(o *op) { o.down = true },
		"500":                     func(o *op) { o.fail["/token"] = answering(500, "text/plain", "boom") },
		"500 with an OAuth error": func(o *op) { o.fail["/token"] = answering(500, "application/json", `{"error":"invalid_grant"}`) },
		"503": func(o *op) {
			o.fail["/token"] = answering(503, "application/json", `{"error":"temporarily_unavailable"}`)
		},
		"429":                    func(o *op) { o.fail["/token"] = answering(429, "text/plain", "") },
		"a proxy's page":         func(o *op) { o.fail["/token"] = answering(404, "text/html", "<p>not here") },
		"200 and a page":         func(o *op) { o.fail["/token"] = answering(200, "text/html", "<p>captive portal") },
		"200 and half an answer": func(o *op) { o.fail["/token"] = answering(200, "application/json", `{"access_`) },
		"400 server_error":       func(o *op) { o.fail["/token"] = answering(400, "application/json", `{"error":"server_error"}`) },
		"a redirect":             func(o *op) { o.fail["/token"] = http.RedirectHandler(opURL+"/maintenance", http.StatusFound).ServeHTTP },
		"userinfo 502":           func(o *op) { o.fail["/userinfo"] = answering(502, "text/plain", "") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			token := b.login(t).str("refresh_token")
			b.op.set(fail)
			for range 3 {
				wantRefusal(t, b.refresh(t, token), 503, "temporarily_unavailable", "Nothing was ended")
			}
			b.op.set(func(o *op) { o.down, o.fail = false, map[string]http.HandlerFunc{} })
			if a := b.refresh(t, token); a.status != http.StatusOK {
				t.Errorf("the same token when the provider is back: %d %s", a.status, a.text)
			}
			if len(b.op.revoked) != 0 {
				t.Error("something was revoked")
			}
			if b.op.calls["/maintenance"] != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

// A refusal that is not about the grant is the operator's to repair.
func TestRefreshRefusedForAnotherReason(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	b.op.set(func(o *op) { o.fail["/token"] = answering(401, "application/json", `{"error":"invalid_client"}`) })
	wantRefusal(t, b.refresh(t, token), 502, "server_error", "invalid_client")
	b.op.set(func(o *op) { o.fail = map[string]http.HandlerFunc{} })
	if a := b.refresh(t, token); a.status != http.StatusOK {
		t.Errorf("after the repair: %s", a.text)
	}
}

// L3, the other half: a grant that the provider ended ends the family.
func TestRefreshOfADeadGrant(t *testing.T) {
	for name, kill := range map[string]func(*op){
		"revoked": func(o *op) {
			for _, g := range o.refresh {
				g.dead = true
			}
		},
		"user refused at UserInfo": func(o *op) { o.fail["/userinfo"] = answering(401, "application/json", "{}") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			token := b.login(t).str("refresh_token")
			b.op.set(kill)
			wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "provider has ended the grant")
			b.op.set(func(o *op) { o.fail = map[string]http.HandlerFunc{} })
			wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "has ended")
		})
	}
}

// Each claim that ties a renewed ID token to the login. OpenID Connect Core §12.2.
func TestRenewedIDToken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change claims
		status int
		ended  bool
	}{
		{"the same login", claims{"nonce": "the-nonce"}, 200, false},
		{"no auth_time", claims{"auth_time": nil}, 200, false},
		{"another user", claims{"sub": "bob-1"}, 502, true},
		{"another nonce", claims{"nonce": "other"}, 502, true},
		{"another auth_time", claims{"auth_time": 1700000001}, 502, true},
		{"an azp that was not there", claims{"azp": "fd"}, 502, true},
		{"another issuer", claims{"iss": "http://evil.example"}, 502, false},
		{"at_hash", claims{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, 502, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			token := b.login(t).str("refresh_token")
			b.op.set(func(o *op) { o.idClaims = tt.change })
			if a := b.refresh(t, token); a.status != tt.status {
				t.Errorf("status %d: %s", a.status, a.text)
			}
			if ended := b.op.alive() == 0; ended != tt.ended {
				t.Errorf("ended: %v", ended)
			}
		})
	}
	t.Run("another aud", func(t *testing.T) {
		b := newBench(t)
		b.op.set(func(o *op) { o.idClaims = claims{"azp": "fd"} })
		token := b.login(t).str("refresh_token")
		b.op.set(func(o *op) { o.idClaims = claims{"azp": "fd", "aud": []string{"fd", "more"}} })
		wantRefusal(t, b.refresh(t, token), 502, "server_error", "another aud")
	})
	t.Run("userinfo of another user", func(t *testing.T) {
		b := newBench(t)
		token := b.login(t).str("refresh_token")
		b.op.set(func(o *op) { o.user = claims{"sub": "bob-1"} })
		wantRefusal(t, b.refresh(t, token), 502, "server_error", "another user")
		wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "has ended")
	})
}

// J1 to J3: what is not a refresh token of this application is none.
func TestWhatIsNoRefreshToken(t *testing.T) {
	b := newBench(t)
	a := b.login(t)
	refresh := a.str("refresh_token")
	_, good := b.verified(t, refresh)
	key := b.signingKey(t)
	with := func(change claims) string {
		c := maps.Clone(good)
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return signed(t, key, "rt+jwt", c)
	}
	forger := jose.JSONWebKey{Key: newECKey(t), KeyID: key.KeyID, Algorithm: "ES256"}
	for _, tt := range []struct{ name, token, code, part string }{
		{"nothing", "", "missing_token", "Authorization"},
		{"no JWT", "opaque", "invalid_grant", "not a JWT"},
		{"no signature", unsigned(t, good), "invalid_grant", "not a JWT"},
		{"HS256", signed(t, jose.JSONWebKey{Key: make([]byte, 32), Algorithm: "HS256"}, "rt+jwt", good), "invalid_grant", "not a JWT"},
		{"access token of the application", a.str("access_token"), "invalid_grant", "typ"},
		{"ID token of the provider", b.op.idToken("x", "n"), "invalid_grant", "not a JWT"},
		{"refresh token of the provider", b.op.secret("refresh"), "invalid_grant", "not a JWT"},
		{"another type", signed(t, key, "JWT", good), "invalid_grant", "typ"},
		{"another key", signed(t, forger, "rt+jwt", good), "invalid_grant", "signature"},
		{"another issuer", with(claims{"iss": "http://evil.example"}), "invalid_grant", "iss"},
		{"another audience", with(claims{"aud": audience}), "invalid_grant", "aud"},
		{"expired", with(claims{"exp": time.Now().Unix() - 1}), "invalid_grant", "expired"},
		{"no expiry", with(claims{"exp": nil}), "invalid_grant", "expired"},
		{"another family", with(claims{"family": "other"}), "invalid_grant", "has ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/auth/refresh", "/auth/logout"} {
				if path == "/auth/logout" && tt.name == "another family" {
					continue // a login that is over may be signed out of once more
				}
				wantRefusal(t, b.post(t, path, tt.token, nil), 401, tt.code, tt.part)
			}
		})
	}
	// None of it did any harm.
	if a := b.refresh(t, with(nil)); a.status != http.StatusOK {
		t.Errorf("the good token: %s", a.text)
	}
}

// signingKey takes the application's key out of its file.
func (b *bench) signingKey(t *testing.T) jose.JSONWebKey {
	t.Helper()
	if err := b.app.Close(); err != nil {
		t.Fatal(err)
	}
	defer b.start(t)
	db, err := records.Open(b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys, err := records.Bucket[jose.JSONWebKey](db, "keys")
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Get("signing")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRestart(t *testing.T) {
	b := newBench(t)
	a := b.login(t)
	before := b.get(t, "/jwks").text
	b.restart(t)
	if after := b.get(t, "/jwks").text; after != before {
		t.Error("another signing key")
	}
	b.verified(t, a.str("access_token"))
	next := b.refresh(t, a.str("refresh_token"))
	if next.status != http.StatusOK {
		t.Fatal(next.text)
	}
	b.restart(t)
	wantRefusal(t, b.refresh(t, a.str("refresh_token")), 401, "invalid_grant", "used before")
	b.restart(t)
	wantRefusal(t, b.refresh(t, next.str("refresh_token")), 401, "invalid_grant", "has ended")
}

// The provider's next refresh token is kept before anything else can fail: a
// backend that dies right after the rotation goes on where it stopped.
func TestRotatedTokenIsKeptAtOnce(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	b.op.set(func(o *op) { o.fail["/userinfo"] = answering(500, "text/plain", "") })
	wantRefusal(t, b.refresh(t, token), 503, "temporarily_unavailable", "")
	b.restart(t)
	b.op.set(func(o *op) { o.fail = map[string]http.HandlerFunc{} })
	if a := b.refresh(t, token); a.status != http.StatusOK {
		t.Errorf("after the restart: %d %s", a.status, a.text)
	}
	if b.op.alive() != 1 {
		t.Error("the provider saw its old refresh token again")
	}
}

// A browser that goes away in the middle does not stop a renewal halfway.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	ctx, cancel := contextWithCancel(t)
	cancel()
	req := httptest.NewRequestWithContext(ctx, "POST", "/auth/refresh", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if a := b.do(t, req); a.status != http.StatusOK {
		t.Errorf("status %d: %s", a.status, a.text)
	}
}
