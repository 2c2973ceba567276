package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// Each algorithm that is announced works, and everything can stand in the object.
func TestRequestObjectAlgorithms(t *testing.T) {
	op := startWithObjects(t)
	announced, _ := get(t, op.URL()+openIDConfiguration, nil).Body["request_object_signing_alg_values_supported"].([]any)
	if diff := cmp.Diff([]any{"RS256", "PS256", "ES256", "Ed25519", "EdDSA"}, announced); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	for _, alg := range announced {
		t.Run(alg.(string), func(t *testing.T) {
			raw := object(t, jose.SignatureAlgorithm(alg.(string)), objectMembers(op, objectClient))
			got := signIn(t, op, byValue(objectClient, raw))
			if got.Get("state") != "state-0123456789" {
				t.Errorf("state %q", got.Get("state"))
			}
			tokens := redeemFor(t, op, objectClient, got.Get("code"))
			if nonce := claimsOf(t, tokens.text("id_token"))["nonce"]; nonce != "nonce-0123456789" {
				t.Errorf("nonce %v", nonce)
			}
		})
	}
}

// OIDC Core §6.1: the object's parameters are stronger than those beside it, and
// those that it lacks count; but not where everything has to be signed (RFC 9101
// §10.5).
func TestRequestObjectWins(t *testing.T) {
	op := startWithObjects(t)
	outside := codeRequest().with(params{
		"redirect_uri": "https://evil.example/callback", "state": "outside-0123456789", "nonce": "outside", "scope": "openid phone",
		"code_challenge": challenge("another"), "max_age": "soon",
	})
	for client, want := range map[string]string{objectClient: "outside-0123456789", strictClient: ""} {
		raw := object(t, jose.ES256, objectMembers(op, client).with(members{"state": nil, "max_age": 10000}))
		got := signIn(t, op, outside.with(byValue(client, raw)))
		if got.Get("state") != want {
			t.Errorf("%s: state %q, want %q", client, got.Get("state"), want)
		}
		tokens := redeemFor(t, op, client, got.Get("code"))
		if nonce := claimsOf(t, tokens.text("id_token"))["nonce"]; nonce != "nonce-0123456789" {
			t.Errorf("%s: nonce %v", client, nonce)
		}
		if tokens.text("scope") != "openid profile email offline_access" {
			t.Errorf("%s: scope %q", client, tokens.text("scope"))
		}
	}
}

