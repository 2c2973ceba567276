package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestDeviceDefaultMaxAge: OIDC Registration §2. A device cannot ask for max_age,
// so what its client registered holds always.
func TestDeviceDefaultMaxAge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		maxAge *int
		age    time.Duration // of the session, when the code is typed in
		login  bool
	}{
		{"none", nil, time.Hour, false},
		{"not reached", new(3600), 59 * time.Minute, false},
		{"passed", new(3600), 61 * time.Minute, true},
		{"always", new(0), time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clients := deviceClients()
				for i := range clients {
					if clients[i].ID == deviceClient {
						clients[i].DefaultMaxAge = tt.maxAge
					}
				}
				op := serving(t, provider.Config{Clients: clients, FixedKeys: fixedKeys()})
				op.authorize(t, codeRequest()) // signs alice in
				signedIn := time.Now()
				time.Sleep(tt.age)
				begun := op.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient, "scope": "openid"}.values(), nil)
				location := op.do(t, http.MethodPost, "/device", params{"user_code": begun.text("user_code")}.values(), nil).Header().Get("Location")
				rec := op.do(t, http.MethodGet, location, nil, nil)
				if tt.login {
					location = rec.Header().Get("Location")
					if rec.Code != http.StatusSeeOther || !strings.HasPrefix(location, "/login?") || strings.Contains(rec.Body.String(), "allow") {
						t.Fatalf("no login: %d to %q\n%s", rec.Code, location, rec.Body)
					}
					// Nor does a decision count that comes without it.
					form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
					early := op.do(t, http.MethodPost, "/device", params{"request": form.Get("request"), "csrf": form.Get("csrf"), "decision": "allow"}.values(), nil)
					if early.Code != http.StatusSeeOther || !strings.HasPrefix(early.Header().Get("Location"), "/login?") {
						t.Errorf("a decision without the login: %d\n%s", early.Code, early.Body)
					}
					form.Set("username", "alice")
					form.Set("password", "alice")
					time.Sleep(time.Second)
					signedIn = time.Now()
					location = op.do(t, http.MethodPost, "/login", form, nil).Header().Get("Location")
					rec = op.do(t, http.MethodGet, location, nil, nil)
				}
				form := inputs(t, rec.Body.String())
				form.Set("decision", "allow")
				if done := op.do(t, http.MethodPost, "/device", form, nil); done.Code != http.StatusOK {
					t.Fatalf("%d\n%s", done.Code, done.Body)
				}
				tokens := op.token(t, pollRequest(begun))
				if got := claimsOf(t, tokens.text("id_token"))["auth_time"]; got != float64(signedIn.Unix()) {
					t.Errorf("auth_time %v, want %d", got, signedIn.Unix())
				}
			})
		})
	}
}

// TestDeviceDefaultACRValues: the first of the client's classes that a login here
// meets is what the ID token names, OIDC Registration §2.
func TestDeviceDefaultACRValues(t *testing.T) {
	for _, tt := range []struct {
		name     string
		defaults []string
		want     string
	}{
		{"none", nil, "urn:example:first"},
		{"one of the provider's", []string{"urn:example:second"}, "urn:example:second"},
		{"the first that can be met", []string{"urn:example:hardware", "urn:example:second", "urn:example:first"}, "urn:example:second"},
		{"none that can be met", []string{"urn:example:hardware"}, "urn:example:first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clients := deviceClients()
			for i := range clients {
				if clients[i].ID == deviceClient {
					clients[i].DefaultACRValues = tt.defaults
				}
			}
			op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) {
				c.Requests.ACRValues = []string{"urn:example:first", "urn:example:second"}
			}})
			begun := beginDevice(t, op, "openid")
			decide(t, begun, "allow")
			tokens := postForm(t, op.URL()+"/token", pollRequest(begun), nil)
			if got := claimsOf(t, tokens.text("id_token"))["acr"]; got != tt.want {
				t.Errorf("acr %v, want %s (%d %s)", got, tt.want, tokens.Status, tokens.Raw)
			}
		})
	}
}
