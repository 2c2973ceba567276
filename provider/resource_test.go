package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// The resources of the tests: two that the clients are registered for, and the
// resource server of moreClients.
const resourceOne, resourceTwo = "https://one.example", "https://two.example/path?x=y"

func startWithResources(t *testing.T) *providertest.Server {
	t.Helper()
	clients := moreClients()
	for i := range 3 {
		clients[i].Audience = []string{resourceOne, resourceTwo}
	}
	return providertest.Start(t, &providertest.Options{Clients: clients})
}

// withResources are parameters in which a resource may stand more than once.
func (p params) withResources(resources ...string) url.Values {
	form := p.values()
	form["resource"] = resources
	return form
}

// audienceOf is the audience of a JWT access token.
func audienceOf(t *testing.T, token string) []any {
	t.Helper()
	audience, _ := claimsOf(t, token)["aud"].([]any)
	return audience
}

func wantAudience(t *testing.T, got []any, want ...any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("aud (-want +got):\n%s", diff)
	}
}

// postToken sends a token request with resources.
func postToken(t *testing.T, op *providertest.Server, p params, auth func(*http.Request), resources ...string) answer {
	t.Helper()
	e := endpoint{method: http.MethodPost, path: "/token"}
	return e.send(t, op, p.withResources(resources...).Encode(), auth)
}

// RFC 8707 §2.1: the resources of the request are the audience of its tokens.
func TestResourcesOfAnAuthorizationRequest(t *testing.T) {
	op := startWithResources(t)
	for name, tt := range map[string]struct {
		resources []string
		want      []any
	}{
		"none":               {nil, []any{resourceOne, resourceTwo}},
		"without a value":    {[]string{""}, []any{resourceOne, resourceTwo}},
		"one":                {[]string{resourceOne}, []any{resourceOne}},
		"the other":          {[]string{resourceTwo}, []any{resourceTwo}},
		"both, turned round": {[]string{resourceTwo, resourceOne}, []any{resourceTwo, resourceOne}},
		"the same twice":     {[]string{resourceOne, resourceOne}, []any{resourceOne}},
		"one and no value":   {[]string{"", resourceOne}, []any{resourceOne}},
		"a resource server":  {[]string{resourceAudience}, []any{resourceAudience}},
		"one of each":        {[]string{resourceAudience, resourceOne}, []any{resourceAudience, resourceOne}},
	} {
		t.Run(name, func(t *testing.T) {
			request := codeRequest().with(params{"response_type": "code token"}).withResources(tt.resources...)
			got := response(t, providertest.NewBrowser(t).SignIn(op.URL()+"/authorize?"+request.Encode(), "alice", "alice"))
			wantAudience(t, audienceOf(t, got.Get("access_token")), tt.want...)
			tokens := postForm(t, op.URL()+"/token", redeem(got.Get("code")), nil)
			wantAudience(t, audienceOf(t, tokens.text("access_token")), tt.want...)
		})
	}
}

// badResources can be asked for nowhere.
var badResources = map[string]string{
	"unknown":                "https://other.example",
	"unknown beside a known": resourceOne + "/",
	"another case":           "https://ONE.example",
	"no URI":                 "api",
	"relative":               "/path",
	"with a fragment":        resourceOne + "#x",
	"with an empty fragment": resourceOne + "#",
	"malformed":              "https://[::1",
	"the issuer of another":  "https://op.example",
	"a script in it":         "https://<script>alert(1)</script>",
}

func TestResourcesThatAreRefused(t *testing.T) {
	op := startWithResources(t)
	for name, bad := range badResources {
		t.Run(name, func(t *testing.T) {
			request := codeRequest().withResources(resourceOne, bad)
			page := providertest.NewBrowser(t).Get(op.URL() + "/authorize?" + request.Encode())
			wantRedirectError(t, op, page, "query", "invalid_target")
			a := postToken(t, op, params{"grant_type": "client_credentials"}, asWeb, resourceOne, bad)
			wantError(t, a, http.StatusBadRequest, "invalid_target")
		})
	}
}

// RFC 8707 §2.2: a token request names resources within those of the grant.
func TestResourcesOfATokenRequest(t *testing.T) {
	op := startWithResources(t)
	request := codeRequest().withResources(resourceOne, resourceAudience)
	callback := providertest.NewBrowser(t).SignIn(op.URL()+"/authorize?"+request.Encode(), "alice", "alice")
	code := redeem(callback.Query().Get("code"))

	// More than was granted is refused, and costs neither code nor token.
	wantError(t, postToken(t, op, code, nil, resourceOne, resourceTwo), http.StatusBadRequest, "invalid_target")
	first := postToken(t, op, code, nil, resourceAudience)
	if first.Status != http.StatusOK {
		t.Fatalf("redeem: %d %s", first.Status, first.Raw)
	}
	wantAudience(t, audienceOf(t, first.text("access_token")), resourceAudience)
	if a := introspect(t, op, first.text("access_token"), asResourceServer); a.Body["active"] != true {
		t.Errorf("the resource server asks: %s", a.Raw)
	}

	wantError(t, postToken(t, op, refreshRequest(first.text("refresh_token")), nil, resourceTwo), http.StatusBadRequest, "invalid_target")
	second := postToken(t, op, refreshRequest(first.text("refresh_token")), nil, resourceOne)
	wantAudience(t, audienceOf(t, second.text("access_token")), resourceOne)
	wantInactive(t, introspect(t, op, second.text("access_token"), asResourceServer))

	// The narrower token does not narrow the grant.
	third := postToken(t, op, refreshRequest(second.text("refresh_token")), nil)
	wantAudience(t, audienceOf(t, third.text("access_token")), resourceOne, resourceAudience)
}

