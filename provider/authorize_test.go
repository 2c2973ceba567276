package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// allResponseTypes and where their answers belong, OAuth 2.0 Multiple Response
// Types §5.
var allResponseTypes = []struct{ name, place string }{
	{"code", "query"},
	{"id_token", "fragment"},
	{"id_token token", "fragment"},
	{"code id_token", "fragment"},
	{"code token", "fragment"},
	{"code id_token token", "fragment"},
}

func TestAuthorizeAnswersEveryResponseType(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, rt := range allResponseTypes {
		t.Run(rt.name, func(t *testing.T) {
			callback := providertest.NewBrowser(t).SignIn(authorizeURL(op, codeRequest().with(params{"response_type": rt.name})), "alice", "alice")
			got := onlyIn(t, callback, rt.place)
			want := map[string]bool{
				"code": strings.Contains(rt.name, "code"), "access_token": strings.HasSuffix(rt.name, " token"),
				"id_token": strings.Contains(rt.name, "id_token"), "state": true, "iss": true, "error": false,
			}
			for name, present := range want {
				if got.Has(name) != present {
					t.Errorf("%s present: %v, want %v in %v", name, got.Has(name), present, keysOf(got))
				}
			}
			if got.Get("iss") != op.URL() || got.Get("state") != "state-0123456789" {
				t.Errorf("iss %q, state %q", got.Get("iss"), got.Get("state"))
			}
			if want["access_token"] && (got.Get("token_type") != "Bearer" || got.Get("expires_in") == "") {
				t.Errorf("token_type %q, expires_in %q", got.Get("token_type"), got.Get("expires_in"))
			}
			if want["id_token"] {
				checkFrontChannelIDToken(t, op, got)
			}
			if want["access_token"] {
				if info := get(t, op.URL()+"/userinfo", bearer(got.Get("access_token"))); info.Status != http.StatusOK {
					t.Errorf("userinfo: %d %s", info.Status, info.Raw)
				}
			}
			if want["code"] {
				if a := postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil); a.Status != http.StatusOK {
					t.Errorf("redeem: %d %s", a.Status, a.Raw)
				}
			}
		})
	}
}

// checkFrontChannelIDToken checks what OIDC Core §3.2.2.10 and §3.3.2.11 ask of
// an ID token that comes through the browser.
func checkFrontChannelIDToken(t *testing.T, op *providertest.Server, got url.Values) {
	t.Helper()
	claims := claimsOf(t, got.Get("id_token"))
	for name, value := range map[string]any{"iss": op.URL(), "aud": providertest.PublicClient, "nonce": "nonce-0123456789", "sub": "248289761001"} {
		if claims[name] != value {
			t.Errorf("%s: %v, want %v", name, claims[name], value)
		}
	}
	for hash, parameter := range map[string]string{"at_hash": "access_token", "c_hash": "code"} {
		var want any
		if value := got.Get(parameter); value != "" {
			sum := sha256.Sum256([]byte(value))
			want = base64.RawURLEncoding.EncodeToString(sum[:16])
		}
		if claims[hash] != want {
			t.Errorf("%s: %v, want %v", hash, claims[hash], want)
		}
	}
	if _, leaked := claims["rat"]; leaked {
		t.Error("the ID token holds fosite's claim rat")
	}
	// Scope claims belong into the ID token only if no access token can fetch them.
	_, email := claims["email"]
	if alone := !got.Has("access_token") && !got.Has("code"); email != alone {
		t.Errorf("email in the ID token: %v, want %v", email, alone)
	}
}

func TestAuthorizeErrorsGoWhereTheSpecificationSays(t *testing.T) {
	op := providertest.Start(t, nil)
	tests := []struct {
		name   string
		change params
		want   string
	}{
		{"unknown prompt", params{"prompt": "dance"}, "invalid_request"},
		{"prompt none with another", params{"prompt": "none login"}, "invalid_request"},
		{"max_age not a number", params{"max_age": "soon"}, "invalid_request"},
		{"max_age negative", params{"max_age": "-1"}, "invalid_request"},
		{"foreign id_token_hint", params{"id_token_hint": "e30.e30.e30"}, "invalid_request"},
		{"request object", params{"request": "e30.e30."}, "invalid_request_object"},
		{"request_uri", params{"request_uri": "https://rp.example/request"}, "invalid_request_uri"},
		{"registration", params{"registration": "{}"}, "registration_not_supported"},
		{"unknown response_mode", params{"response_mode": "carrier-pigeon"}, "invalid_request"},
	}
	for _, rt := range allResponseTypes {
		for _, tt := range tests {
			t.Run(rt.name+"/"+tt.name, func(t *testing.T) {
				page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"response_type": rt.name}).with(tt.change)))
				wantRedirectError(t, op, page, rt.place, tt.want)
			})
		}
		t.Run(rt.name+"/prompt none, nobody signed in", func(t *testing.T) {
			page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"response_type": rt.name, "prompt": "none"})))
			if page.Callback == nil {
				t.Fatalf("no redirect but %d:\n%s", page.Status, page.Body)
			}
			got := onlyIn(t, page.Callback, rt.place)
			wantSessionState(t, got.Get("session_state"), "http://rp.localhost:1", "")
			got.Del("session_state") // of this error alone
			wantErrorParameters(t, op, got, "login_required")
		})
	}
}

