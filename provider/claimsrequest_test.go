package provider_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// asking is a request with the scope openid alone and the parameter "claims".
func asking(claims string) params {
	return codeRequest().with(params{"scope": "openid", "claims": claims})
}

// userClaims are what a set of claims says of the user beyond "sub".
func userClaims(claims map[string]any) []string {
	protocol := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash"}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(claims)), func(name string) bool { return slices.Contains(protocol, name) })
}

// OIDC Core §5.5: claims of "userinfo" come from there, those of "id_token" in
// the ID token, and neither in the other place.
func TestClaimsComeWhereTheyWereAskedFor(t *testing.T) {
	op := providertest.Start(t, nil)
	const claims = `{"userinfo": {"name": {"essential": true}, "phone_number": null}, "id_token": {"email": null, "groups": {"essential": false}}}`
	for _, rt := range allResponseTypes {
		if rt.name == "id_token" {
			continue
		}
		t.Run(rt.name, func(t *testing.T) {
			got := signIn(t, op, asking(claims).with(params{"response_type": rt.name}))
			idToken, access := got.Get("id_token"), got.Get("access_token")
			if got.Has("code") {
				tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil)
				if idToken != "" { // both ID tokens of a hybrid flow
					wantUserClaims(t, "front channel", claimsOf(t, idToken), "email", "groups")
				}
				idToken, access = tokens.text("id_token"), tokens.text("access_token")
			}
			wantUserClaims(t, "ID token", claimsOf(t, idToken), "email", "groups")
			wantUserClaims(t, "userinfo", get(t, op.URL()+"/userinfo", bearer(access)).Body, "name", "phone_number")
		})
	}
	t.Run("id_token", func(t *testing.T) {
		got := signIn(t, op, asking(`{"id_token": {"name": null}}`).with(params{"response_type": "id_token", "scope": "openid email"}))
		wantUserClaims(t, "ID token", claimsOf(t, got.Get("id_token")), "email", "email_verified", "name")
	})
}

func wantUserClaims(t *testing.T, where string, claims map[string]any, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, userClaims(claims)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", where, diff)
	}
}

// Refreshed tokens give the same claims as the first ones.
func TestClaimsSurviveARefresh(t *testing.T) {
	op := providertest.Start(t, nil)
	request := asking(`{"userinfo": {"nickname": null}, "id_token": {"website": null}}`).with(params{"scope": "openid offline_access"})
	first := tokensFor(t, op, request)
	second := postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")), nil)
	wantUserClaims(t, "ID token", claimsOf(t, second.text("id_token")), "website")
	wantUserClaims(t, "userinfo", get(t, op.URL()+"/userinfo", bearer(second.text("access_token"))).Body, "nickname")
}

func TestClaimsThatAreIgnored(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].Scope = "openid profile"
	users := []provider.User{{Username: "alice", Password: "alice", Claims: map[string]any{
		"sub": "a", "name": "Alice", "email": "a@example.com", "department": "Tea", "iss": "mine", "nonce": "mine",
	}}}
	op := providertest.Start(t, &providertest.Options{Clients: clients, Users: users})
	for _, tt := range []struct {
		name, claims string
		want         []string
	}{
		{"nothing", `{}`, []string{}},
		{"members without claims", `{"userinfo": null, "id_token": {}}`, []string{}},
		{"unknown members", `{"verified": 1, "userinfo": {"name": {"purpose": 7}}}`, []string{"name"}},
		{"members within members", strings.Repeat(`{"userinfo":`, 1000) + `1` + strings.Repeat(`}`, 1000), []string{}},
		{"an unknown claim", `{"userinfo": {"shoe_size": null, "name#ja-Kana-JP": null, "name": null}}`, []string{"name"}},
		{"a claim without a value", `{"userinfo": {"picture": {"essential": true}, "name": null}}`, []string{"name"}},
		{"of a scope that the client is not registered for", `{"userinfo": {"email": {"essential": true}, "name": null}}`, []string{"name"}},
		{"a claim of the operator's own", `{"userinfo": {"department": null}}`, []string{"department"}},
		{"the protocol's own claims", `{"userinfo": {"iss": null, "nonce": null, "sub": null, "name": null}}`, []string{"name"}},
		{"a value that the user does not have", `{"userinfo": {"name": {"value": "Bob"}}}`, []string{"name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info := get(t, op.URL()+"/userinfo", bearer(tokensFor(t, op, asking(tt.claims)).text("access_token")))
			if diff := cmp.Diff(tt.want, userClaims(info.Body)); diff != "" || info.text("iss") != "" || info.text("nonce") != "" {
				t.Errorf("%s\n%s", diff, info.Raw)
			}
		})
	}
	t.Run("no OpenID request", func(t *testing.T) {
		signIn(t, op, asking(`{"broken`).with(params{"scope": "profile"}))
	})
}

