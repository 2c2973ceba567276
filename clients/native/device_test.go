package native_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/native"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	pending     = "authorization_pending"
)

// begin is the device authorization endpoint.
func (i *issuer) begin(w http.ResponseWriter, r *http.Request) {
	r.ParseForm() //nolint:errcheck // a test's own request
	i.request = r.PostForm
	answer := map[string]any{
		"device_code": "the-device-code", "user_code": "BCDF-GHJK", "expires_in": 60,
		"verification_uri": i.URL + "/device", "verification_uri_complete": i.URL + "/device?user_code=BCDF-GHJK",
	}
	if i.device != nil {
		i.device(answer)
	}
	if answer["error"] != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
	}
	writeJSON(w, answer)
}

// poll is the token endpoint for a device.
func (i *issuer) poll(w http.ResponseWriter) {
	i.asked = append(i.asked, time.Now())
	refusal := pending
	if len(i.waits) > 0 {
		refusal, i.waits = i.waits[0], i.waits[1:]
	} else if !i.undecided {
		i.giveTokens(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	writeJSON(w, map[string]any{"error": refusal, "error_description": "not\nyet"})
}

// inProcess calls a handler without a network, so that a test's clock runs.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// onDevice signs in at an issuer, on synctest's clock.
func onDevice(t *testing.T, i *issuer, config native.Config) (*native.Result, string, error) {
	t.Helper()
	var out strings.Builder
	config.Issuer, config.Out = i.URL, &out
	config.HTTPClient = &http.Client{Transport: inProcess{i.Config.Handler}}
	r, err := native.LoginOnDevice(t.Context(), config)
	return r, out.String(), err
}

func TestLoginOnDevice(t *testing.T) {
	i := startIssuer(t)
	i.waits = []string{pending, "slow_down", pending}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, out, err := onDevice(t, i, native.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Issuer != i.URL || r.ClientID != "native" || r.Subject != "alice-1" || r.Name() != "Alice Liddell" {
			t.Errorf("got %+v", r)
		}
		if r.Tokens.Access != "the-access-token" || r.Tokens.Refresh != "the-refresh-token" || r.Tokens.ID == "" {
			t.Error("the tokens are not those of the issuer")
		}
		for _, want := range []string{i.URL + "/device\n", "BCDF-GHJK\n", i.URL + "/device?user_code=BCDF-GHJK\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in %q", want, out)
			}
		}
		for _, secret := range []string{"the-device-code", "the-access-token", "the-refresh-token"} {
			if strings.Contains(out, secret) {
				t.Errorf("%s is shown", secret)
			}
		}
		var waited []time.Duration
		for _, at := range i.asked {
			waited = append(waited, at.Sub(began))
		}
		// Every 5 seconds if the server does not say, 5 more after slow_down.
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}, waited); diff != "" {
			t.Errorf("asked at (-want +got):\n%s", diff)
		}
	})
	got := map[string]string{}
	for name := range i.request {
		got[name] = i.request.Get(name)
	}
	if diff := cmp.Diff(map[string]string{"client_id": "native", "scope": "openid profile email offline_access"}, got); diff != "" {
		t.Errorf("device authorization request (-want +got):\n%s", diff)
	}
	got = map[string]string{}
	for name := range i.posted {
		got[name] = i.posted.Get(name)
	}
	if diff := cmp.Diff(map[string]string{"client_id": "native", "grant_type": deviceGrant, "device_code": "the-device-code"}, got); diff != "" {
		t.Errorf("token request (-want +got):\n%s", diff)
	}
}

// TestDeviceWaits: how the wait ends without tokens.
func TestDeviceWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		waits     []string
		undecided bool
		config    native.Config
		refused   string // AuthorizationError's code
		want      error
		took      time.Duration
	}{
		"denied":                   {waits: []string{pending, "access_denied"}, refused: "access_denied", took: 10 * time.Second},
		"expired, says the issuer": {waits: []string{"expired_token"}, want: native.ErrTimeout, took: 5 * time.Second},
		"expired, says the clock":  {undecided: true, want: native.ErrTimeout, took: time.Minute},
		"no time left":             {undecided: true, config: native.Config{Timeout: 12 * time.Second}, want: native.ErrTimeout, took: 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			i := startIssuer(t)
			i.waits, i.undecided = tt.waits, tt.undecided
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r, _, err := onDevice(t, i, tt.config)
				refusal, _ := errors.AsType[*native.AuthorizationError](err)
				if r != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) || tt.refused != "" && (refusal == nil || refusal.Code != tt.refused) {
					t.Errorf("got %v, %v", r, err)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("after %s, want %s", took, tt.took)
				}
			})
		})
	}
}

// TestDeviceStops: the person gives up.
func TestDeviceStops(t *testing.T) {
	i := startIssuer(t)
	i.undecided = true
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		config := native.Config{Issuer: i.URL, HTTPClient: &http.Client{Transport: inProcess{i.Config.Handler}}}
		if _, err := native.LoginOnDevice(ctx, config); !errors.Is(err, context.Canceled) || len(i.asked) != 1 {
			t.Errorf("got %v after %d questions", err, len(i.asked))
		}
	})
}

