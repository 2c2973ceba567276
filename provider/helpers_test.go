package provider_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

// The verifier and its S256 challenge that tests use, RFC 7636 §4.1, §4.2.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// params are request parameters; with returns a changed copy, in which an empty
// value takes the parameter away.
type params map[string]string

func (p params) with(changes params) params {
	c := maps.Clone(p)
	for name, value := range changes {
		c[name] = value
		if value == "" {
			delete(c, name)
		}
	}
	return c
}

func (p params) values() url.Values {
	v := url.Values{}
	for name, value := range p {
		v.Set(name, value)
	}
	return v
}

// codeRequest is a valid authorization request of the public client.
func codeRequest() params {
	return params{
		"response_type": "code", "client_id": providertest.PublicClient, "redirect_uri": providertest.RedirectURI,
		"scope": "openid profile email offline_access", "state": "state-0123456789", "nonce": "nonce-0123456789",
		"code_challenge": challenge(verifier), "code_challenge_method": "S256",
	}
}

// webRequest is the same of the confidential client, without PKCE.
func webRequest() params {
	return codeRequest().with(params{"client_id": providertest.ConfidentialClient, "code_challenge": "", "code_challenge_method": ""})
}

func authorizeURL(op *providertest.Server, p params) string {
	return op.URL() + "/authorize?" + p.values().Encode()
}

// answer is a response with a JSON body, or none.
type answer struct {
	Status int
	Header http.Header
	Body   map[string]any
	Raw    string
}

func (a answer) text(member string) string {
	s, _ := a.Body[member].(string)
	return s
}

// do sends a request and reads its answer.
func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	_ = json.Unmarshal(raw, &a.Body)
	return a
}

// postForm sends a form. change may alter the request.
func postForm(t *testing.T, target string, p params, change func(*http.Request)) answer {
	t.Helper()
	return do(t, formRequest(t.Context(), t, target, p, change))
}

func formRequest(ctx context.Context, t *testing.T, target string, p params, change func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(p.values().Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(req)
	}
	return req
}

// asWeb authenticates the confidential client.
func asWeb(r *http.Request) {
	r.SetBasicAuth(providertest.ConfidentialClient, providertest.ConfidentialSecret)
}

func get(t *testing.T, target string, change func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	return do(t, req)
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// signIn sends an authorization request through a new browser as alice and
// returns the parameters of the response, wherever they are.
func signIn(t *testing.T, op *providertest.Server, p params) url.Values {
	t.Helper()
	return response(t, providertest.NewBrowser(t).SignIn(authorizeURL(op, p), "alice", "alice"))
}

func response(t *testing.T, callback *url.URL) url.Values {
	t.Helper()
	if callback.Fragment == "" {
		return callback.Query()
	}
	v, err := url.ParseQuery(callback.EscapedFragment())
	if err != nil {
		t.Fatalf("fragment: %v", err)
	}
	return v
}

// redeem is the token request for a code of the public client.
func redeem(code string) params {
	return params{
		"grant_type": "authorization_code", "code": code, "redirect_uri": providertest.RedirectURI,
		"client_id": providertest.PublicClient, "code_verifier": verifier,
	}
}

// tokensFor signs alice in at the public client and redeems the code.
func tokensFor(t *testing.T, op *providertest.Server, p params) answer {
	t.Helper()
	a := postForm(t, op.URL()+"/token", redeem(signIn(t, op, p).Get("code")), nil)
	if a.Status != http.StatusOK {
		t.Fatalf("redeem: %d %s", a.Status, a.Raw)
	}
	return a
}

func refreshRequest(token string) params {
	return params{"grant_type": "refresh_token", "refresh_token": token, "client_id": providertest.PublicClient}
}

// wantError checks a token endpoint's error.
func wantError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.text("error") != code {
		t.Errorf("answer: %d %s; want %d %s", a.Status, a.Raw, status, code)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q, want no-store", got)
	}
}

// claimsOf decodes a JWT's payload without checking anything.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	return part(t, token, 1)
}

// headerOf decodes a JWT's header.
func headerOf(t *testing.T, token string) map[string]any {
	t.Helper()
	return part(t, token, 0)
}

func part(t *testing.T, token string, index int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a compact JWS: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[index])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// keysOf returns the names of parameters in order.
func keysOf(v url.Values) []string { return slices.Sorted(maps.Keys(v)) }