// wantRedirectError checks an error response to the client, RFC 6749 §4.1.2.1.
func wantRedirectError(t *testing.T, op *providertest.Server, page *providertest.Page, place, code string) {
	t.Helper()
	if page.Callback == nil {
		t.Fatalf("no redirect but %d:\n%s", page.Status, page.Body)
	}
	wantErrorParameters(t, op, onlyIn(t, page.Callback, place), code)
}

func wantErrorParameters(t *testing.T, op *providertest.Server, got url.Values, code string) {
	t.Helper()
	if got.Get("error") != code || got.Get("state") != "state-0123456789" || got.Get("iss") != op.URL() {
		t.Errorf("error %q (%s), state %q, iss %q; want %s", got.Get("error"), got.Get("error_description"), got.Get("state"), got.Get("iss"), code)
	}
	if diff := cmp.Diff([]string{"error", "error_description", "iss", "state"}, keysOf(got)); diff != "" {
		t.Errorf("parameters: %s", diff)
	}
	if strings.ContainsAny(got.Get("error_description"), "\"\\\r\n\t") {
		t.Errorf("error_description holds forbidden characters: %q", got.Get("error_description"))
	}
}

// TestAuthorizeErrorsOfOneResponseType has those that depend on the response type.
func TestAuthorizeErrorsOfOneResponseType(t *testing.T) {
	narrow := providertest.DefaultClients()
	narrow[0].Scope, narrow[0].ResponseTypes = "openid profile", []string{"code", "code id_token", "id_token"}
	op := providertest.Start(t, &providertest.Options{Clients: narrow})
	tests := []struct {
		name, place, want string
		change            params
	}{
		{"response_type missing", "query", "invalid_request", params{"response_type": ""}},
		{"response_type missing, fragment asked for", "fragment", "invalid_request", params{"response_type": "", "response_mode": "fragment"}},
		{"response_type unknown", "query", "unsupported_response_type", params{"response_type": "magic"}},
		{"response_type token alone", "fragment", "unsupported_response_type", params{"response_type": "token"}},
		{"response_type not registered", "fragment", "unauthorized_client", params{"response_type": "code token"}},
		{"scope not registered, code", "query", "invalid_scope", params{"scope": "openid email"}},
		{"scope not registered, hybrid", "fragment", "invalid_scope", params{"scope": "openid email", "response_type": "code id_token"}},
		{"PKCE missing", "query", "invalid_request", params{"code_challenge": "", "code_challenge_method": ""}},
		{"PKCE missing, hybrid", "fragment", "invalid_request", params{"code_challenge": "", "code_challenge_method": "", "response_type": "code id_token"}},
		{"PKCE plain", "query", "invalid_request", params{"code_challenge_method": "plain"}},
		{"PKCE method missing", "query", "invalid_request", params{"code_challenge_method": ""}},
		{"PKCE challenge missing", "query", "invalid_request", params{"code_challenge": ""}},
		{"PKCE challenge too short", "query", "invalid_request", params{"code_challenge": "abc"}},
		{"PKCE challenge not base64url", "query", "invalid_request", params{"code_challenge": strings.Repeat("+", 43)}},
		{"nonce missing, hybrid", "fragment", "invalid_request", params{"nonce": "", "response_type": "code id_token"}},
		{"nonce missing, implicit", "fragment", "invalid_request", params{"nonce": "", "response_type": "id_token"}},
		{"openid missing, implicit", "fragment", "invalid_request", params{"scope": "profile", "response_type": "id_token"}},
		{"query mode, hybrid", "fragment", "invalid_request", params{"response_mode": "query", "response_type": "code id_token"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := codeRequest().with(params{"scope": "openid profile"}).with(tt.change)
			wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, request)), tt.place, tt.want)
		})
	}
	t.Run("control", func(t *testing.T) { signIn(t, op, codeRequest().with(params{"scope": "openid profile"})) })
}