// A client's own tokens, and opaque ones.
func TestResourcesElsewhere(t *testing.T) {
	op := startWithResources(t)
	own := postToken(t, op, params{"grant_type": "client_credentials"}, asWeb, resourceAudience, resourceTwo)
	wantAudience(t, audienceOf(t, own.text("access_token")), resourceAudience, resourceTwo)

	request := codeRequest().with(params{"client_id": opaqueClient}).withResources(resourceAudience, resourceOne)
	callback := providertest.NewBrowser(t).SignIn(op.URL()+"/authorize?"+request.Encode(), "alice", "alice")
	opaque := postToken(t, op, redeem(callback.Query().Get("code")).with(params{"client_id": opaqueClient}), nil, resourceAudience)
	a := introspect(t, op, opaque.text("access_token"), asResourceServer)
	if diff := cmp.Diff([]any{resourceAudience}, a.Body["aud"]); diff != "" {
		t.Errorf("aud (-want +got):\n%s\n%s", diff, a.Raw)
	}
}

// The device names resources in both of its requests.
func TestResourcesOfADevice(t *testing.T) {
	clients := deviceClients()
	clients[2].Audience = []string{resourceOne, resourceTwo}
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	begin := endpoint{method: http.MethodPost, path: "/device_authorization"}
	ask := params{"client_id": deviceClient, "scope": "openid offline_access"}
	wantError(t, begin.send(t, op, ask.withResources("https://other.example").Encode(), nil), http.StatusBadRequest, "invalid_target")

	decided := func(resources ...string) answer {
		begun := begin.send(t, op, ask.withResources(resources...).Encode(), nil)
		decide(t, begun, "allow")
		return begun
	}
	wantError(t, postToken(t, op, pollRequest(decided(resourceOne)), nil, resourceTwo), http.StatusBadRequest, "invalid_target")
	tokens := postToken(t, op, pollRequest(decided(resourceTwo, resourceOne)), nil, resourceOne)
	wantAudience(t, audienceOf(t, tokens.text("access_token")), resourceOne)
	again := postToken(t, op, refreshRequest(tokens.text("refresh_token")).with(params{"client_id": deviceClient}), nil)
	wantAudience(t, audienceOf(t, again.text("access_token")), resourceTwo, resourceOne)
}

// TestResourcesAreAllowedOneByOne: beyond its own, the user allows a client each
// resource by itself.
func TestResourcesAreAllowedOneByOne(t *testing.T) {
	op := startWithResources(t)
	b := providertest.NewBrowser(t)
	ask := func(prompt string, resources ...string) *providertest.Page {
		form := codeRequest().withResources(resources...)
		if prompt != "" {
			form.Set("prompt", prompt)
		}
		return b.Get(op.URL() + "/authorize?" + form.Encode())
	}
	b.SignIn(op.URL()+"/authorize?"+codeRequest().withResources(resourceOne).Encode(), "alice", "alice")

	if page := ask("", resourceTwo, resourceOne); page.Callback == nil {
		t.Fatalf("asked for the client's own resources: %s", page.URL)
	}
	silently := func() string { return ask("none", resourceAudience).Callback.Query().Get("error") }
	if got := silently(); got != "consent_required" {
		t.Errorf("prompt=none: %q", got)
	}
	page := ask("", resourceOne, resourceAudience)
	if page.URL.Path != "/consent" || !strings.Contains(page.Body, "<code>"+resourceAudience+"</code>") || strings.Contains(page.Body, resourceOne) {
		t.Fatalf("%s\n%s", page.URL, page.Body)
	}
	if got := strings.Count(page.Body, ">new<"); got != 1 {
		t.Errorf("%d lines are new", got)
	}
	wantRedirectError(t, op, b.Submit(page, "deny", nil), "query", "access_denied")
	if got := silently(); got != "consent_required" {
		t.Errorf("prompt=none after a denial: %q", got)
	}
	b.Submit(page, "allow", nil)
	if got := silently(); got != "" {
		t.Errorf("not remembered: %q", got)
	}
	if page := ask("consent"); strings.Contains(page.Body, resourceAudience) {
		t.Error("a request without it asks for it")
	}
}

// TestResourcesOnTheDevicePage: the user sees what a device names.
func TestResourcesOnTheDevicePage(t *testing.T) {
	clients := append(deviceClients(), provider.Client{ID: resourceServer, Secret: resourceSecret, ResourceServer: resourceAudience})
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	begin := endpoint{method: http.MethodPost, path: "/device_authorization"}
	ask := params{"client_id": deviceClient, "scope": "openid"}
	for name, resources := range map[string][]string{"none": nil, "another": {resourceAudience}} {
		begun := begin.send(t, op, ask.withResources(resources...).Encode(), nil)
		b := providertest.NewBrowser(t)
		login := b.Submit(b.Get(begun.text("verification_uri_complete")), "submit", nil)
		page := b.Submit(login, "submit", map[string]string{"username": "alice", "password": "alice"})
		if page.URL.Path != "/device" || strings.Contains(page.Body, resourceAudience) != (resources != nil) {
			t.Errorf("%s: %s\n%s", name, page.URL, page.Body)
		}
	}
}
