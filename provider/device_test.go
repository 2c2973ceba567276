package provider_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
)

const (
	deviceClient = "tv"
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
)

func deviceClients() []provider.Client {
	return append(providertest.DefaultClients(),
		provider.Client{
			ID: deviceClient, Name: "Television", TokenEndpointAuthMethod: "none",
			GrantTypes: []string{grantDevice, "refresh_token"}, Scope: "openid profile email offline_access",
		},
		provider.Client{
			ID: "box", TokenEndpointAuthMethod: "client_secret_basic", Secret: providertest.ConfidentialSecret, GrantTypes: []string{grantDevice},
		},
	)
}

func startWithDevice(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Clients: deviceClients()})
}

// beginDevice asks for codes.
func beginDevice(t *testing.T, op *providertest.Server, scope string) answer {
	t.Helper()
	a := postForm(t, op.URL()+"/device_authorization", params{"client_id": deviceClient, "scope": scope}, nil)
	if a.Status != http.StatusOK {
		t.Fatalf("device authorization: %d %s", a.Status, a.Raw)
	}
	return a
}

func pollRequest(begun answer) params {
	return params{"grant_type": grantDevice, "device_code": begun.text("device_code"), "client_id": deviceClient}
}

// decide connects the device as alice in a new browser.
func decide(t *testing.T, begun answer, button string) *providertest.Page {
	t.Helper()
	b := providertest.NewBrowser(t)
	page := b.Submit(b.Get(begun.text("verification_uri_complete")), "submit", nil)
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	return b.Submit(page, button, nil)
}

// TestDeviceGrant: from the codes to tokens (RFC 8628 §3).
func TestDeviceGrant(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid email offline_access")
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(begun.text("user_code")) ||
		begun.text("verification_uri") != op.URL()+"/device" || begun.Body["expires_in"] != 600. || begun.Body["interval"] != 5. ||
		len(begun.text("device_code")) < 43 || begun.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("answer: %s", begun.Raw)
	}
	wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil), http.StatusBadRequest, "authorization_pending")

	page := decide(t, begun, "allow")
	if page.Status != http.StatusOK || !strings.Contains(page.Body, "The device is connected") {
		t.Fatalf("%d\n%s", page.Status, page.Body)
	}
	tokens := postForm(t, op.URL()+"/token", pollRequest(begun), nil)
	if tokens.Status != http.StatusOK || tokens.text("token_type") != "Bearer" || tokens.text("scope") != "openid email offline_access" {
		t.Fatalf("%d %s", tokens.Status, tokens.Raw)
	}
	id := verified(t, op, tokens.text("id_token"), "RS256")
	if id["sub"] != "248289761001" || id["aud"] != deviceClient || id["at_hash"] == nil || id["auth_time"] == nil || id["sid"] != nil {
		t.Errorf("ID token: %v", id)
	}
	info := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token")))
	if info.text("email") != "alice@example.com" || info.text("name") != "" {
		t.Errorf("userinfo: %s", info.Raw)
	}
	refreshed := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")).with(params{"client_id": deviceClient}), nil)
	if refreshed.Status != http.StatusOK || refreshed.text("refresh_token") == "" {
		t.Errorf("refresh: %d %s", refreshed.Status, refreshed.Raw)
	}
	wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil), http.StatusBadRequest, "invalid_grant")
}

