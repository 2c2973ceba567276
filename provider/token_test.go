package provider_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

func TestTokenChecksEveryInputOfACode(t *testing.T) {
	op := providertest.Start(t, nil)
	other := params{"client_id": providertest.ConfidentialClient}
	tests := []struct {
		name   string
		change params
		auth   func(*http.Request)
		status int
		want   string
	}{
		{"grant_type missing", params{"grant_type": ""}, nil, 400, "invalid_request"},
		{"grant_type unknown", params{"grant_type": "magic"}, nil, 400, "unsupported_grant_type"},
		{"grant_type implicit", params{"grant_type": "implicit"}, nil, 400, "unsupported_grant_type"},
		{"password grant", params{"grant_type": "password"}, nil, 400, "unsupported_grant_type"},
		{"client_id missing", params{"client_id": ""}, nil, 401, "invalid_client"},
		{"client unknown", params{"client_id": "nobody"}, nil, 401, "invalid_client"},
		{"code missing", params{"code": ""}, nil, 400, "invalid_request"},
		{"code unknown", params{"code": "nonsense"}, nil, 400, "invalid_grant"},
		{"code changed but for its signature", params{"code": "changed"}, nil, 400, "invalid_grant"},
		{"code of another client", other, asWeb, 400, "invalid_grant"},
		{"redirect_uri missing", params{"redirect_uri": ""}, nil, 400, "invalid_grant"},
		{"redirect_uri another", params{"redirect_uri": "http://rp.localhost:1/other"}, nil, 400, "invalid_grant"},
		{"verifier missing", params{"code_verifier": ""}, nil, 400, "invalid_grant"},
		{"verifier wrong", params{"code_verifier": strings.Repeat("x", 43)}, nil, 400, "invalid_grant"},
		{"verifier too short", params{"code_verifier": "short"}, nil, 400, "invalid_grant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code := signIn(t, op, codeRequest()).Get("code")
			if tt.change["code"] == "changed" {
				tt.change = params{"code": tamper(code, 0)}
			}
			wantError(t, postForm(t, op.URL()+"/token", redeem(code).with(tt.change), tt.auth), tt.status, tt.want)
			// The control: a refusal spends nothing.
			if a := postForm(t, op.URL()+"/token", redeem(code), nil); a.Status != http.StatusOK {
				t.Errorf("the untouched request: %d %s", a.Status, a.Raw)
			}
		})
	}
}

