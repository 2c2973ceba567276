package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
)

// grantRefusal is a token request that is refused, and what is said of it.
type grantRefusal struct {
	name    string
	request grantRequest
	// What is told to everybody, and what is added where the provider explains:
	// "Expected: …. Arrived: …."
	what, explained string
	section         string // the end of error_uri
}

// grantRefusals has one for each check of a code, a verifier, a refresh token
// and a device code that comes to invalid_grant.
func grantRefusals() []grantRefusal {
	const (
		noCode    = "The authorization code is not known."
		noRefresh = "The refresh token is not known."
		noDevice  = "The device code is not known."
	)
	return []grantRefusal{
		{"an unknown code", ofCode(params{"code": "abc.def"}), noCode, "Expected: one that was issued to spa. Arrived: one that was never issued, or that is forgotten by now.", "rfc6749#section-5.2"},
		{"a code without a signature", ofCode(params{"code": "abc"}), noCode, "Arrived: one that was never issued", "rfc6749#section-5.2"},
		{"a code changed but for its signature", changedCode, noCode, "Expected: one that was issued to spa. Arrived: one that was never issued", "rfc6749#section-5.2"},
		{"a code of another client", as("web", ofCode(nil)), noCode, "Expected: one that was issued to web. Arrived: one of another client.", "rfc6749#section-5.2"},
		{"a used code of another client", as("web", usedCode(nil)), noCode, "Arrived: one of another client.", "rfc6749#section-5.2"},
		{"a used code", usedCode(nil), "The authorization code was used before: all tokens that came of it are revoked.", "Expected: a code that is new. Arrived: one that was redeemed at 2", "rfc6749#section-4.1.2"},
		{"an expired code", expiredCode, "The authorization code has expired.", "Expected: a request before 2000-01-01T00:01:00Z. Arrived: one at 2000-01-01T00:01:00Z.", "rfc6749#section-5.2"},
		{"a revoked code", revokedCode, "The authorization code was revoked.", "Expected: one whose grant lives. Arrived: one whose grant ended at 2000-01-01T00:00:00Z.", "rfc6749#section-5.2"},
		{"no redirect_uri", ofCode(params{"redirect_uri": ""}), "redirect_uri is not that of the authorization request.", "Expected: " + providertest.RedirectURI + ". Arrived: nothing.", "rfc6749#section-4.1.3"},
		{"another redirect_uri", ofCode(params{"redirect_uri": providertest.RedirectURI + "?other"}), "redirect_uri is not that of the authorization request.", "Arrived: " + providertest.RedirectURI + "?other.", "rfc6749#section-4.1.3"},

		{"no verifier", ofCode(params{"code_verifier": ""}), "code_verifier is missing: the authorization request had a code_challenge.", "Expected: the code_verifier that the code_challenge was made of. Arrived: nothing.", "rfc7636#section-4.5"},
		{"a short verifier", ofCode(params{"code_verifier": verifier[:42]}), "code_verifier is too short or too long.", "Expected: 43 to 128 characters. Arrived: 42.", "rfc7636#section-4.1"},
		{"a long verifier", ofCode(params{"code_verifier": strings.Repeat("x", 129)}), "code_verifier is too short or too long.", "Arrived: 129.", "rfc7636#section-4.1"},
		{"a verifier of other characters", ofCode(params{"code_verifier": verifier + "+"}), "code_verifier holds characters that none may have.", "Expected: A-Z a-z 0-9 - . _ ~. Arrived: others.", "rfc7636#section-4.1"},
		{"another verifier", ofCode(params{"code_verifier": verifier + "x"}), "code_verifier does not fit the code_challenge of the authorization request.", "Expected: the code_verifier whose SHA-256 is the code_challenge. Arrived: another.", "rfc7636#section-4.6"},
		{"a verifier that nobody asked for", withoutChallenge, "code_verifier has no counterpart: the authorization request had no code_challenge.", "Expected: no code_verifier. Arrived: one.", "rfc9700#section-4.8.2"},

		{"an unknown refresh token", ofRefresh(params{"refresh_token": "abc.def"}), noRefresh, "Expected: one that was issued to spa. Arrived: one that was never issued, or that is forgotten by now.", "rfc6749#section-5.2"},
		{"a refresh token changed but for its signature", changedRefresh, noRefresh, "Expected: one that was issued to spa. Arrived: one that was never issued", "rfc6749#section-5.2"},
		{"a refresh token of another client", as("web", ofRefresh(nil)), noRefresh, "Expected: one that was issued to web. Arrived: one of another client.", "rfc6749#section-5.2"},
		{"a used refresh token of another client", as("web", usedRefresh(nil, 1)), noRefresh, "Arrived: one of another client.", "rfc6749#section-5.2"},
		{"a used refresh token", usedRefresh(nil, 1), "The refresh token was used before: all tokens of its family are revoked.", "Expected: the newest refresh token. Arrived: one that was replaced at 2000-01-01T", "rfc9700#section-4.14.2"},
		{"one of a family that is revoked", usedRefresh(nil, 2), "The refresh token was revoked.", "Expected: one whose grant lives. Arrived: one whose grant ended at 2000-01-01T", "rfc6749#section-5.2"},
		{"an expired refresh token", expiredRefresh, "The refresh token has expired.", "Expected: a request before 2000-01-02T00:00:00Z. Arrived: one at 2000-01-02T00:00:01Z.", "rfc6749#section-5.2"},

		{"an unknown device code", ofDevice(params{"device_code": "abc"}), noDevice, "Expected: one that was issued to tv. Arrived: one that was never issued", "rfc6749#section-5.2"},
		{"a device code of another client", as("box", ofDevice(nil)), noDevice, "Expected: one that was issued to box. Arrived: one of another client.", "rfc6749#section-5.2"},
	}
}