// TestDeviceWithLibrary runs the grant with x/oauth2, as a device would.
func TestDeviceWithLibrary(t *testing.T) {
	op := startWithDevice(t)
	config := oauth2.Config{ClientID: deviceClient, Scopes: []string{"openid"}, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: op.URL() + "/device_authorization", TokenURL: op.URL() + "/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	begun, err := config.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	decide(t, answer{Body: map[string]any{"verification_uri_complete": begun.VerificationURIComplete}}, "allow")
	begun.Interval = 1 // the library waits before its first request
	if token, err := config.DeviceAccessToken(t.Context(), begun); err != nil || token.AccessToken == "" {
		t.Error(err)
	}
}

// TestDeviceConfidential: a client with a secret needs it in both requests.
func TestDeviceConfidential(t *testing.T) {
	op := startWithDevice(t)
	asBox := func(r *http.Request) { r.SetBasicAuth("box", providertest.ConfidentialSecret) }
	wantError(t, postForm(t, op.URL()+"/device_authorization", params{"client_id": "box"}, nil), http.StatusUnauthorized, "invalid_client")
	begun := postForm(t, op.URL()+"/device_authorization", params{}, asBox)
	decide(t, begun, "allow")
	poll := params{"grant_type": grantDevice, "device_code": begun.text("device_code")}
	wantError(t, postForm(t, op.URL()+"/token", poll.with(params{"client_id": "box"}), nil), http.StatusUnauthorized, "invalid_client")
	if a := postForm(t, op.URL()+"/token", poll, asBox); a.Status != http.StatusOK || a.Body["id_token"] != nil || a.Body["refresh_token"] != nil {
		t.Errorf("%d %s; want an access token alone", a.Status, a.Raw)
	}
}

// TestDeviceAuthorizationRefusals: what cannot begin.
func TestDeviceAuthorizationRefusals(t *testing.T) {
	op := startWithDevice(t)
	for _, tt := range []struct {
		name   string
		form   params
		status int
		code   string
	}{
		{"no client", params{"scope": "openid"}, 401, "invalid_client"},
		{"unknown client", params{"client_id": "nobody"}, 401, "invalid_client"},
		{"client without the grant", params{"client_id": providertest.PublicClient}, 400, "unauthorized_client"},
		{"scope of others", params{"client_id": deviceClient, "scope": "openid phone"}, 400, "invalid_scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/device_authorization", tt.form, nil), tt.status, tt.code)
		})
	}
	faulty, store := startFaulty(t, providertest.Options{Clients: deviceClients()})
	store.fail("Commit")
	wantUnavailable(t, postForm(t, faulty.URL()+"/device_authorization", params{"client_id": deviceClient}, nil))
}

// TestDeviceUnknownScope: as in an authorization request, it is ignored, and
// offline_access is for clients that may refresh.
func TestDeviceUnknownScope(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid telepathy")
	decide(t, begun, "allow")
	if a := postForm(t, op.URL()+"/token", pollRequest(begun), nil); a.text("scope") != "openid" {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

// TestDeviceTokenRefusals: one thing is wrong with the token request each time.
func TestDeviceTokenRefusals(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	decide(t, begun, "allow")
	asBox := func(r *http.Request) { r.SetBasicAuth("box", providertest.ConfidentialSecret) }
	for _, tt := range []struct {
		name   string
		change params
		auth   func(*http.Request)
		status int
		code   string
	}{
		{"no device_code", params{"device_code": ""}, nil, 400, "invalid_request"},
		{"unknown device_code", params{"device_code": "x"}, nil, 400, "invalid_grant"},
		{"the user code", params{"device_code": begun.text("user_code")}, nil, 400, "invalid_grant"},
		{"no client", params{"client_id": ""}, nil, 401, "invalid_client"},
		{"client without the grant", params{"client_id": providertest.PublicClient}, nil, 400, "unauthorized_client"},
		{"another client of the grant", params{"client_id": ""}, asBox, 400, "invalid_grant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun).with(tt.change), tt.auth), tt.status, tt.code)
		})
	}
	if a := postForm(t, op.URL()+"/token", pollRequest(begun), nil); a.Status != http.StatusOK {
		t.Errorf("after all that, the right request: %d %s", a.Status, a.Raw)
	}
}

// TestDeviceDenied: the user's no, which stays no.
func TestDeviceDenied(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	if page := decide(t, begun, "deny"); !strings.Contains(page.Body, "The device was refused") {
		t.Errorf("%d\n%s", page.Status, page.Body)
	}
	for range 2 {
		wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil), http.StatusBadRequest, "access_denied")
	}
}

