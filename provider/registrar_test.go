package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

const initialToken = "initial.access-token_0123456789"

func startWithRegistration(t *testing.T, r provider.Registration) *providertest.Server {
	t.Helper()
	return providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Registration = r }})
}

// TestInitialAccessToken: RFC 7591 §3, RFC 6750 §3.1.
func TestInitialAccessToken(t *testing.T) {
	op := startWithRegistration(t, provider.Registration{InitialAccessToken: initialToken})
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		code   string // of the refusal
	}{
		{"none", nil, ""},
		{"another scheme", func(r *http.Request) { r.SetBasicAuth("x", initialToken) }, ""},
		{"none after the scheme", bearer(""), ""},
		{"in the query", func(r *http.Request) { r.URL.RawQuery = "access_token=" + initialToken }, ""},
		{"two", func(r *http.Request) {
			r.Header["Authorization"] = []string{"Bearer " + initialToken, "Bearer " + initialToken}
		}, ""},
		{"a wrong one", bearer("x" + initialToken), "invalid_token"},
		{"the beginning of it", bearer(initialToken[:20]), "invalid_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := sendJSON(t, http.MethodPost, op.URL()+"/register", smallest(), tt.change)
			if a.Status != http.StatusUnauthorized || a.text("error") != tt.code {
				t.Errorf("answer %d %s", a.Status, a.Raw)
			}
			challenge := a.Header.Get("WWW-Authenticate")
			if !strings.HasPrefix(challenge, `Bearer realm="`+op.URL()+`"`) || strings.Contains(challenge, "invalid_token") != (tt.code != "") {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
	for _, scheme := range []string{"Bearer ", "bearer "} {
		a := sendJSON(t, http.MethodPost, op.URL()+"/register", smallest(), func(r *http.Request) { r.Header.Set("Authorization", scheme+initialToken) })
		if a.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", scheme, a.Status, a.Raw)
		}
		if read := manage(t, http.MethodGet, a, nil); read.Status != http.StatusOK {
			t.Errorf("read: %d %s", read.Status, read.Raw)
		}
	}
}

// TestRegistrationFromPages: where anybody may register, pages of other sites may
// not, not even one whose name leads here.
func TestRegistrationFromPages(t *testing.T) {
	op := providertest.Start(t, nil)
	from := func(origin, host string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Origin", origin)
			if host != "" {
				r.Host = host
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"another site":           from("https://evil.example", ""),
		"no origin":              from("null", ""),
		"another port":           from("http://localhost:1", ""),
		"a name that leads here": from("http://evil.example:8080", "evil.example:8080"),
	} {
		a := sendJSON(t, http.MethodPost, op.URL()+"/register", smallest(), change)
		wantError(t, a, http.StatusForbidden, "access_denied")
		if a.Body["client_id"] != nil {
			t.Errorf("%s: %s", name, a.Raw)
		}
	}
	if a := sendJSON(t, http.MethodPost, op.URL()+"/register", smallest(), from(op.URL(), "")); a.Status != http.StatusCreated {
		t.Errorf("the provider's own origin: %d %s", a.Status, a.Raw)
	}
	closed := startWithRegistration(t, provider.Registration{InitialAccessToken: initialToken})
	withToken := both(bearer(initialToken), from("https://tool.example", ""))
	if a := sendJSON(t, http.MethodPost, closed.URL()+"/register", smallest(), withToken); a.Status != http.StatusCreated {
		t.Errorf("with the initial access token: %d %s", a.Status, a.Raw)
	}
}

// TestRegistrationTurnedOff: the endpoints are gone, the clients are not.
func TestRegistrationTurnedOff(t *testing.T) {
	on := providertest.Start(t, nil)
	client := registered(t, on, publicDocument())
	tokens := dynamicTokens(t, on, client)
	off := serving(t, provider.Config{Issuer: on.URL(), Store: on.Store, Registration: provider.Registration{Enabled: new(bool)}})
	path := strings.TrimPrefix(client.text("registration_client_uri"), on.URL())
	for _, tt := range []struct{ method, path string }{
		{http.MethodPost, "/register"}, {http.MethodGet, path}, {http.MethodPut, path}, {http.MethodDelete, path},
	} {
		a := off.answer(t, tt.method, tt.path, nil, bearer(client.text("registration_access_token")))
		wantError(t, a, http.StatusNotFound, "not_found")
		if a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", tt.method, a.Header.Get("Content-Type"))
		}
	}
	metadata := off.answer(t, http.MethodGet, openIDConfiguration, nil, nil)
	if _, there := metadata.Body["registration_endpoint"]; there || metadata.Status != http.StatusOK {
		t.Errorf("metadata: %s", metadata.Raw)
	}
	if home := off.do(t, http.MethodGet, "/", nil, nil).Body.String(); strings.Contains(home, "/register") {
		t.Error("the home page speaks of registration")
	}
	if home := get(t, on.URL()+"/", nil); !strings.Contains(home.Raw, "/register") {
		t.Error("the home page does not speak of registration")
	}
	if got := off.userinfo(t, tokens.text("access_token")); got != http.StatusOK {
		t.Errorf("userinfo: %d", got)
	}
	if got := get(t, on.URL()+openIDConfiguration, nil).text("registration_endpoint"); got != on.URL()+"/register" {
		t.Errorf("registration_endpoint %q", got)
	}
}

// TestMaxClients: there is room for so many, and for one more when one goes.
func TestMaxClients(t *testing.T) {
	op := startWithRegistration(t, provider.Registration{MaxClients: 2})
	first := registered(t, op, smallest())
	registered(t, op, smallest())
	full := func(send func() answer) {
		t.Helper()
		a := send()
		wantError(t, a, http.StatusForbidden, "access_denied")
		if !strings.Contains(a.text("error_description"), "2") {
			t.Errorf("description %q", a.text("error_description"))
		}
	}
	full(func() answer { return register(t, op, smallest()) })
	if a := manage(t, http.MethodPut, first, smallest().with(document{"client_id": first.text("client_id")})); a.Status != http.StatusOK {
		t.Errorf("update: %d %s", a.Status, a.Raw)
	}
	// What was stored before a restart counts.
	again := serving(t, provider.Config{Issuer: op.URL(), Store: op.Store, Registration: provider.Registration{MaxClients: 2}})
	full(func() answer { return again.json(t, http.MethodPost, "/register", smallest(), nil) })
	if a := manage(t, http.MethodDelete, first, nil); a.Status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", a.Status, a.Raw)
	}
	registered(t, op, smallest())
	full(func() answer { return register(t, op, smallest()) })
}