func TestClaimsSyntax(t *testing.T) {
	op := providertest.Start(t, nil)
	for name, claims := range map[string]string{
		"no JSON":                `userinfo`,
		"cut":                    `{"userinfo": {"name": null}`,
		"an array":               `[]`,
		"null":                   `null`,
		"text":                   `"userinfo"`,
		"two objects":            `{} {}`,
		"more after it":          `{}x`,
		"a member twice":         `{"userinfo": {"name": null}, "userinfo": {"email": null}}`,
		"a claim twice":          `{"userinfo": {"name": null, "name": {"essential": true}}}`,
		"userinfo an array":      `{"userinfo": ["name"]}`,
		"id_token text":          `{"id_token": "name"}`,
		"a claim true":           `{"userinfo": {"name": true}}`,
		"a claim text":           `{"id_token": {"name": "Alice"}}`,
		"essential text":         `{"userinfo": {"name": {"essential": "true"}}}`,
		"essential null":         `{"userinfo": {"name": {"essential": null}}}`,
		"values text":            `{"userinfo": {"name": {"values": "Alice"}}}`,
		"values empty":           `{"userinfo": {"name": {"values": []}}}`,
		"sub a number":           `{"id_token": {"sub": {"value": 1}}}`,
		"sub among numbers":      `{"userinfo": {"sub": {"values": ["248289761001", 1]}}}`,
		"deeper than readers go": strings.Repeat(`[`, 15<<10),
	} {
		t.Run(name, func(t *testing.T) {
			wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, asking(claims))), "query", "invalid_request")
		})
	}
	t.Run("userinfo without an access token", func(t *testing.T) {
		request := asking(`{"userinfo": {"name": null}}`).with(params{"response_type": "id_token"})
		wantRedirectError(t, op, providertest.NewBrowser(t).Get(authorizeURL(op, request)), "fragment", "invalid_request")
	})
	t.Run("control", func(t *testing.T) { signIn(t, op, asking(`{"userinfo": {"name": {"essential": true}}}`)) })
}

// What no scope covers the user allows claim by claim, and is remembered so.
func TestClaimsNeedConsent(t *testing.T) {
	op := providertest.Start(t, nil)
	silently := func(b *providertest.Browser, p params, want string) {
		t.Helper()
		page := b.Get(authorizeURL(op, p.with(params{"prompt": "none"})))
		if got := response(t, page.Callback).Get("error"); got != want {
			t.Errorf("scope %q, claims %s: error %q, want %q", p["scope"], p["claims"], got, want)
		}
	}
	b := providertest.NewBrowser(t)
	b.SignIn(authorizeURL(op, codeRequest().with(params{"scope": "openid email"})), "alice", "alice")
	silently(b, asking(`{"userinfo": {"email": null}, "id_token": {"email_verified": null}}`), "") // the scope email covers both
	nickname := asking(`{"userinfo": {"nickname": {"essential": true}, "email": null}}`)
	silently(b, nickname, "consent_required")

	page := b.Get(authorizeURL(op, nickname))
	if page.URL.Path != "/consent" || !strings.Contains(page.Body, "See your nickname") || strings.Contains(page.Body, "See your profile:") {
		t.Fatalf("%s:\n%s", page.URL.Path, page.Body)
	}
	if denied := b.Submit(page, "deny", nil); response(t, denied.Callback).Get("error") != "access_denied" {
		t.Errorf("denied: %s", denied.Callback)
	}
	silently(b, nickname, "consent_required")
	b.Submit(b.Get(authorizeURL(op, nickname)), "allow", nil)
	silently(b, nickname, "")
	silently(b, asking(`{"id_token": {"nickname": null}}`), "") // allowed is allowed, wherever it comes
	silently(b, asking(`{"userinfo": {"nickname": null, "gender": null}}`), "consent_required")
	silently(b, asking(`{"id_token": {"nickname": null, "gender": null}}`), "consent_required")

	page = b.Get(authorizeURL(op, asking(`{"userinfo": {"nickname": null, "phone_number": null}}`)))
	if strings.Count(page.Body, ">new<") != 1 || !strings.Contains(page.Body, `See your phone number <span class="badge">new</span>`) {
		t.Errorf("what is new is not marked:\n%s", page.Body)
	}
	// A claim that a scope of the request covers is no line of its own.
	page = b.Get(authorizeURL(op, asking(`{"userinfo": {"phone_number": null}}`).with(params{"scope": "openid phone"})))
	if strings.Contains(page.Body, "<code>phone_number</code>") {
		t.Errorf("a claim beside its scope:\n%s", page.Body)
	}
	b.Submit(page, "allow", nil)
	silently(b, nickname, "") // what was allowed before stays
}