// TestDeviceClock: pace and expiry (RFC 8628 §3.5) on synctest's clock.
func TestDeviceClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{Clients: deviceClients(), FixedKeys: fixedKeys()})
		begun := op.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient}.values(), nil)
		poll := func() answer { return op.token(t, pollRequest(begun)) }
		wantError(t, poll(), http.StatusBadRequest, "authorization_pending")
		time.Sleep(4 * time.Second)
		wantError(t, poll(), http.StatusBadRequest, "slow_down")
		time.Sleep(5 * time.Second)
		wantError(t, poll(), http.StatusBadRequest, "authorization_pending")
		time.Sleep(10 * time.Minute)
		wantError(t, poll(), http.StatusBadRequest, "expired_token")
		rec := op.do(t, http.MethodPost, "/device", url.Values{"user_code": {begun.text("user_code")}}, nil)
		if rec.Code != http.StatusBadRequest {
			t.Errorf("an expired user code: %d", rec.Code)
		}
	})
}

// TestDeviceGrantOutlivesTheWait: who decides in the last moment still leaves the
// device the time to come.
func TestDeviceGrantOutlivesTheWait(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	decide(t, begun, "allow")
	code, err := op.Store.DeviceCode(t.Context(), storage.DigestOf(begun.text("device_code")))
	if err != nil {
		t.Fatal(err)
	}
	grant, err := op.Store.Grant(t.Context(), code.GrantID)
	if err != nil || grant.ExpiresAt.Before(code.ExpiresAt.Add(10*time.Minute)) || grant.SessionBound {
		t.Errorf("%+v, %v", grant, err)
	}
}

// TestDeviceRace: 64 polls at once bring tokens once.
func TestDeviceRace(t *testing.T) {
	var log bytes.Buffer
	op := providertest.Start(t, &providertest.Options{Clients: deviceClients(), Configure: func(c *provider.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}})
	begun := beginDevice(t, op, "openid offline_access")
	decide(t, begun, "allow")
	counts := map[int]int{}
	statuses := make(chan int)
	for range 64 {
		go func() {
			resp, err := http.DefaultClient.Do(formRequest(t.Context(), t, op.URL()+"/token", pollRequest(begun), nil))
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	for range 64 {
		counts[<-statuses]++
	}
	if counts[http.StatusOK] != 1 || counts[http.StatusBadRequest] != 63 {
		t.Errorf("statuses: %v; want one 200 and 63 times 400", counts)
	}
	if log.Len() > 0 { // a device that asks twice at once loses nothing
		t.Errorf("logged: %s", log.String())
	}
}

// TestDevicePage: what a person may do wrong there.
func TestDevicePage(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	b := providertest.NewBrowser(t)
	page := b.Get(op.URL() + "/device")
	if page.Status != http.StatusOK || page.Field("user_code") != "" {
		t.Fatalf("%d\n%s", page.Status, page.Body)
	}
	for _, typed := range []string{"BCDF-GHJK", "", "<script>", "x", strings.Repeat("B", 4000)} {
		wrong := b.Submit(page, "submit", map[string]string{"user_code": typed})
		if wrong.Status != http.StatusBadRequest || !strings.Contains(wrong.Body, "No device waits") || strings.Contains(wrong.Body, "<script>") {
			t.Errorf("%.20q: %d", typed, wrong.Status)
		}
	}
	// As people type: lower case, spaces, no hyphen.
	typed := " " + strings.ToLower(strings.ReplaceAll(begun.text("user_code"), "-", " "))
	page = b.Submit(page, "submit", map[string]string{"user_code": typed})
	if page.URL.Path != "/login" || !strings.Contains(page.Body, "Television") {
		t.Fatalf("%d %s\n%s", page.Status, page.URL, page.Body)
	}
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "wrong"})
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.URL.Path != "/device" || !strings.Contains(page.Body, begun.text("user_code")) || !strings.Contains(page.Body, "Know who you are") {
		t.Fatalf("%d %s\n%s", page.Status, page.URL, page.Body)
	}
	foreign := url.Values{"request": {page.Field("request")}, "decision": {"allow"}, "csrf": {"x"}}
	if refused := b.Post(op.URL()+"/device", foreign); refused.Status != http.StatusForbidden {
		t.Errorf("a form with another csrf token: %d", refused.Status)
	}
	foreign.Set("csrf", page.Field("csrf"))
	foreign.Set("decision", "perhaps")
	if refused := b.Post(op.URL()+"/device", foreign); refused.Status != http.StatusBadRequest {
		t.Errorf("no decision: %d", refused.Status)
	}
	// The consent page of browsers' clients does not decide it.
	if elsewhere := b.Get(op.URL() + "/consent?" + url.Values{"request": {page.Field("request")}}.Encode()); elsewhere.URL.Path != "/device" {
		t.Errorf("at /consent: %d %s", elsewhere.Status, elsewhere.URL)
	}
	wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil), http.StatusBadRequest, "authorization_pending")
	b.Submit(page, "allow", nil)
	if again := b.Submit(page, "deny", nil); again.Status != http.StatusBadRequest {
		t.Errorf("a second decision: %d", again.Status)
	}
	if a := postForm(t, op.URL()+"/token", pollRequest(begun), nil); a.Status != http.StatusOK {
		t.Errorf("the first decision holds: %d %s", a.Status, a.Raw)
	}
}

