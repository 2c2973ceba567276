package provider_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// fuzzing is one provider in process for all inputs of a target.
func fuzzing(f *testing.F) http.Handler {
	f.Helper()
	clients := providertest.DefaultClients()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rpKeys()[jose.ES256].Public(), Use: "sig"}}})
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(keys, &clients[0].JWKS); err != nil {
		f.Fatal(err)
	}
	p, err := provider.New(f.Context(), provider.Config{
		Issuer: "http://op.localhost", Store: storagetest.NewModel(), FixedKeys: fixedKeys(), Clients: clients, Users: cheapUsers(),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	return p
}

// send sends one request as a stranger, without cookies.
func send(t *testing.T, handler http.Handler, method, target string, change func(*http.Request)) answer {
	t.Helper()
	op := &inProcess{handler: handler, cookies: map[string]string{}}
	return op.answer(t, method, target, nil, change)
}

// withBody sets a form as it is.
func withBody(body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = http.NoBody
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		r.ContentLength = int64(len(body))
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// wantSafeAuthorization checks what holds for the answer to any authorization
// request of somebody who is not signed in.
func wantSafeAuthorization(t *testing.T, a answer) {
	t.Helper()
	location := a.Header.Get("Location")
	if a.Status >= 500 || (location != "") != (a.Status == http.StatusSeeOther || a.Status == http.StatusFound) {
		t.Fatalf("answer %d to %q:\n%s", a.Status, location, a.Raw)
	}
	if location == "" || strings.HasPrefix(location, "/login?") {
		return
	}
	rest, ok := strings.CutPrefix(location, providertest.RedirectURI)
	if !ok || !strings.HasPrefix(rest, "?") && !strings.HasPrefix(rest, "#") {
		t.Fatalf("redirect to %q", location)
	}
	values, err := url.ParseQuery(rest[1:])
	if err != nil || values.Get("error") == "" && values.Get("response") == "" || values.Has("code") {
		t.Fatalf("response %q: %v", rest, err)
	}
}

// FuzzAuthorize: no query leads to a stranger, or past the login, and errors
// stand where the response type says.
func FuzzAuthorize(f *testing.F) {
	for _, change := range []params{
		{},
		{"prompt": "none"},
		{"response_type": "code id_token"},
		{"response_type": "token"},
		{"response_mode": "form_post", "prompt": "none"},
		{"response_mode": "query.jwt"},
		{"claims": `{"id_token":{"acr":{"essential":true}}}`},
		{"request": "e30.e30."},
		{"redirect_uri": "https://evil.example/"},
		{"request_uri": "urn:ietf:params:oauth:request_uri:x"},
		{"max_age": "-1"},
		{"client_id": "web"},
		{"id_token_hint": "a.b.c"},
		{"resource": "https://x/#y"},
	} {
		f.Add(codeRequest().with(change).values().Encode())
	}
	f.Add("client_id=spa&client_id=web&%00=%ff&redirect_uri=http://rp.localhost:1/callback%0d%0aX:y")
	handler := fuzzing(f)
	f.Fuzz(func(t *testing.T, query string) {
		a := send(t, handler, http.MethodGet, "/authorize", func(r *http.Request) { r.URL.RawQuery = query })
		wantSafeAuthorization(t, a)
		form, err := url.ParseQuery(query)
		if err != nil || len(form["response_type"]) != 1 || form.Get("response_mode") != "" || form.Has("request") || form.Has("request_uri") {
			return
		}
		types := strings.Fields(form.Get("response_type"))
		inFront := slices.Contains(types, "token") || slices.Contains(types, "id_token")
		known := slices.ContainsFunc(allResponseTypes, func(rt struct{ name, place string }) bool { return rt.name == form.Get("response_type") })
		if location := a.Header.Get("Location"); known && inFront && strings.HasPrefix(location, providertest.RedirectURI+"?") {
			t.Fatalf("an error in the query: %q", location)
		}
	})
}

// compact signs any text.
func compact(t *testing.T, key jose.JSONWebKey, typ, text string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzRequestObject: the same for what stands in an object, signed or not.
func FuzzRequestObject(f *testing.F) {
	add := func(m members) {
		raw, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw), true)
	}
	whole := members{"iss": "spa", "aud": "http://op.localhost", "exp": 4e9, "max_age": 10, "claims": members{"id_token": nil}}
	for name, value := range codeRequest() {
		whole[name] = value
	}
	add(whole)
	add(whole.with(members{"redirect_uri": "https://evil.example/", "prompt": "none"}))
	add(whole.with(members{"response_type": "code id_token", "prompt": []string{"none"}, "aud": []any{1, "http://op.localhost"}}))
	for _, text := range []string{``, `{}`, `[]`, `null`, `{"exp":1e400}`, `{"client_id":"spa","client_id":"web"}`, `{"claims":"{"}`, `{"request":"e30.e30."}`} {
		f.Add(text, true)
		f.Add(unsigned(base64.RawURLEncoding.EncodeToString([]byte(text)), "JWT"), false)
	}
	handler := fuzzing(f)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		if sign {
			text = compact(t, jose.JSONWebKey{Key: rpKeys()[jose.ES256]}, "oauth-authz-req+jwt", text)
		}
		query := url.Values{"client_id": {"spa"}, "request": {text}}.Encode()
		wantSafeAuthorization(t, send(t, handler, http.MethodGet, "/authorize?"+query, nil))
	})
}