// OIDC Core §3.1.2.2: with a value for sub, the answer is about that user or an error.
func TestClaimsNameTheUser(t *testing.T) {
	op := providertest.Start(t, nil)
	b, idToken := signedIn(t, op)
	for name, tt := range map[string]struct {
		claims string
		hint   string
		want   string
	}{
		"the user":                {`{"id_token": {"sub": {"value": "248289761001"}}}`, "", ""},
		"one of several":          {`{"id_token": {"sub": {"values": ["x", "248289761001"]}}}`, "", ""},
		"no value":                {`{"id_token": {"sub": {"essential": true}}}`, "", ""},
		"another":                 {`{"id_token": {"sub": {"value": "248289761002"}}}`, "", "login_required"},
		"another, in userinfo":    {`{"userinfo": {"sub": {"value": "248289761002"}}}`, "", "login_required"},
		"another than the hint":   {`{"id_token": {"sub": {"value": "248289761002"}}}`, idToken, "login_required"},
		"the same as the hint":    {`{"id_token": {"sub": {"value": "248289761001"}}}`, idToken, ""},
		"none of several":         {`{"id_token": {"sub": {"values": ["x", "y"]}}}`, "", "login_required"},
		"nobody can be both":      {`{"id_token": {"sub": {"value": "248289761001"}}, "userinfo": {"sub": {"value": "x"}}}`, "", "login_required"},
		"not the user's own hint": {`{}`, idToken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			page := b.Get(authorizeURL(op, asking(tt.claims).with(params{"id_token_hint": tt.hint, "prompt": "none"})))
			if got := response(t, page.Callback).Get("error"); got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
	// Whoever signs in as another is not asked again.
	page := b.Get(authorizeURL(op, asking(`{"id_token": {"sub": {"value": "248289761002"}}}`)))
	if page.URL.Path != "/login" {
		t.Fatalf("at %s", page.URL.Path)
	}
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	wantRedirectError(t, op, page, "query", "login_required")
}

// OIDC Core §3.1.2.1: a hint only names the user, whoever it was issued to.
func TestHintOfAnotherClient(t *testing.T) {
	op := providertest.Start(t, nil)
	b, _ := signedIn(t, op)
	for username, want := range map[string]string{"alice": "", "bob": "login_required"} {
		callback := providertest.NewBrowser(t).SignIn(authorizeURL(op, webRequest().with(params{"response_type": "code id_token"})), username, username)
		hint := response(t, callback).Get("id_token")
		page := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "none", "id_token_hint": hint})))
		if got := response(t, page.Callback).Get("error"); got != want {
			t.Errorf("of %s: error %q, want %q", username, got, want)
		}
	}
}

// A request for claims may be longer than other parameters.
func TestClaimsMayBeLong(t *testing.T) {
	op := providertest.Start(t, nil)
	claims := func(size int) string {
		const head, tail = `{"userinfo": {"name": null}, "x": "`, `"}`
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	signIn(t, op, asking(claims(16<<10)))
	page := providertest.NewBrowser(t).Get(authorizeURL(op, asking(claims(16<<10+1))))
	wantErrorPage(t, page, "invalid_request", "too long")

	// By POST from another site, too: what travels sealed is longer still.
	posted := providertest.NewBrowser(t).Post(op.URL()+"/authorize", asking(claims(16<<10)).values())
	if posted.Status != http.StatusOK || posted.URL.Path != "/login" {
		t.Errorf("POST: %d at %s", posted.Status, posted.URL.Path)
	}
	form := asking(claims(16 << 10)).values()
	form.Set("id_token_hint", strings.Repeat("x", 16<<10))
	form.Set("access_token", strings.Repeat("x", 16<<10))
	wantErrorPage(t, providertest.NewBrowser(t).Post(op.URL()+"/authorize", form), "invalid_request", "too long")
}
