package provider_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// cheapPassword is the hash of "alice" at the least cost: most tests are not
// about passwords.
const cheapPassword = "$argon2id$v=19$m=8,t=1,p=1$b2lkY2xhYi1leGFtcGxl$Eda8ZeDtGDnEsRXVHvIy7FW6wwgV8cs8GBf26yBCaHY"

func cheapUsers() []provider.User {
	users := provider.SeedUsers()
	users[0].PasswordHash = cheapPassword
	return users
}

// TestStumblingBlocks: what relying parties stumbled over at providers that use
// fosite as it comes. Each subtest has the name of the mistake that this
// provider does not make.
func TestStumblingBlocks(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: assertionClients(t), Users: cheapUsers()})
	for name, check := range map[string]func(*testing.T, *providertest.Server){
		"a state or nonce under 8 characters is refused":                      shortStateAndNonce,
		"a 401 without WWW-Authenticate":                                      challengeOn401,
		"an unknown grant is answered invalid_request":                        unknownGrant,
		"private_key_jwt with the issuer as audience is refused":              issuerAsAudience,
		"an expired assertion is answered 500":                                expiredAssertion,
		"a replayed jti is accepted":                                          replayedAssertion,
		"two of fifty parallel refreshes succeed":                             parallelRefreshes,
		"form_post is refused unless the client lists response modes":         formPostWithoutRegistration,
		"a repeated parameter is accepted":                                    repeatedParameters,
		"userinfo takes the token from the query":                             tokenInQuery,
		"a state of 1 MB is accepted":                                         hugeState,
		"endpoints in the metadata follow a forged Host":                      forgedHost,
		"an error has no CORS headers":                                        corsOnErrors,
		"revocation answers a content type that client libraries cannot read": revocationContentType,
	} {
		t.Run(name, func(t *testing.T) { check(t, op) })
	}
}

// The length of state and nonce is the client's affair: RFC 6749 §4.1.1 and OIDC
// Core §3.1.2.1 set no least one. fosite wants 8 characters.
func shortStateAndNonce(t *testing.T, op *providertest.Server) {
	t.Helper()
	got := signIn(t, op, codeRequest().with(params{"response_type": "code id_token", "state": "s", "nonce": "n"}))
	if got.Get("state") != "s" || got.Get("code") == "" {
		t.Fatalf("response %v", got)
	}
	if nonce := claimsOf(t, got.Get("id_token"))["nonce"]; nonce != "n" {
		t.Errorf("nonce %q", nonce)
	}
}

// RFC 6749 §5.2 and RFC 9110 §15.5.2.
func challengeOn401(t *testing.T, op *providertest.Server) {
	t.Helper()
	wrong := func(r *http.Request) { r.SetBasicAuth(providertest.ConfidentialClient, "wrong") }
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		a := postForm(t, op.URL()+path, params{"grant_type": "client_credentials", "token": "x"}, wrong)
		wantError(t, a, http.StatusUnauthorized, "invalid_client")
		if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", path, got)
		}
	}
	a := get(t, op.URL()+"/userinfo", bearer("unknown"))
	if got := a.Header.Get("WWW-Authenticate"); a.Status != http.StatusUnauthorized || !strings.HasPrefix(got, "Bearer ") {
		t.Errorf("/userinfo: %d, WWW-Authenticate %q", a.Status, got)
	}
}

// RFC 6749 §5.2.
func unknownGrant(t *testing.T, op *providertest.Server) {
	t.Helper()
	a := postForm(t, op.URL()+"/token", params{"grant_type": "urn:example:magic"}, asWeb)
	wantError(t, a, http.StatusBadRequest, "unsupported_grant_type")
}

// asserted sends a request that authenticates by an assertion with changes.
func asserted(t *testing.T, op *providertest.Server, changes map[string]any) answer {
	t.Helper()
	claims := assertionClaims(op, keyClient)
	maps.Copy(claims, changes)
	assertion := signed(t, jose.ES256, rpKeys()[jose.ES256], "", "JWT", claims)
	return postForm(t, op.URL()+"/token", asserting(assertion), nil)
}

// RFC 7523 §3 leaves the audience open; recent profiles demand the issuer.
func issuerAsAudience(t *testing.T, op *providertest.Server) {
	t.Helper()
	if a := asserted(t, op, map[string]any{"aud": op.URL()}); a.Status != http.StatusOK {
		t.Errorf("answer %d %s", a.Status, a.Raw)
	}
}