// TestGrantRefusals: each says which check failed; the rest only where the
// provider explains. No text holds a code, a token or a verifier.
func TestGrantRefusals(t *testing.T) {
	for _, tt := range grantRefusals() {
		for name, explain := range map[string]bool{tt.name: false, tt.name + ", explained": true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tt.check(t, explain) })
			})
		}
	}
}

// check makes the request and looks at what is said.
func (tt *grantRefusal) check(t *testing.T, explains bool) {
	t.Helper()
	op := serving(t, provider.Config{Clients: deviceClients(), FixedKeys: fixedKeys(), Explain: explains})
	request, change := tt.request(t, op)
	a := op.answer(t, http.MethodPost, "/token", request.values(), change)
	wantError(t, a, http.StatusBadRequest, "invalid_grant")
	what, explained, found := strings.Cut(a.text("error_description"), " Expected: ")
	if what != tt.what {
		t.Errorf("got  %s\nwant %s", what, tt.what)
	}
	if found != explains || explains && !strings.Contains("Expected: "+explained, tt.explained) {
		t.Errorf("got  %s\nwant %s", explained, tt.explained)
	}
	if strings.HasSuffix(a.text("error_uri"), tt.section) != explains {
		t.Errorf("error_uri %q, want %s", a.text("error_uri"), tt.section)
	}
	for _, name := range []string{"code", "refresh_token", "device_code", "code_verifier"} {
		if secret := request[name]; secret != "" && strings.Contains(a.Raw, secret) {
			t.Errorf("the answer holds %s: %s", name, a.Raw)
		}
	}
}

// grantRequest makes a token request at a provider.
type grantRequest = func(t *testing.T, op *inProcess) (params, func(*http.Request))

// ofCode redeems a new code of the public client, with a change.
func ofCode(change params) grantRequest {
	return func(t *testing.T, op *inProcess) (params, func(*http.Request)) {
		t.Helper()
		return redeem(op.code(t)).with(change), nil
	}
}

func usedCode(change params) grantRequest {
	return func(t *testing.T, op *inProcess) (params, func(*http.Request)) {
		t.Helper()
		request := redeem(op.code(t))
		mustSucceed(t, op.token(t, request))
		return request.with(change), nil
	}
}

func changedCode(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	return redeem(tamper(op.code(t), 0)), nil
}

func expiredCode(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	request := redeem(op.code(t))
	time.Sleep(time.Minute)
	return request, nil
}

// revokedCode: the user has signed out, which ends what is not for offline_access.
func revokedCode(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	got := op.authorize(t, codeRequest().with(params{"response_type": "code id_token", "scope": "openid"}))
	op.do(t, http.MethodGet, "/logout?"+params{"id_token_hint": got.Get("id_token")}.values().Encode(), nil, nil)
	return redeem(got.Get("code")), nil
}

func withoutChallenge(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	return redeem(op.authorize(t, webRequest()).Get("code")).with(params{"client_id": ""}), asWeb
}

// ofRefresh uses a new refresh token of the public client, with a change.
func ofRefresh(change params) grantRequest { return usedRefresh(change, 0) }

