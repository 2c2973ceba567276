package provider_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

func TestRefreshRotates(t *testing.T) {
	op := providertest.Start(t, nil)
	first := tokensFor(t, op, codeRequest())
	second := postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")), nil)
	if second.Status != http.StatusOK {
		t.Fatal(second.Raw)
	}
	if second.text("refresh_token") == first.text("refresh_token") || second.text("access_token") == first.text("access_token") {
		t.Error("the refresh brought the same tokens")
	}
	before, after := claimsOf(t, first.text("id_token")), claimsOf(t, second.text("id_token"))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "sid"} { // OIDC Core §12.2
		if before[name] != after[name] {
			t.Errorf("%s changed from %v to %v", name, before[name], after[name])
		}
	}
	if _, ok := after["nonce"]; ok {
		t.Error("a refreshed ID token carries the nonce")
	}
	for i, token := range []string{first.text("access_token"), second.text("access_token")} {
		if info := get(t, op.URL()+"/userinfo", bearer(token)); info.Status != http.StatusOK {
			t.Errorf("access token %d: %d %s", i, info.Status, info.Raw)
		}
	}
}

// TestRefreshReuseKillsTheFamily: RFC 9700 §4.14.2.
func TestRefreshReuseKillsTheFamily(t *testing.T) {
	op := providertest.Start(t, nil)
	first := tokensFor(t, op, codeRequest())
	second := postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")), nil)
	wantError(t, postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")), nil), 400, "invalid_grant")
	wantError(t, postForm(t, op.URL()+"/token", refreshRequest(second.text("refresh_token")), nil), 400, "invalid_grant")
	for i, token := range []string{first.text("access_token"), second.text("access_token")} {
		if info := get(t, op.URL()+"/userinfo", bearer(token)); info.Status != http.StatusUnauthorized {
			t.Errorf("access token %d survives: %d", i, info.Status)
		}
	}
}

func TestCodeReuseKillsTheFamily(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, responseType := range []string{"code", "code token"} {
		t.Run(responseType, func(t *testing.T) {
			got := signIn(t, op, codeRequest().with(params{"response_type": responseType}))
			tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil)
			wantError(t, postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil), 400, "invalid_grant")
			for _, token := range []string{tokens.text("access_token"), got.Get("access_token")} {
				if token == "" {
					continue
				}
				if info := get(t, op.URL()+"/userinfo", bearer(token)); info.Status != http.StatusUnauthorized {
					t.Errorf("an access token survives: %d", info.Status)
				}
			}
			wantError(t, postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil), 400, "invalid_grant")
		})
	}
}

// TestRefreshScope: RFC 6749 §6.
func TestRefreshScope(t *testing.T) {
	op := providertest.Start(t, nil)
	tokens := tokensFor(t, op, codeRequest())
	refresh := func(scope string) answer {
		t.Helper()
		a := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(params{"scope": scope}), nil)
		if a.Status == http.StatusOK {
			tokens = a
		}
		return a
	}
	t.Run("wider", func(t *testing.T) { wantError(t, refresh("openid phone"), 400, "invalid_scope") })
	t.Run("unknown", func(t *testing.T) { wantError(t, refresh("openid nonsense"), 400, "invalid_scope") })
	t.Run("narrower", func(t *testing.T) {
		a := refresh("openid profile")
		if a.text("scope") != "openid profile" || claimsOf(t, a.text("access_token"))["scope"] != "openid profile" {
			t.Errorf("%s", a.Raw)
		}
		info := get(t, op.URL()+"/userinfo", bearer(a.text("access_token")))
		if info.Body["email"] != nil || info.Body["name"] == nil {
			t.Errorf("userinfo: %s", info.Raw)
		}
	})
	t.Run("twice is once", func(t *testing.T) {
		if a := refresh("openid profile openid"); a.text("scope") != "openid profile" {
			t.Errorf("scope %q", a.text("scope"))
		}
	})
	t.Run("without openid there is no ID token", func(t *testing.T) {
		a := refresh("profile")
		if _, ok := a.Body["id_token"]; ok || a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Raw)
		}
	})
	t.Run("the next refresh has all of it again", func(t *testing.T) {
		if a := refresh(""); a.text("scope") != "openid profile email offline_access" {
			t.Errorf("scope %q", a.text("scope"))
		}
	})
}

func TestRefreshChecksEveryInput(t *testing.T) {
	op := providertest.Start(t, nil)
	tokens := tokensFor(t, op, codeRequest())
	for _, tt := range []struct {
		name   string
		change params
		auth   func(*http.Request)
		status int
		want   string
	}{
		{"token missing", params{"refresh_token": ""}, nil, 400, "invalid_request"},
		{"token changed but for its signature", params{"refresh_token": tamper(tokens.text("refresh_token"), 0)}, nil, 400, "invalid_grant"},
		{"token unknown", params{"refresh_token": "abc.def"}, nil, 400, "invalid_grant"},
		{"token without a signature", params{"refresh_token": "abc"}, nil, 400, "invalid_grant"},
		{"an access token", params{"refresh_token": tokens.text("access_token")}, nil, 400, "invalid_grant"},
		{"another client's", params{"client_id": ""}, asWeb, 400, "invalid_grant"},
		{"client missing", params{"client_id": ""}, nil, 401, "invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(tt.change), tt.auth), tt.status, tt.want)
		})
	}
	// The control, and that none of these killed the family.
	if a := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil); a.Status != http.StatusOK {
		t.Errorf("the untouched request: %d %s", a.Status, a.Raw)
	}
}

// TestReuseIsLogged: a theft shows by it, so an operator must see it.
func TestReuseIsLogged(t *testing.T) {
	var log bytes.Buffer
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}})
	tokens := tokensFor(t, op, codeRequest())
	postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil)
	if log.Len() > 0 {
		t.Errorf("before the reuse: %s", log.String())
	}
	postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil)
	if !strings.Contains(log.String(), "its grant is revoked") {
		t.Errorf("after the reuse: %q", log.String())
	}
}

// TestNothingForWhoIsNotRegisteredAnyMore: a user or a client that was taken out
// of the configuration gets no further tokens for what was granted before.
func TestNothingForWhoIsNotRegisteredAnyMore(t *testing.T) {
	op := providertest.Start(t, nil)
	onlyBob, onlyWeb := provider.SeedUsers()[1:], providertest.DefaultClients()[1:]
	tokens := tokensFor(t, op, codeRequest())
	code := signIn(t, op, codeRequest()).Get("code")
	for _, tt := range []struct {
		name    string
		clients []provider.Client
		users   []provider.User
		status  int
		want    string
	}{
		{"the user", nil, onlyBob, 400, "invalid_grant"},
		{"the client", onlyWeb, nil, 401, "invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after := sameStore(t, op, tt.clients, tt.users)
			wantError(t, after.token(t, redeem(code)), tt.status, tt.want)
			wantError(t, after.token(t, refreshRequest(tokens.text("refresh_token"))), tt.status, tt.want)
			if got := after.userinfo(t, tokens.text("access_token")); got != http.StatusUnauthorized {
				t.Errorf("userinfo: %d", got)
			}
		})
	}
	// The control: with both registered, all of it works.
	again := sameStore(t, op, nil, nil)
	if a := again.token(t, redeem(code)); a.Status != http.StatusOK {
		t.Errorf("redeem: %d %s", a.Status, a.Raw)
	}
	if a := again.token(t, refreshRequest(tokens.text("refresh_token"))); a.Status != http.StatusOK {
		t.Errorf("refresh: %d %s", a.Status, a.Raw)
	}
}