// TestMaxClientsAtOnce: no race lets one more in, and what fails takes no place.
func TestMaxClientsAtOnce(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	_ = op
	limited := serving(t, provider.Config{Issuer: op.URL(), Store: store, Registration: provider.Registration{MaxClients: 5}})
	store.fail("Commit")
	for range 10 {
		wantUnavailable(t, limited.json(t, http.MethodPost, "/register", smallest(), nil))
	}
	store.repair()
	answers := inParallel(20, func(int) answer { return limited.json(t, http.MethodPost, "/register", smallest(), nil) })
	created := 0
	for _, a := range answers {
		if a.Status == http.StatusCreated {
			created++
			continue
		}
		wantError(t, a, http.StatusForbidden, "access_denied")
	}
	if created != 5 {
		t.Errorf("%d registered, want 5", created)
	}
}

// TestRegistrationSettings: what a configuration cannot mean.
func TestRegistrationSettings(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a token with a space", "registration:\n  initial_access_token: a b\n", `f.yaml:1: registration: initial_access_token: must be of letters, digits and -._~+/= (RFC 6750 §2.1)`},
		{"a token with a line break", "registration: {initial_access_token: \"a\\nb\"}\n", `initial_access_token: must be of letters`},
		{"a token not ASCII", "registration: {initial_access_token: é}\n", `initial_access_token: must be of letters`},
		{"no lifetime", "registration: {secret_lifetime: -1h}\n", `f.yaml:1: secret_lifetime: duration "-1h" is not positive`},
		{"no client lifetime", "registration: {client_lifetime: 0s}\n", `f.yaml:1: client_lifetime: duration "0s" is not positive`},
		{"a short client lifetime", "registration: {client_lifetime: 59s}\n", `f.yaml:1: registration: client_lifetime: 59s is less than 1m0s`},
		{"fewer than no clients", "registration: {max_clients: -1}\n", `f.yaml:1: registration: max_clients: -1 is negative`},
		{"unknown key", "registration: {enable: true}\n", `f.yaml:1: unknown key "enable" in registration (did you mean enabled?)`},
		{"text for a switch", "registration: {enabled: on please}\n", `f.yaml:1: enabled: want true or false, got text`},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.text, tt.want) })
	}
	_, err := provider.New(t.Context(), provider.Config{Issuer: "http://op", Registration: provider.Registration{SecretLifetime: -1}})
	if err == nil || !strings.Contains(err.Error(), "registration: secret_lifetime: -1ns is negative") {
		t.Errorf("got %v", err)
	}
}

// TestReadRegistration: the keys of a configuration file.
func TestReadRegistration(t *testing.T) {
	r := readConfig(t, "../testdata/config/full.yaml").Registration
	if r.Enabled == nil || !*r.Enabled || r.InitialAccessToken == "" || time.Duration(r.SecretLifetime) != 90*24*time.Hour ||
		time.Duration(r.ClientLifetime) != 365*24*time.Hour || r.MaxClients != 1000 {
		t.Errorf("got %+v", r)
	}
}