// usedRefresh uses it some times before.
func usedRefresh(change params, times int) grantRequest {
	return func(t *testing.T, op *inProcess) (params, func(*http.Request)) {
		t.Helper()
		request := refreshRequest(mustSucceed(t, op.token(t, redeem(op.code(t)))).text("refresh_token"))
		for range times {
			op.token(t, request)
		}
		return request.with(change), nil
	}
}

func changedRefresh(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	request, _ := ofRefresh(nil)(t, op)
	return request.with(params{"refresh_token": tamper(request["refresh_token"], 0)}), nil
}

func expiredRefresh(t *testing.T, op *inProcess) (params, func(*http.Request)) {
	t.Helper()
	request, _ := ofRefresh(nil)(t, op)
	time.Sleep(24*time.Hour + time.Second)
	return request, nil
}

// ofDevice uses a device code that nobody has decided, with a change.
func ofDevice(change params) grantRequest {
	return func(t *testing.T, op *inProcess) (params, func(*http.Request)) {
		t.Helper()
		begun := op.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient}.values(), nil)
		return pollRequest(mustSucceed(t, begun)).with(change), nil
	}
}

// as lets a confidential client send the request.
func as(client string, request grantRequest) grantRequest {
	return func(t *testing.T, op *inProcess) (params, func(*http.Request)) {
		t.Helper()
		made, _ := request(t, op)
		return made.with(params{"client_id": ""}), func(r *http.Request) { r.SetBasicAuth(client, providertest.ConfidentialSecret) }
	}
}

func mustSucceed(t *testing.T, a answer) answer {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	return a
}

// TestGrantOfARemovedUser: whoever is taken out of the configuration is named as
// the reason, to all three grants.
func TestGrantOfARemovedUser(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	decide(t, begun, "allow")
	code := redeem(signIn(t, op, codeRequest()).Get("code"))
	refresh := refreshRequest(tokensFor(t, op, codeRequest()).text("refresh_token"))
	after := sameStore(t, op, deviceClients(), provider.SeedUsers()[1:])
	for _, request := range []params{code, refresh, pollRequest(begun)} {
		a := after.token(t, request)
		wantError(t, a, http.StatusBadRequest, "invalid_grant")
		if got := a.text("error_description"); got != "The user who allowed it is not known any more." {
			t.Errorf("%s: %s", request["grant_type"], got)
		}
	}
}

// TestRefreshTokenOfAClientThatLostIt: the registration may shrink.
func TestRefreshTokenOfAClientThatLostIt(t *testing.T) {
	op := providertest.Start(t, nil)
	refresh := refreshRequest(tokensFor(t, op, codeRequest()).text("refresh_token"))
	clients := providertest.DefaultClients()
	clients[0].Scope = "openid profile"
	a := sameStore(t, op, clients, nil).token(t, refresh)
	wantError(t, a, http.StatusBadRequest, "invalid_grant")
	if got := a.text("error_description"); got != "The client may no longer have refresh tokens." {
		t.Errorf("%s", got)
	}
}

// TestDeviceRefusalsSayWhy: of codes that are the client's own.
func TestDeviceRefusalsSayWhy(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: deviceClients(), Configure: func(c *provider.Config) { c.Explain = true }})
	begun := beginDevice(t, op, "openid")
	decide(t, begun, "allow")
	mustSucceed(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil))
	a := postForm(t, op.URL()+"/token", pollRequest(begun), nil)
	if got := a.text("error_description"); !strings.HasPrefix(got, "The device code was used before. Expected: a device code that is new. Arrived: one that gave its tokens at ") {
		t.Errorf("used: %s", got)
	}
}

// TestGrantRefusedAtTheCommit: who loses a race is told so.
func TestGrantRefusedAtTheCommit(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	for err, want := range map[error]string{
		storage.ErrUsed:     "The authorization grant was used by another request meanwhile.",
		storage.ErrRevoked:  "The authorization grant was revoked meanwhile.",
		storage.ErrNotFound: "The authorization grant is gone.",
	} {
		code := signIn(t, op, codeRequest()).Get("code")
		store.setOnCommit(func(storage.Changes) error { return err })
		a := postForm(t, op.URL()+"/token", redeem(code), nil)
		store.setOnCommit(nil)
		wantError(t, a, http.StatusBadRequest, "invalid_grant")
		if got := a.text("error_description"); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