// TestDeviceRefuses: each issuer has one thing wrong.
func TestDeviceRefuses(t *testing.T) {
	without := func(name string) func(*issuer) {
		return func(i *issuer) { i.device = func(m map[string]any) { delete(m, name) } }
	}
	with := func(name string, value any) func(*issuer) {
		return func(i *issuer) { i.device = func(m map[string]any) { m[name] = value } }
	}
	for name, tt := range map[string]struct {
		change func(*issuer)
		want   error
	}{
		"no device_code":                    {without("device_code"), native.ErrDeviceResponse},
		"no user_code":                      {without("user_code"), native.ErrDeviceResponse},
		"no verification_uri":               {without("verification_uri"), native.ErrDeviceResponse},
		"a user_code that moves the cursor": {with("user_code", "BCDF\x1b[2J"), native.ErrDeviceResponse},
		"a user_code in another script":     {with("user_code", "ВСDF-GHJK"), native.ErrDeviceResponse},
		"a negative interval":               {with("interval", -1), native.ErrDeviceResponse},
		"an endless interval":               {with("interval", int64(1)<<40), native.ErrDeviceResponse},
		"a page of this machine's files":    {with("verification_uri", "file:///etc/passwd"), native.ErrInsecureURL},
		"a page over http":                  {with("verification_uri", "http://op.example/device"), native.ErrInsecureURL},
		"a complete page over http":         {with("verification_uri_complete", "http://op.example/device"), native.ErrInsecureURL},
		"no endpoint": {func(i *issuer) {
			i.metadata = func(m map[string]any) { delete(m, "device_authorization_endpoint") }
		}, native.ErrNoDeviceGrant},
		"no ID token": {func(i *issuer) { i.token = func(m map[string]any) { delete(m, "id_token") } }, native.ErrIDToken},
		"an ID token for another login": {func(i *issuer) {
			i.idToken = func(m map[string]any) { m["nonce"] = "of another login" }
		}, native.ErrIDToken},
		"an ID token for another client": {func(i *issuer) { i.idToken = func(m map[string]any) { m["aud"] = "another" } }, native.ErrIDToken},
		"another person's claims":        {func(i *issuer) { i.userInfo = func(m map[string]any) { m["sub"] = "bob-1" } }, native.ErrUserInfo},
	} {
		t.Run(name, func(t *testing.T) {
			i := startIssuer(t)
			tt.change(i)
			synctest.Test(t, func(t *testing.T) {
				if r, _, err := onDevice(t, i, native.Config{}); r != nil || !errors.Is(err, tt.want) {
					t.Errorf("got %v, %v; want %v", r, err, tt.want)
				}
			})
		})
	}
	if _, err := native.LoginOnDevice(t.Context(), native.Config{Via: "http://localhost:1"}); !errors.Is(err, native.ErrNoDeviceGrant) {
		t.Errorf("through a backend: %v", err)
	}
}

// TestDeviceClientRefused: the issuer refuses before there is a code.
func TestDeviceClientRefused(t *testing.T) {
	i := startIssuer(t)
	i.device = func(m map[string]any) { clear(m); m["error"] = "unauthorized_client" }
	_, out, err := onDevice(t, i, native.Config{})
	if refusal, ok := errors.AsType[*native.AuthorizationError](err); !ok || refusal.Code != "unauthorized_client" || out != "" {
		t.Errorf("got %v, shown %q", err, out)
	}
	i.Config.Handler = http.NotFoundHandler()
	if _, _, err := onDevice(t, i, native.Config{}); err == nil {
		t.Error("signed in at nothing")
	}
}

// TestDeviceAtProvider is the whole grant at the real provider.
func TestDeviceAtProvider(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Clients: []provider.Client{{
		ID: "native", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"http://127.0.0.1/callback"},
		GrantTypes: []string{"authorization_code", "refresh_token", deviceGrant},
	}}})
	reader := make(chan string, 1)
	type outcome struct {
		result *native.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := native.LoginOnDevice(t.Context(), native.Config{Issuer: op.URL(), Out: shown(reader)})
		done <- outcome{r, err}
	}()
	browser := providertest.NewBrowser(t)
	page := browser.Get(op.URL() + "/device?user_code=" + <-reader)
	page = browser.Submit(page, "submit", nil)
	page = browser.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	browser.Submit(page, "allow", nil)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if r := got.result; r.Name() != "Alice Liddell" || r.Claims["email"] != "alice@example.com" || r.Tokens.Access == "" || r.Tokens.Refresh == "" || r.Tokens.ID == "" {
		t.Errorf("got %+v", *r)
	}
}

// shown hands on the code that the person reads.
type shown chan<- string

func (s shown) Write(text []byte) (int, error) {
	if _, after, found := strings.Cut(string(text), "type in the code\n\n"); found {
		s <- strings.TrimSpace(after)
	}
	return len(text), nil
}