func TestTokenResponse(t *testing.T) {
	op := providertest.Start(t, nil)
	a := tokensFor(t, op, codeRequest())
	if diff := cmp.Diff([]string{"application/json", "no-store", "no-cache"},
		[]string{a.Header.Get("Content-Type"), a.Header.Get("Cache-Control"), a.Header.Get("Pragma")}); diff != "" {
		t.Error(diff)
	}
	if a.text("token_type") != "Bearer" || a.Body["expires_in"] != float64(600) || a.text("scope") != "openid profile email offline_access" {
		t.Errorf("token_type %q, expires_in %v, scope %q", a.text("token_type"), a.Body["expires_in"], a.text("scope"))
	}
	header, claims := headerOf(t, a.text("access_token")), claimsOf(t, a.text("access_token"))
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" {
		t.Errorf("access token header: %v", header)
	}
	want := map[string]any{"iss": op.URL(), "aud": []any{op.URL()}, "sub": "248289761001", "client_id": "spa", "scope": "openid profile email offline_access"}
	idToken := claimsOf(t, a.text("id_token"))
	for _, name := range []string{"auth_time", "acr", "amr"} { // RFC 9068 §2.2.1: of the same login
		if want[name] = idToken[name]; want[name] == nil {
			t.Errorf("the ID token has no %s", name)
		}
	}
	for name, value := range want {
		if diff := cmp.Diff(value, claims[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestClientAuthentication(t *testing.T) {
	clients := append(providertest.DefaultClients(), provider.Client{
		ID: "poster", Secret: "poster-secret-poster-secret-1234", TokenEndpointAuthMethod: "client_secret_post",
		GrantTypes: []string{"client_credentials"},
	}, provider.Client{
		ID: "odd client:1", Secret: "p%ss w:rd+", TokenEndpointAuthMethod: "client_secret_basic", GrantTypes: []string{"client_credentials"},
	})
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	post := params{"client_id": "poster", "client_secret": "poster-secret-poster-secret-1234"}
	tests := []struct {
		name   string
		body   params
		auth   func(*http.Request)
		status int
		want   string
	}{
		{"basic", nil, asWeb, 200, ""},
		{"basic with the same client_id in the body", params{"client_id": "web"}, asWeb, 200, ""},
		{"basic, form-urlencoded", nil, basic("odd+client%3A1", "p%25ss+w%3Ard%2B"), 200, ""},
		{"post", post, nil, 200, ""},
		{"basic, wrong secret", nil, basic("web", "wrong"), 401, "invalid_client"},
		{"basic, empty secret", nil, basic("web", ""), 401, "invalid_client"},
		{"basic, bad encoding", nil, basic("web", "%zz"), 401, "invalid_client"},
		{"basic, unknown client", nil, basic("nobody", "x"), 401, "invalid_client"},
		{"basic, another client_id in the body", params{"client_id": "poster"}, asWeb, 400, "invalid_request"},
		{"basic and post at once", params{"client_id": "web", "client_secret": providertest.ConfidentialSecret}, asWeb, 400, "invalid_request"},
		{"not a Basic header", nil, bearer("x"), 401, "invalid_client"},
		{"post by a client of basic", params{"client_id": "web", "client_secret": providertest.ConfidentialSecret}, nil, 401, "invalid_client"},
		{"basic by a client of post", nil, basic("poster", "poster-secret-poster-secret-1234"), 401, "invalid_client"},
		{"none by a client of basic", params{"client_id": "web"}, nil, 401, "invalid_client"},
		{"post, wrong secret", post.with(params{"client_secret": "wrong"}), nil, 401, "invalid_client"},
		{"a public client with an empty password", nil, basic("spa", ""), 401, "invalid_client"},
		{"a public client in the body", params{"client_id": "spa"}, nil, 400, "unauthorized_client"},
		{"client assertion", params{"client_assertion_type": "x", "client_assertion": "y"}, nil, 401, "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}.with(tt.body), tt.auth)
			if tt.want == "" {
				if a.Status != http.StatusOK {
					t.Errorf("%d %s", a.Status, a.Raw)
				}
				return
			}
			wantError(t, a, tt.status, tt.want)
			if challenged := strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic "); challenged != (tt.status == 401) {
				t.Errorf("WWW-Authenticate: %q", a.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

// TestParameterWithoutAValue is as if it were not there, RFC 6749 §3.2.
func TestParameterWithoutAValue(t *testing.T) {
	op := providertest.Start(t, nil)
	form := redeem(signIn(t, op, codeRequest()).Get("code")).values().Encode() + "&client_secret=&client_assertion=&scope="
	a := postForm(t, op.URL()+"/token", nil, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	})
	if a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

func TestClientCredentials(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[1].Audience = []string{"https://api.example"}
	opaque := clients[1]
	opaque.ID, opaque.AccessTokenFormat, opaque.Scope = "opaque", "opaque", "notes:read"
	op := providertest.Start(t, &providertest.Options{Clients: append(clients, opaque), Configure: func(c *provider.Config) {
		c.Scopes = []provider.Scope{{Name: "notes:read"}, {Name: "notes:write"}}
	}})
	asOpaque := func(r *http.Request) { r.SetBasicAuth("opaque", providertest.ConfidentialSecret) }
	t.Run("JWT", func(t *testing.T) {
		a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials", "scope": "notes:read"}, asWeb)
		claims := claimsOf(t, a.text("access_token"))
		if claims["sub"] != "web" || claims["client_id"] != "web" || claims["scope"] != "notes:read" || claims["auth_time"] != nil {
			t.Errorf("claims: %v", claims)
		}
		if _, ok := a.Body["refresh_token"]; ok {
			t.Error("a refresh token was issued (RFC 6749 §4.4.3)")
		}
		wantInactiveOrNot(t, op, a.text("access_token"), asWeb, true)
	})
	t.Run("no scope, no claim", func(t *testing.T) {
		a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, asWeb)
		if scope, ok := claimsOf(t, a.text("access_token"))["scope"]; ok {
			t.Errorf("scope %q (RFC 6749 §3.3: at least one)", scope)
		}
	})
	t.Run("opaque", func(t *testing.T) {
		a := postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials"}, asOpaque)
		if strings.Count(a.text("access_token"), ".") != 1 {
			t.Errorf("not opaque: %s", a.Raw)
		}
		wantInactiveOrNot(t, op, a.text("access_token"), asOpaque, true)
	})
	for _, scope := range []string{"openid", "profile", "offline_access"} {
		t.Run("no user, no "+scope, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials", "scope": scope}, asWeb), 400, "invalid_scope")
		})
	}
	t.Run("a scope that is not registered", func(t *testing.T) {
		wantError(t, postForm(t, op.URL()+"/token", params{"grant_type": "client_credentials", "scope": "notes:write"}, asOpaque), 400, "invalid_scope")
	})
}

// wantInactiveOrNot introspects a token.
func wantInactiveOrNot(t *testing.T, op *providertest.Server, token string, auth func(*http.Request), active bool) {
	t.Helper()
	a := postForm(t, op.URL()+"/introspect", params{"token": token}, auth)
	if a.Status != http.StatusOK || a.Body["active"] != active {
		t.Errorf("introspection: %d %s, want active %v", a.Status, a.Raw, active)
	}
}

// TestGrantsThatAClientMayNotUse: the grant must be registered.
func TestGrantsThatAClientMayNotUse(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[1].GrantTypes, clients[1].ResponseTypes = []string{"authorization_code"}, []string{"code"}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	for _, request := range []params{
		{"grant_type": "client_credentials"},
		{"grant_type": "refresh_token", "refresh_token": "x"},
	} {
		t.Run(request["grant_type"], func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/token", request, asWeb), 400, "unauthorized_client")
		})
	}
}

// The tests of expiry run on synctest's clock, in process: nothing waits.

func TestCodeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := providertest.DefaultClients()
		own[0].Lifetimes = &provider.Lifetimes{Code: provider.Duration(90 * time.Second)}
		for _, tt := range []struct {
			clients []provider.Client
			age     time.Duration
			want    int
		}{{nil, 59 * time.Second, 200}, {nil, 60 * time.Second, 400}, {own, 89 * time.Second, 200}, {own, 90 * time.Second, 400}} {
			op := serving(t, provider.Config{Clients: tt.clients})
			code := op.code(t)
			time.Sleep(tt.age)
			if a := op.token(t, redeem(code)); a.Status != tt.want || tt.want == 400 && a.text("error") != "invalid_grant" {
				t.Errorf("after %v: %d %s", tt.age, a.Status, a.Raw)
			}
		}
	})
}

// slowStore takes a minute to find a code.
type slowStore struct{ storage.Store }

func (s slowStore) Code(ctx context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
	code, grant, err := s.Store.Code(ctx, id)
	time.Sleep(time.Minute)
	return code, grant, err
}

// TestCodeExpiresMeanwhile: also a code that expires under way is invalid_grant.
func TestCodeExpiresMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{Store: slowStore{storagetest.NewModel()}})
		code := op.code(t)
		time.Sleep(30 * time.Second)
		wantError(t, op.token(t, redeem(code)), 400, "invalid_grant")
	})
}

func TestAccessTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		access := op.token(t, redeem(op.code(t))).text("access_token")
		for _, step := range []struct {
			pass time.Duration
			want int
		}{{9*time.Minute + 58*time.Second, 200}, {3 * time.Second, 401}} {
			time.Sleep(step.pass)
			if got := op.userinfo(t, access); got != step.want {
				t.Errorf("userinfo after another %v: %d, want %d", step.pass, got, step.want)
			}
		}
	})
}

func TestRefreshTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		idle := op.token(t, redeem(op.code(t))).text("refresh_token")
		time.Sleep(24*time.Hour + time.Second)
		wantError(t, op.token(t, refreshRequest(idle)), 400, "invalid_grant")
	})
}

// TestRefreshNeverExtendsTheFamily: RFC 9700 §4.14.2. fosite would extend it.
func TestRefreshNeverExtendsTheFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		refresh := op.token(t, redeem(op.code(t))).text("refresh_token")
		var lived time.Duration
		for lived < 40*24*time.Hour {
			time.Sleep(23 * time.Hour)
			a := op.token(t, refreshRequest(refresh))
			if a.Status != http.StatusOK {
				wantError(t, a, 400, "invalid_grant")
				break
			}
			lived += 23 * time.Hour
			refresh = a.text("refresh_token")
		}
		if lived < 28*24*time.Hour || lived > 30*24*time.Hour {
			t.Errorf("the family lived %v, want almost 30 days", lived)
		}
	})
}

func TestSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		op.code(t)
		silent := codeRequest().with(params{"prompt": "none"})
		for _, step := range []struct {
			pass time.Duration
			want string
		}{{8*time.Hour - time.Minute, ""}, {2 * time.Minute, "login_required"}} {
			time.Sleep(step.pass)
			if got := op.authorize(t, silent).Get("error"); got != step.want {
				t.Errorf("error %q after another %v, want %q", got, step.pass, step.want)
			}
		}
	})
}