// TestDevicePageOfAnAuthorizationRequest: a browser's client is not decided here.
func TestDevicePageOfAnAuthorizationRequest(t *testing.T) {
	op := startWithDevice(t)
	b := providertest.NewBrowser(t)
	sealed := b.Get(authorizeURL(op, codeRequest())).Field("request")
	wantErrorPage(t, b.Get(op.URL()+"/device?"+url.Values{"request": {sealed}}.Encode()), "invalid_request")
}

// TestDeviceAsksTwiceAtOnce: the second answer is a refusal, and no theft: nothing
// is revoked, and nobody is warned.
func TestDeviceAsksTwiceAtOnce(t *testing.T) {
	var log bytes.Buffer
	op, store := startFaulty(t, providertest.Options{Clients: deviceClients(), Configure: func(c *provider.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}})
	begun := beginDevice(t, op, "openid offline_access")
	decide(t, begun, "allow")
	var first answer
	store.setOnCommit(func(c storage.Changes) error {
		if !c.RedeemDeviceCode.IsZero() {
			store.setOnCommit(nil)
			first = postForm(t, op.URL()+"/token", pollRequest(begun), nil)
		}
		return nil
	})
	wantError(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil), http.StatusBadRequest, "invalid_grant")
	if first.Status != http.StatusOK {
		t.Fatalf("the first: %d %s", first.Status, first.Raw)
	}
	if a := postForm(t, op.URL()+"/token", refreshRequest(first.text("refresh_token")).with(params{"client_id": deviceClient}), nil); a.Status != http.StatusOK {
		t.Errorf("its refresh token: %d %s", a.Status, a.Raw)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// TestDeviceStoreFails: a fault of ours is no answer to the device.
func TestDeviceStoreFails(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{Clients: deviceClients()})
	begun := beginDevice(t, op, "openid")
	store.onCommit = func(c storage.Changes) error {
		if len(c.PollDeviceCodes) > 0 || !c.RedeemDeviceCode.IsZero() {
			return errors.Join(errStore)
		}
		return nil
	}
	wantUnavailable(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil))
	decide(t, begun, "allow")
	wantUnavailable(t, postForm(t, op.URL()+"/token", pollRequest(begun), nil))
	store.onCommit = nil
	if a := postForm(t, op.URL()+"/token", pollRequest(begun), nil); a.Status != http.StatusOK {
		t.Errorf("once the store is well: %d %s", a.Status, a.Raw)
	}
}