// wantSafeToken checks what holds for any answer of the token endpoint.
func wantSafeToken(t *testing.T, a answer) {
	t.Helper()
	if a.Status >= 500 || a.Body == nil || a.Header.Get("Cache-Control") != "no-store" || (a.Status == http.StatusOK) == (a.text("error") != "") {
		t.Fatalf("answer %d %s", a.Status, a.Raw)
	}
}

// FuzzToken: no form breaks the token endpoint, or gets a token without proof.
func FuzzToken(f *testing.F) {
	for _, p := range []params{
		redeem("code"), refreshRequest("token"),
		{"grant_type": "client_credentials", "client_id": "web", "client_secret": "wrong"},
		{"grant_type": grantDevice, "device_code": "x", "client_id": "spa"},
		{"grant_type": "password", "client_id": "spa", "username": "alice"},
		asserting("e30.e30.e30"), asserting(unsigned("eyJzdWIiOiJ3ZWIifQ", "JWT")),
	} {
		f.Add(p.values().Encode())
	}
	f.Add("grant_type=authorization_code&code=a&code=b&%00&client_id=%ff")
	handler := fuzzing(f)
	f.Fuzz(func(t *testing.T, body string) {
		a := send(t, handler, http.MethodPost, "/token", withBody(body))
		wantSafeToken(t, a)
		if a.Status == http.StatusOK {
			t.Fatalf("a token for %q", body)
		}
	})
}

// FuzzBasic: only the secret itself authenticates by it (RFC 6749 §2.3.1).
func FuzzBasic(f *testing.F) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	const good = providertest.ConfidentialClient + ":" + providertest.ConfidentialSecret
	for _, header := range []string{basic(good), basic("web:wrong"), basic("spa:"), basic(":"), basic("web"), basic("%zz:%"), basic("\xff:\x00"), "Basic", "Basic !", "basic\t", "Bearer x"} {
		f.Add(header)
	}
	handler := fuzzing(f)
	f.Fuzz(func(t *testing.T, header string) {
		a := send(t, handler, http.MethodPost, "/token", both(withBody("grant_type=client_credentials"), func(r *http.Request) {
			r.Header["Authorization"] = []string{header}
		}))
		wantSafeToken(t, a)
		_, text, _ := strings.Cut(header, " ")
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if decoded, err := url.QueryUnescape(string(raw)); a.Status == http.StatusOK && (err != nil || decoded != good) {
			t.Fatalf("%q authenticates", header)
		}
	})
}

// FuzzHint: no id_token_hint ends a session that it does not name, or leads a
// browser away on its word.
func FuzzHint(f *testing.F) {
	for _, text := range []string{
		`{"iss":"http://op.localhost","aud":"spa","sub":"248289761001","sid":"x","exp":4000000000,"iat":1}`, `{"iss":"http://op.localhost","aud":["spa","web"],"sub":1}`,
		`{"iss":"https://other.example","aud":"spa","sub":"x"}`, ``, `{}`, `[]`, `null`, `{"aud":{}}`,
	} {
		f.Add(text, true)
		f.Add(unsigned(base64.RawURLEncoding.EncodeToString([]byte(text)), "JWT"), false)
	}
	handler := fuzzing(f)
	key := fixedKeys()[slices.IndexFunc(fixedKeys(), func(k jose.JSONWebKey) bool { return k.Algorithm == "ES256" })]
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		if sign {
			text = compact(t, key, "JWT", text)
		}
		wantSafeAuthorization(t, send(t, handler, http.MethodGet, "/authorize?"+codeRequest().with(params{"id_token_hint": text}).values().Encode(), nil))
		a := send(t, handler, http.MethodGet, "/logout?"+goodLogout(text).values().Encode(), nil)
		if location := a.Header.Get("Location"); a.Status >= 500 || location != "" && !strings.HasPrefix(location, providertest.PostLogoutRedirectURI+"?state=bye-") {
			t.Fatalf("logout: %d to %q", a.Status, location)
		}
	})
}

// FuzzProof: a DPoP proof is refused by its name, or binds the token.
func FuzzProof(f *testing.F) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: private.Public()})
	if err != nil {
		f.Fatal(err)
	}
	header := `{"typ":"dpop+jwt","alg":"ES256","jwk":` + string(jwk) + `}`
	const claims = `{"jti":"once","htm":"POST","htu":"http://op.localhost/token","iat":1700000000}`
	for _, part := range []string{``, `{}`, `[]`, `null`, `{"jwk":{"kty":"oct","k":"AA"},"alg":"HS256","typ":"dpop+jwt"}`, `{"iat":1e400}`, `{"htu":"http://op.localhost/%2e/token?x#y","htm":"post"}`} {
		f.Add(part, claims)
		f.Add(header, part)
	}
	f.Add(header, claims)
	handler := fuzzing(f)
	f.Fuzz(func(t *testing.T, header, claims string) {
		input := base64url(header) + "." + base64url(claims)
		signature := dpopKey{"ES256", private}.sign(t, "ES256", input)
		proof := input + "." + base64.RawURLEncoding.EncodeToString(signature)
		a := send(t, handler, http.MethodPost, "/token", both(withBody("grant_type=client_credentials"), both(asWeb, withProof(proof))))
		wantSafeToken(t, a)
		if a.Status == http.StatusOK && a.text("token_type") != "DPoP" {
			t.Fatalf("a token that is not bound: %s", a.Raw)
		}
	})
}
