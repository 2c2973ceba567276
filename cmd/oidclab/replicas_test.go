package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/provider/providertest"
)

const (
	racers   = 64
	verifier = "a-verifier-of-at-least-forty-three-characters-0123456789"
)

// TestReplicas: three processes on one database are one provider.
func TestReplicas(t *testing.T) {
	f := startFleet(t, 3)
	for _, test := range []struct {
		name string
		test func(f *fleet)
	}{
		{"whole flows go over all of them", wholeFlows},
		{"one of 64 redeems a code", raceForCode},
		{"one of 64 rotates a refresh token", raceForRefreshToken},
		{"one of 64 brings a DPoP proof", raceWithProof},
		{"one of 64 brings a client assertion", raceWithAssertion},
		{"one of 64 has a pushed request answered", raceForPushed},
		{"keys are seen before they sign", rotateKeys},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := &fleet{T: t, issuer: f.issuer, replicas: f.replicas, served: f.served}
			test.test(g)
		})
	}
	for _, path := range []string{"/authorize", "/login", "/consent", "/token", "/userinfo", "/introspect", "/par"} {
		if n := len(f.served[path]); n != len(f.replicas) {
			t.Errorf("%s came to %d replicas", path, n)
		}
	}
}

// authorize is an authorization request of a client.
func (f *fleet) authorize(client string, more ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {providertest.RedirectURI}, "scope": {"openid offline_access"},
		"state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return f.issuer + "/authorize?" + q.Encode()
}

func redemption(client, code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "client_id": {client}, "code": {code},
		"redirect_uri": {providertest.RedirectURI}, "code_verifier": {verifier},
	}
}

func renewal(client, token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token}}
}

// asMachine authenticates the client that may introspect.
func asMachine() http.Header {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth("machine", "machine-secret-machine-secret-machine-secret")
	return r.Header
}

// active says whether an access token is.
func (f *fleet) active(token string) bool {
	f.Helper()
	active, _ := f.must(http.StatusOK, "/introspect", url.Values{"token": {token}}, asMachine()).body["active"].(bool)
	return active
}

func bearerHeader(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// wholeFlows: login, consent, code, tokens, userinfo, introspection, renewal and
// logout, each request at another replica than the one before.
func wholeFlows(f *fleet) {
	const client = "consenting"
	for range 6 {
		browser := providertest.NewBrowser(f)
		code := browser.SignIn(f.authorize(client, "prompt", "consent"), "alice", "alice").Query().Get("code")
		tokens := f.must(http.StatusOK, "/token", redemption(client, code), nil)
		if sub := f.must(http.StatusOK, "/userinfo", nil, bearerHeader(tokens.text("access_token"))).text("sub"); sub != "alice-1" {
			f.Errorf("userinfo: sub %q", sub)
		}
		for range 3 {
			tokens = f.must(http.StatusOK, "/token", renewal(client, tokens.text("refresh_token")), nil)
			if !f.active(tokens.text("access_token")) {
				f.Error("the renewed token is not active")
			}
		}
		// The session is known everywhere, and its end, too.
		silent := f.authorize(client, "prompt", "none")
		for range 3 {
			if got := browser.Get(silent).Callback.Query(); got.Get("code") == "" {
				f.Errorf("silently: %v", got)
			}
		}
		out := browser.Get(f.issuer + "/logout?" + url.Values{
			"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {providertest.PostLogoutRedirectURI},
		}.Encode())
		if out.Callback == nil {
			f.Fatalf("logout: %d %s", out.Status, out.Body)
		}
		for range 3 {
			if got := browser.Get(silent).Callback.Query(); got.Get("error") != "login_required" {
				f.Errorf("after the logout: %v", got)
			}
		}
	}
}

// race sends one request many times at once. One is answered with the status
// won; the others are refused.
func (f *fleet) race(won int, send func() (reply, error)) (winner reply) {
	f.Helper()
	replies, errs := make([]reply, racers), make([]error, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			<-start
			replies[i], errs[i] = send()
		})
	}
	close(start)
	all.Wait()
	winners := 0
	for i, a := range replies {
		switch {
		case errs[i] != nil:
			f.Errorf("racer %d: %v", i, errs[i])
		case a.status == won && a.text("error") == "" && (a.target == nil || a.target.Query().Get("code") != ""):
			winners++
			winner = a
		case a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized && a.status != http.StatusSeeOther:
			f.Errorf("racer %d: %d %s", i, a.status, a.raw)
		}
	}
	if winners != 1 {
		f.Fatalf("%d of %d succeeded, want one", winners, racers)
	}
	return winner
}

func (f *fleet) code(browser *providertest.Browser) string {
	f.Helper()
	return browser.SignIn(f.authorize("spa"), "alice", "alice").Query().Get("code")
}