func TestAuthorizeNeverRedirectsToAStranger(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].RedirectURIs = []string{"https://rp.example/cb?tenant=1", "http://127.0.0.1/callback", "https://rp.example/other"}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	evil := []string{
		"", "https://rp.example/cb", "https://rp.example/cb?tenant=1&x=2", "https://rp.example/cb?tenant=2",
		"https://rp.example/cb?tenant=1#", "https://rp.example/cb?tenant=1#frag", "https://rp.example/cb/?tenant=1",
		"https://rp.example/cb/../cb?tenant=1", "https://rp.example//cb?tenant=1", "https://rp.example/%63b?tenant=1", "https://rp.example/CB?tenant=1",
		"http://rp.example/cb?tenant=1", "https://rp.example:444/cb?tenant=1", "https://rp.example.evil.example/cb?tenant=1",
		"https://evil.example/cb?tenant=1", "https://sub.rp.example/cb?tenant=1", "https://rp.example@evil.example/cb?tenant=1",
		"https://user@rp.example/cb?tenant=1", "https://evil.example\\@rp.example/cb?tenant=1", "https://evil.example#@rp.example/cb?tenant=1",
		"//rp.example/cb?tenant=1", "javascript:alert(1)", "data:text/html,x", " https://rp.example/cb?tenant=1", "https://rp.example/cb?tenant=1 ",
		"https://127.0.0.1/callback", "http://127.0.0.1:80@evil.example/callback", "http://user@127.0.0.1:8000/callback",
		"http://127.0.0.1:8000/callback/", "http://127.0.0.1:8000/callback?x=1", "http://127.0.0.1:8000/callback#x", "http://127.0.0.2:8000/callback",
		"http://localhost:8000/callback", "http://127.0.0.1.evil.example/callback", "http://[::1]:8000/callback", "http://127.0.0.1:8000/%63allback",
	}
	for _, uri := range evil {
		t.Run(uri, func(t *testing.T) {
			request := codeRequest().with(params{"redirect_uri": uri})
			// The refusal must come before login and consent, and with an error too.
			for _, change := range []params{{}, {"prompt": "none"}, {"response_type": "magic"}, {"response_type": "id_token", "nonce": ""}} {
				page := providertest.NewBrowser(t).Get(authorizeURL(op, request.with(change)))
				wantErrorPage(t, page, "invalid_request", "redirect_uri")
			}
		})
	}
	for _, uri := range []string{"https://rp.example/cb?tenant=1", "https://rp.example/other", "http://127.0.0.1:8000/callback", "http://127.0.0.1/callback"} {
		t.Run("control "+uri, func(t *testing.T) {
			callback := providertest.NewBrowser(t).SignIn(authorizeURL(op, codeRequest().with(params{"redirect_uri": uri})), "alice", "alice")
			if !strings.HasPrefix(callback.String(), uri) || callback.Query().Get("code") == "" {
				t.Errorf("callback: %s", callback)
			}
		})
	}
}

func TestAuthorizeShowsAPageForAnUnknownClient(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, id := range []string{"", "nobody", "SPA", "spa ", "<script>alert(1)</script>"} {
		page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"client_id": id})))
		wantErrorPage(t, page, "invalid_request", "client_id")
		if strings.Contains(page.Body, "<script>alert") {
			t.Error("the page echoes a script")
		}
	}
}

func wantErrorPage(t *testing.T, page *providertest.Page, words ...string) {
	t.Helper()
	if page.Callback != nil {
		t.Fatalf("redirect to %s", page.Callback)
	}
	if page.Status != http.StatusBadRequest || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %s, want an HTML page with 400", page.Status, page.Header.Get("Content-Type"))
	}
	for _, word := range words {
		if !strings.Contains(page.Body, word) {
			t.Errorf("the page does not mention %s:\n%s", word, page.Body)
		}
	}
}

// TestChallengeExplained: one that is wrong is not said to be missing.
func TestChallengeExplained(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Explain = true }})
	for challenge, want := range map[string]string{"": "Arrived: nothing.", "abc": "Arrived: another text."} {
		page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(params{"code_challenge": challenge})))
		if got := page.Callback.Query().Get("error_description"); !strings.HasSuffix(got, want) {
			t.Errorf("%q: %s", challenge, got)
		}
	}
}

func TestAuthorizeFormPost(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, rt := range allResponseTypes {
		t.Run(rt.name, func(t *testing.T) {
			b := providertest.NewBrowser(t)
			b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice")
			request := codeRequest().with(params{"response_type": rt.name, "response_mode": "form_post"})
			page := b.Get(authorizeURL(op, request))
			if page.Status != http.StatusOK || page.FormAction() != providertest.RedirectURI {
				t.Fatalf("%d, form to %q:\n%s", page.Status, page.FormAction(), page.Body)
			}
			if page.Field("state") != "state-0123456789" || page.Field("iss") != op.URL() || page.Field("error") != "" {
				t.Errorf("state %q, iss %q, error %q", page.Field("state"), page.Field("iss"), page.Field("error"))
			}
			failed := b.Get(authorizeURL(op, request.with(params{"prompt": "dance"})))
			if failed.Field("error") != "invalid_request" || failed.FormAction() != providertest.RedirectURI {
				t.Errorf("error by form_post: %q to %q", failed.Field("error"), failed.FormAction())
			}
		})
	}
}

// onlyIn returns the response's parameters and checks that they are nowhere else.
func onlyIn(t *testing.T, callback *url.URL, place string) url.Values {
	t.Helper()
	fragment, err := url.ParseQuery(callback.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	got, elsewhere := callback.Query(), fragment
	if place == "fragment" {
		got, elsewhere = fragment, callback.Query()
	}
	if len(elsewhere) != 0 {
		t.Errorf("parameters outside the %s: %v", place, keysOf(elsewhere))
	}
	return got
}