// Numbers, lists and objects of the object arrive as what they are. (fosite's own
// parser makes "%!s(float64=0)" of max_age.)
func TestRequestObjectKeepsTypes(t *testing.T) {
	op := startWithObjects(t)
	b := providertest.NewBrowser(t)
	open := func(changes members) *providertest.Page {
		t.Helper()
		return b.Get(authorizeURL(op, byValue(objectClient, object(t, jose.RS256, objectMembers(op, objectClient).with(changes)))))
	}
	b.SignIn(authorizeURL(op, codeRequest().with(params{"client_id": objectClient})), "alice", "alice")
	silent := members{"prompt": "none"}
	for name, tt := range map[string]struct {
		change members
		want   string
	}{
		"nothing more":           {nil, ""},
		"max_age, a number":      {members{"max_age": 10000}, ""},
		"max_age, zero":          {members{"max_age": 0}, "login_required"},
		"max_age, text":          {members{"max_age": "0"}, "login_required"},
		"max_age, a fraction":    {members{"max_age": 1.5}, "invalid_request"},
		"max_age, null":          {members{"max_age": any(nil)}, ""},
		"claims, an object":      {members{"claims": map[string]any{"userinfo": map[string]any{"phone_number": nil}}}, "consent_required"},
		"claims, text":           {members{"claims": `{"userinfo": {"phone_number": null}}`}, "consent_required"},
		"claims with a number":   {members{"claims": map[string]any{"id_token": map[string]any{"sub": map[string]any{"value": 7}}}}, "invalid_request"},
		"claims for another":     {members{"claims": map[string]any{"id_token": map[string]any{"sub": map[string]any{"value": "x"}}}}, "login_required"},
		"a resource":             {members{"resource": resourceOne}, ""},
		"resources":              {members{"resource": []string{resourceOne, resourceTwo}}, ""},
		"an unknown resource":    {members{"resource": []string{resourceOne, "https://other.example"}}, "invalid_target"},
		"unknown members":        {members{"x": "y", "n": 12345678901234567890.0, "b": true, "z": any(nil), "e": ""}, ""},
		"a truth value for text": {members{"code_challenge": true}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			page := open(silent.with(tt.change))
			if page.Callback == nil {
				t.Fatalf("%d:\n%s", page.Status, page.Body)
			}
			if got := response(t, page.Callback).Get("error"); got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
	// And they mean the same: the claims come, the audience is narrower.
	page := open(members{"claims": map[string]any{"userinfo": map[string]any{"phone_number": nil}}, "resource": []string{resourceTwo}, "scope": "openid"})
	tokens := redeemFor(t, op, objectClient, b.Submit(page, "allow", nil).Callback.Query().Get("code"))
	wantAudience(t, audienceOf(t, tokens.text("access_token")), resourceTwo)
	wantUserClaims(t, "userinfo", get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token"))).Body, "phone_number")
}

// badObjects are valid request objects with one thing wrong.
func badObjects(t *testing.T, op *providertest.Server) map[string]string {
	t.Helper()
	good := map[string]any(objectMembers(op, objectClient))
	signing := func(changes members) string { return object(t, jose.ES256, members(good).with(changes)) }
	es256 := rpKeys()[jose.ES256]
	typed := func(typ string) string { return signed(t, jose.ES256, es256, "", typ, good) }
	whole := signing(nil)
	now := time.Now()
	return map[string]string{
		"no JWT":                      "request",
		"two parts":                   "e30.e30",
		"encrypted":                   "e30.e30.e30.e30.e30",
		"unsigned":                    unsigned(base64url(`{"client_id":"objects"}`), "JWT"),
		"signature of another key":    signed(t, jose.ES256, newECKey(t), "", "JWT", good),
		"an algorithm not announced":  signed(t, jose.RS384, rpKeys()[jose.RS256], "", "JWT", good),
		"signed with a secret":        signed(t, jose.HS256, []byte(signingSecret), "", "JWT", good),
		"kid of another key":          signed(t, jose.ES256, newECKey(t), "other", "JWT", good),
		"header changed":              tamper(whole, 0),
		"payload changed":             tamper(whole, 1),
		"signature changed":           tamper(whole, 2),
		"signature missing":           whole[:strings.LastIndexByte(whole, '.')+1],
		"payload an array":            signedText(t, `["x"]`),
		"payload text":                signedText(t, `"x"`),
		"typ of an ID token request":  typed("at+jwt"),
		"typ of a proof":              typed("dpop+jwt"),
		"typ of a logout token":       typed("application/logout+jwt"),
		"no iss":                      signing(members{"iss": nil}),
		"iss empty":                   signing(members{"iss": ""}),
		"no aud":                      signing(members{"aud": nil}),
		"aud an empty list":           signing(members{"aud": []string{}}),
		"iss of another":              signing(members{"iss": "web"}),
		"iss a number":                signing(members{"iss": 1}),
		"sub of a client assertion":   signing(members{"sub": objectClient}),
		"aud of another":              signing(members{"aud": "https://op.example"}),
		"aud of others":               signing(members{"aud": []string{"https://op.example", op.URL() + "/authorize"}}),
		"aud a number":                signing(members{"aud": 1}),
		"expired":                     signing(members{"exp": now.Add(-31 * time.Second).Unix()}),
		"exp text":                    signing(members{"exp": "tomorrow"}),
		"not valid yet":               signing(members{"nbf": now.Add(time.Minute).Unix()}),
		"from the future":             signing(members{"iat": now.Add(time.Minute).Unix()}),
		"client_id of another":        signing(members{"client_id": "web"}),
		"another response_type":       signing(members{"response_type": "code id_token"}),
		"request inside":              signing(members{"request": whole}),
		"request_uri inside":          signing(members{"request_uri": "https://rp.example/request"}),
		"scope a list":                signing(members{"scope": []string{"openid"}}),
		"state an object":             signing(members{"state": map[string]any{"a": "b"}}),
		"max_age a list":              signing(members{"max_age": []int{1}}),
		"claims a list":               signing(members{"claims": []string{"name"}}),
		"resource an object":          signing(members{"resource": map[string]any{"a": "b"}}),
		"resources that are numbers":  signing(members{"resource": []int{1}}),
		"an object that is not known": signing(members{"x": map[string]any{"a": "b"}}),
		"state with a control":        signing(members{"state": "a\x00b"}),
		"state too long":              signing(members{"state": strings.Repeat("x", 4097)}),
		"claims too long":             signing(members{"claims": map[string]any{"x": strings.Repeat("x", 16<<10)}}),
		"a parameter twice":           signedText(t, `{"nonce":"a","nonce":"b"}`),
		"a claim twice":               signedText(t, `{"iss":"web","iss":"objects"}`),
		"a name twice within claims":  signedText(t, `{"claims":{"userinfo":{},"userinfo":{}}}`),
		"too long":                    signing(members{"x": strings.Repeat("x", 4000), "a": strings.Repeat("x", 4000), "b": strings.Repeat("x", 4000), "c": strings.Repeat("x", 4000), "d": strings.Repeat("x", 4000), "e": strings.Repeat("x", 4000), "f": strings.Repeat("x", 4000)}),
	}
}

// Errors go to the client if the parameters beside the object say where it is,
// in the mode that they ask for; else to a page, never to JSON.
func TestRequestObjectsThatAreRefused(t *testing.T) {
	op := startWithObjects(t)
	for name, raw := range badObjects(t, op) {
		t.Run(name, func(t *testing.T) {
			b := providertest.NewBrowser(t)
			request := codeRequest().with(byValue(objectClient, raw))
			wantRedirectError(t, op, b.Get(authorizeURL(op, request)), "query", "invalid_request_object")
			fragment := request.with(params{"response_mode": "fragment"})
			wantRedirectError(t, op, b.Get(authorizeURL(op, fragment)), "fragment", "invalid_request_object")
			if name == "another response_type" {
				return // then there has to be one outside
			}
			words := []string{"invalid_request_object", "request object"}
			if name == "encrypted" {
				words = append(words, name)
			}
			wantErrorPage(t, b.Get(authorizeURL(op, byValue(objectClient, raw))), words...)
			stranger := request.with(params{"redirect_uri": "https://evil.example/callback"})
			wantErrorPage(t, b.Get(authorizeURL(op, stranger)), "invalid_request_object")
		})
	}
	for name, change := range map[string]members{
		"control": nil, "no claims that are not a must": {"exp": nil, "nbf": nil, "iat": nil, "jti": nil},
		"aud a list": {"aud": []string{"https://op.example", op.URL()}}, "expired within the skew": {"exp": time.Now().Add(-20 * time.Second).Unix()},
		"no client_id inside": {"client_id": nil},
	} {
		t.Run(name, func(t *testing.T) {
			signIn(t, op, codeRequest().with(byValue(objectClient, object(t, jose.ES256, objectMembers(op, objectClient).with(change)))))
		})
	}
	for _, typ := range []string{"", "JWT", "jwt", "application/oauth-authz-req+jwt", "OAuth-Authz-Req+JWT"} {
		t.Run("typ "+typ, func(t *testing.T) {
			raw := signed(t, jose.ES256, rpKeys()[jose.ES256], "", typ, map[string]any(objectMembers(op, objectClient)))
			signIn(t, op, byValue(objectClient, raw))
		})
	}
}

// What an explanation says of the signature is so.
func TestRequestObjectExplanations(t *testing.T) {
	clients := objectClients(t)
	clients[len(clients)-1].JWKSURI = "https://127.0.0.1/jwks" // where the provider calls nobody
	op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) {
		c.Explain, c.Requests.InsecureUnsignedObjects = true, true
	}})
	const (
		unreadable = "cannot be read: what it holds is no JSON object, or has a name twice, or a member that is not of the type that it should be. " +
			"Expected: one JSON object in which each name stands once, with the claims of RFC 7519. Arrived: another text."
		byAnother = "Expected: a signature by a key of the client. Arrived: another."
	)
	twice := `{"iss":"web","iss":"objects"}`
	for _, tt := range []struct{ name, client, object, want string }{
		{"signed array", objectClient, signedText(t, `[]`), unreadable},
		{"signed, a claim twice", objectClient, signedText(t, twice), unreadable},
		{"unsigned array", objectClient, unsigned(base64url(`[]`), "JWT"), unreadable},
		{"unsigned, a claim twice", objectClient, unsigned(base64url(twice), "JWT"), unreadable},
		{"another key", objectClient, signed(t, jose.ES256, newECKey(t), "", "JWT", map[string]any(objectMembers(op, objectClient))), byAnother},
		{"a kid that is not known", objectClient, signed(t, jose.ES256, newECKey(t), "other", "JWT", map[string]any(objectMembers(op, objectClient))), byAnother},
		{"keys that cannot be had", bareClient, object(t, jose.ES256, objectMembers(op, bareClient)), "Expected: a signature by a key of the client. Arrived: one that cannot be checked."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page := providertest.NewBrowser(t).Get(authorizeURL(op, codeRequest().with(byValue(tt.client, tt.object))))
			if page.Callback == nil {
				t.Fatalf("%d:\n%s", page.Status, page.Body)
			}
			if got := page.Callback.Query().Get("error_description"); !strings.HasSuffix(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// What is wrong with the parameters themselves is found as in any request, and
// goes where the object says.
func TestRequestObjectIsARequest(t *testing.T) {
	op := startWithObjects(t)
	for name, tt := range map[string]struct {
		change members
		want   string // "": an error page
	}{
		"foreign redirect_uri":  {members{"redirect_uri": "https://evil.example/"}, ""},
		"no redirect_uri":       {members{"redirect_uri": nil}, ""},
		"unknown response_type": {members{"response_type": "magic"}, "unsupported_response_type"},
		"registration":          {members{"registration": "{}"}, "registration_not_supported"},
		"no PKCE":               {members{"code_challenge": nil}, "invalid_request"},
		"scope not known":       {members{"scope": "openid", "prompt": "dance"}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := object(t, jose.EdDSA, objectMembers(op, objectClient).with(tt.change))
			page := providertest.NewBrowser(t).Get(authorizeURL(op, byValue(objectClient, raw)))
			if tt.want == "" {
				wantErrorPage(t, page, "invalid_request", "redirect_uri")
			} else {
				wantRedirectError(t, op, page, "query", tt.want)
			}
		})
	}
}

// What a registration says of request objects holds.
func TestRequestObjectRegistration(t *testing.T) {
	op := startWithObjects(t)
	b := providertest.NewBrowser(t)
	plain := codeRequest().with(params{"client_id": strictClient})
	wantRedirectError(t, op, b.Get(authorizeURL(op, plain)), "query", "invalid_request")
	signIn(t, op, byValue(strictClient, object(t, jose.PS256, objectMembers(op, strictClient))))

	other := codeRequest().with(byValue(rs256Client, object(t, jose.PS256, objectMembers(op, rs256Client))))
	wantRedirectError(t, op, b.Get(authorizeURL(op, other)), "query", "invalid_request_object")
	signIn(t, op, byValue(rs256Client, object(t, jose.RS256, objectMembers(op, rs256Client))))

	keyless := codeRequest().with(byValue(bareClient, object(t, jose.ES256, objectMembers(op, bareClient))))
	wantRedirectError(t, op, b.Get(authorizeURL(op, keyless)), "query", "invalid_request_object")
	stolen := codeRequest().with(byValue(bareClient, object(t, jose.ES256, objectMembers(op, objectClient))))
	wantRedirectError(t, op, b.Get(authorizeURL(op, stolen)), "query", "invalid_request_object")
}

// A POST from another site brings the whole object along.
func TestRequestObjectByPost(t *testing.T) {
	op := startWithObjects(t)
	large := objectMembers(op, objectClient).with(members{"x": strings.Repeat("x", 4000), "y": strings.Repeat("y", 4000)})
	form := codeRequest().with(byValue(objectClient, object(t, jose.ES256, large)))
	if page := providertest.NewBrowser(t).Post(op.URL()+"/authorize", form.values()); page.Status != http.StatusOK || page.URL.Path != "/login" {
		t.Errorf("%d at %s", page.Status, page.URL.Path)
	}
}