func raceForCode(f *fleet) {
	browser := providertest.NewBrowser(f)
	for range 5 {
		form := redemption("spa", f.code(browser))
		winner := f.race(http.StatusOK, func() (reply, error) { return f.send(http.DefaultClient, "/token", form, nil) })
		if f.active(winner.text("access_token")) {
			f.Error("the token survives the replay of its code")
		}
		f.must(http.StatusBadRequest, "/token", renewal("spa", winner.text("refresh_token")), nil)
	}
}

func raceForRefreshToken(f *fleet) {
	browser := providertest.NewBrowser(f)
	for range 5 {
		tokens := f.must(http.StatusOK, "/token", redemption("spa", f.code(browser)), nil)
		form := renewal("spa", tokens.text("refresh_token"))
		winner := f.race(http.StatusOK, func() (reply, error) { return f.send(http.DefaultClient, "/token", form, nil) })
		if f.active(winner.text("access_token")) {
			f.Error("the token survives the replay of the refresh token before it")
		}
		f.must(http.StatusBadRequest, "/token", renewal("spa", winner.text("refresh_token")), nil)
	}
}

// signed makes a JWT with a new key.
func signed(f *fleet, key *ecdsa.PrivateKey, options *jose.SignerOptions, claims map[string]any) string {
	f.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		f.Fatal(err)
	}
	claims["jti"], claims["iat"], claims["exp"] = rand.Text(), time.Now().Unix(), time.Now().Add(time.Minute).Unix()
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		f.Fatal(err)
	}
	return token
}

func newKey(f *fleet) *ecdsa.PrivateKey {
	f.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	return key
}

func raceWithProof(f *fleet) {
	for range 3 {
		header := asMachine()
		header.Set("DPoP", signed(f, newKey(f), (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"),
			map[string]any{"htm": http.MethodPost, "htu": f.issuer + "/token"}))
		form := url.Values{"grant_type": {"client_credentials"}}
		f.race(http.StatusOK, func() (reply, error) { return f.send(http.DefaultClient, "/token", form, header) })
	}
}

// raceWithAssertion lets a client that registered at one of them authenticate at
// all.
func raceWithAssertion(f *fleet) {
	key := newKey(f)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		f.Fatal(err)
	}
	req, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.issuer+"/register", strings.NewReader(
		`{"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256",
		"redirect_uris": ["`+providertest.RedirectURI+`"], "jwks": `+string(keys)+`}`))
	if err != nil {
		f.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated || json.Unmarshal(raw, &client) != nil {
		f.Fatalf("register: %d %s, %v", resp.StatusCode, raw, err)
	}
	for range 3 {
		request, err := url.Parse(f.authorize(client.ID))
		if err != nil {
			f.Fatal(err)
		}
		form := request.Query()
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", signed(f, key, nil, map[string]any{"iss": client.ID, "sub": client.ID, "aud": f.issuer + "/token"}))
		f.race(http.StatusCreated, func() (reply, error) { return f.send(http.DefaultClient, "/par", form, nil) })
	}
}

// raceForPushed lets one browser, which is signed in, open a pushed request many
// times.
func raceForPushed(f *fleet) {
	browser := providertest.NewBrowser(f)
	f.code(browser)
	client := f.inStead(browser)
	for range 3 {
		request, err := url.Parse(f.authorize("spa"))
		if err != nil {
			f.Fatal(err)
		}
		pushed := f.must(http.StatusCreated, "/par", request.Query(), nil)
		path := "/authorize?" + url.Values{"client_id": {"spa"}, "request_uri": {pushed.text("request_uri")}}.Encode()
		f.race(http.StatusSeeOther, func() (reply, error) { return f.send(client, path, nil, nil) })
	}
}

// rotateKeys lets one replica publish and use new keys.
func rotateKeys(f *fleet) {
	before := f.published(0)
	if n := len(before); n == 0 {
		f.Fatal("no keys")
	}
	f.rotate(0, `{}`)
	for i := range f.replicas {
		if got, want := len(f.published(i)), 2*len(before); got != want {
			f.Errorf("replica %d publishes %d keys, want %d", i, got, want)
		}
	}
	f.rotate(1, `{"now": true}`)
	browser := providertest.NewBrowser(f)
	fresh := 0
	for range 2 * len(f.replicas) {
		tokens := f.must(http.StatusOK, "/token", redemption("spa", f.code(browser)), nil)
		token, err := jose.ParseSignedCompact(tokens.text("id_token"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			f.Fatal(err)
		}
		kid := token.Signatures[0].Header.KeyID
		for i := range f.replicas {
			if !f.published(i)[kid] {
				f.Errorf("replica %d does not publish the key that signs", i)
			}
			// Each believes what any of them has signed.
			f.must(http.StatusOK, "/userinfo", nil, bearerHeader(tokens.text("access_token")))
		}
		if !before[kid] {
			fresh++
		}
	}
	if fresh == 0 {
		f.Error("no new key has signed")
	}
}