func expiredAssertion(t *testing.T, op *providertest.Server) {
	t.Helper()
	a := asserted(t, op, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	wantError(t, a, http.StatusUnauthorized, "invalid_client")
}

// RFC 7523 §3, item 7. fosite forgets what it saw where the request fails.
func replayedAssertion(t *testing.T, op *providertest.Server) {
	t.Helper()
	same := map[string]any{"jti": rand.Text()}
	if a := asserted(t, op, same); a.Status != http.StatusOK {
		t.Fatalf("the first time: %d %s", a.Status, a.Raw)
	}
	wantError(t, asserted(t, op, same), http.StatusUnauthorized, "invalid_client")
}

// RFC 9700 §4.14.2.
func parallelRefreshes(t *testing.T, op *providertest.Server) {
	t.Helper()
	tokens := tokensFor(t, op, codeRequest())
	wantOneWinner(t, race(t, 50, op.URL()+"/token", refreshRequest(tokens.text("refresh_token"))))
}

// A client registers response types, not modes: OAuth 2.0 Form Post Response Mode.
func formPostWithoutRegistration(t *testing.T, op *providertest.Server) {
	t.Helper()
	b := providertest.NewBrowser(t)
	b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice")
	page := b.Get(authorizeURL(op, codeRequest().with(params{"response_mode": "form_post"})))
	if page.FormAction() != providertest.RedirectURI || page.Field("code") == "" {
		t.Errorf("answer %d, form to %q", page.Status, page.FormAction())
	}
}

// RFC 6749 §3.1, §3.2.
func repeatedParameters(t *testing.T, op *providertest.Server) {
	t.Helper()
	for _, name := range []string{"scope", "state", "client_id", "redirect_uri", "x"} {
		query := codeRequest().with(params{"x": "y"}).values()
		query.Add(name, query.Get(name))
		a := get(t, op.URL()+"/authorize?"+query.Encode(), nil)
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Raw, "more than once") {
			t.Errorf("%s twice at /authorize: %d", name, a.Status)
		}
	}
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		a := postRaw(t, op, path, "grant_type=client_credentials&token=x&token=x&grant_type=client_credentials")
		wantError(t, a, http.StatusBadRequest, "invalid_request")
	}
}

// postRaw sends a body as it is, as the confidential client.
func postRaw(t *testing.T, op *providertest.Server, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, op.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asWeb(req)
	return do(t, req)
}

// RFC 6750 §2.3 allows it, RFC 9700 §4.3.2 does not: queries end in logs.
func tokenInQuery(t *testing.T, op *providertest.Server) {
	t.Helper()
	token := tokensFor(t, op, codeRequest()).text("access_token")
	if a := get(t, op.URL()+"/userinfo", bearer(token)); a.Status != http.StatusOK {
		t.Fatalf("in the header: %d %s", a.Status, a.Raw)
	}
	if a := get(t, op.URL()+"/userinfo?access_token="+token, nil); a.Status != http.StatusBadRequest || a.text("error") != "invalid_request" {
		t.Errorf("in the query: %d %s", a.Status, a.Raw)
	}
}

func hugeState(t *testing.T, op *providertest.Server) {
	t.Helper()
	request := codeRequest().with(params{"state": strings.Repeat("s", 1<<20)})
	for _, a := range []answer{
		get(t, authorizeURL(op, request), nil),
		postForm(t, op.URL()+"/authorize", request, func(r *http.Request) { r.Header.Set("Origin", op.URL()) }),
	} {
		if a.Status < 400 || a.Status > 499 || len(a.Raw) > 64<<10 {
			t.Errorf("answer %d of %d bytes", a.Status, len(a.Raw))
		}
	}
}

func forgedHost(t *testing.T, op *providertest.Server) {
	t.Helper()
	for _, path := range []string{openIDConfiguration, oauthMetadata} {
		honest := get(t, op.URL()+path, nil)
		forged := get(t, op.URL()+path, func(r *http.Request) {
			r.Host = "evil.example"
			r.Header.Set("X-Forwarded-Host", "evil.example")
			r.Header.Set("Forwarded", "host=evil.example;proto=https")
		})
		if honest.Status != http.StatusOK || forged.Raw != honest.Raw {
			t.Errorf("%s: %d %s", path, forged.Status, forged.Raw)
		}
	}
}

// A script cannot read an error without them, and reports a network failure.
func corsOnErrors(t *testing.T, op *providertest.Server) {
	t.Helper()
	const origin = "http://rp.localhost:1"
	fromOrigin := func(r *http.Request) { r.Header.Set("Origin", origin) }
	for path, status := range map[string]int{"/token": 401, "/revoke": 401, "/userinfo": 401, "/device_authorization": 401} {
		a := postForm(t, op.URL()+path, params{"grant_type": "refresh_token", "refresh_token": "x", "client_id": "nobody", "token": "x"}, fromOrigin)
		if a.Status != status {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
		wantCORS(t, a.Header, origin, true)
	}
	a := get(t, op.URL()+"/token", fromOrigin)
	if a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET /token: %d", a.Status)
	}
	wantCORS(t, a.Header, origin, true)
}

// Libraries decode what calls itself JSON or reject any other type, and an empty
// body is neither: RFC 7009 §2.2 gives success no body, §2.2.1 errors JSON.
func revocationContentType(t *testing.T, op *providertest.Server) {
	t.Helper()
	good := postForm(t, op.URL()+"/revoke", params{"token": "unknown"}, asWeb)
	if good.Status != http.StatusOK || good.Raw != "" || good.Header.Get("Content-Type") != "" {
		t.Errorf("success: %d, %q of type %q", good.Status, good.Raw, good.Header.Get("Content-Type"))
	}
	bad := postForm(t, op.URL()+"/revoke", nil, asWeb)
	wantError(t, bad, http.StatusBadRequest, "invalid_request")
	if got := bad.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("an error of type %q", got)
	}
}
