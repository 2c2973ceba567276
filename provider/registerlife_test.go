package provider_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestRegisteredSecretExpires: RFC 7591 §3.2.1. A PUT brings a new one.
func TestRegisteredSecretExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: fixedKeys(), Registration: provider.Registration{SecretLifetime: provider.Duration(time.Hour)}})
		client := op.json(t, http.MethodPost, "/register", smallest(), nil)
		expires, _ := client.Body["client_secret_expires_at"].(float64)
		if int64(expires) != time.Now().Add(time.Hour).Unix() {
			t.Fatalf("answer %s", client.Raw)
		}
		path := "/register/" + client.text("client_id")
		use := func(secret string) answer {
			return op.answer(t, http.MethodPost, "/token", redeem("nonsense").with(params{"client_id": ""}).values(), func(r *http.Request) {
				r.SetBasicAuth(client.text("client_id"), secret)
			})
		}
		put := func() answer {
			return op.json(t, http.MethodPut, path, update(client, document{"client_secret": nil}), bearer(client.text("registration_access_token")))
		}
		time.Sleep(time.Hour - time.Second)
		wantError(t, use(client.text("client_secret")), 400, "invalid_grant")
		if early := put(); early.Body["client_secret"] != nil || early.Body["client_secret_expires_at"] != expires {
			t.Errorf("before the end: %s", early.Raw)
		}
		time.Sleep(time.Second)
		expired := use(client.text("client_secret"))
		wantError(t, expired, 401, "invalid_client")
		if !strings.Contains(expired.text("error_description"), "has expired") {
			t.Errorf("the secret was right: %s", expired.Raw)
		}
		if wrong := use("another"); strings.Contains(wrong.Raw, "expired") {
			t.Errorf("told to whoever does not know it: %s", wrong.Raw)
		}
		read := op.answer(t, http.MethodGet, path, nil, bearer(client.text("registration_access_token")))
		if read.Status != 200 || read.Body["client_secret"] != nil || read.Body["client_secret_expires_at"] != expires {
			t.Errorf("read: %d %s", read.Status, read.Raw)
		}
		late := put()
		renewed, _ := late.Body["client_secret_expires_at"].(float64)
		if late.text("client_secret") == "" || late.text("client_secret") == client.text("client_secret") || renewed != expires+3600 {
			t.Errorf("after the end: %s", late.Raw)
		}
		wantError(t, use(client.text("client_secret")), 401, "invalid_client")
		wantError(t, use(late.text("client_secret")), 400, "invalid_grant")
	})
}

// TestReplaceAtOnce: one change after the other. Of many that each bring a
// secret, one does, and it is the one that is good.
func TestReplaceAtOnce(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, publicDocument())
	answers := inParallel(16, func(i int) answer {
		return manage(t, http.MethodPut, client, update(client, document{
			"token_endpoint_auth_method": "client_secret_post", "redirect_uris": []string{"https://app-" + string(rune('a'+i)) + ".example/"},
		}))
	})
	secrets := 0
	for _, a := range answers {
		if a.Status != http.StatusOK {
			t.Fatalf("answer %d %s", a.Status, a.Raw)
		}
		if secret := a.text("client_secret"); secret != "" {
			secrets++
			check := postForm(t, op.URL()+"/revoke", params{"token": "x", "client_id": client.text("client_id"), "client_secret": secret}, nil)
			if check.Status != http.StatusOK {
				t.Errorf("the secret that was told: %d %s", check.Status, check.Raw)
			}
		}
	}
	if secrets != 1 {
		t.Errorf("%d secrets were told", secrets)
	}
	// The origin that is left is that of the document that is left.
	uris, _ := manage(t, http.MethodGet, client, nil).Body["redirect_uris"].([]any)
	left := strings.TrimSuffix(uris[0].(string), "/")
	for i := range 16 {
		origin := "https://app-" + string(rune('a'+i)) + ".example"
		wantCORS(t, askFirst(t, op, "/token", origin).Header, origin, origin == left)
	}
}

// TestReplaceWhileDeleting: no change brings a deleted client back.
func TestReplaceWhileDeleting(t *testing.T) {
	op := providertest.Start(t, nil)
	for range 10 {
		client := registered(t, op, publicDocument().with(document{"redirect_uris": []string{"https://deleted.example/"}}))
		inParallel(8, func(i int) answer {
			if i == 4 {
				return manage(t, http.MethodDelete, client, nil)
			}
			return manage(t, http.MethodPut, client, update(client, nil))
		})
		if a := manage(t, http.MethodGet, client, nil); a.Status != http.StatusUnauthorized {
			t.Fatalf("it is there again: %d %s", a.Status, a.Raw)
		}
	}
	wantCORS(t, askFirst(t, op, "/token", "https://deleted.example").Header, "https://deleted.example", false)
}

// TestRegistrationStoreFailure: our own fault is no answer about the client.
func TestRegistrationStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	client := registered(t, op, publicDocument())
	origin := map[string]string{"kept": "http://rp.localhost:1", "never": "https://never.example"}
	change := document{"redirect_uris": []string{origin["never"] + "/"}}
	for _, method := range []string{"Client", "Commit"} {
		store.fail(method)
		if method == "Commit" {
			wantUnavailable(t, register(t, op, smallest().with(change)))
		} else {
			wantUnavailable(t, manage(t, http.MethodGet, client, nil))
		}
		wantUnavailable(t, manage(t, http.MethodPut, client, update(client, change)))
		wantUnavailable(t, manage(t, http.MethodDelete, client, nil))
		store.repair()
	}
	wantCORS(t, askFirst(t, op, "/token", origin["never"]).Header, origin["never"], false)
	if a := manage(t, http.MethodGet, client, nil); a.Status != http.StatusOK {
		t.Errorf("the client now: %d %s", a.Status, a.Raw)
	}
	store.fail("Clients")
	_, err := provider.New(t.Context(), provider.Config{Issuer: op.URL(), Store: store})
	if !errors.Is(err, errStore) {
		t.Errorf("start: %v", err)
	}
}

// TestRegisteredOrigins: scripts of a registered client's origins are let in as
// long as some client has the origin. OIDC clients come and go; the others stay.
func TestRegisteredOrigins(t *testing.T) {
	op := providertest.Start(t, nil)
	const first, second, shared = "https://first.example", "https://second.example:8443", "http://rp.localhost:1"
	allowed := func(when, origin string, want bool) {
		t.Helper()
		for _, path := range []string{"/token", "/userinfo", "/revoke"} {
			a := askFirst(t, op, path, origin)
			if got := a.Header.Get("Access-Control-Allow-Origin") == origin; got != want {
				t.Errorf("%s: %s at %s: allowed %v, want %v", when, origin, path, got, want)
			}
		}
	}
	allowed("before", first, false)
	one := registered(t, op, smallest().with(document{"redirect_uris": []string{first + "/a", first + "/b", shared + "/callback"}}))
	two := registered(t, op, smallest().with(document{"redirect_uris": []string{first + "/a"}}))
	allowed("registered", first, true)
	again := serving(t, provider.Config{Issuer: op.URL(), Store: op.Store})
	restarted := again.answer(t, http.MethodOptions, "/token", nil, func(r *http.Request) { r.Header.Set("Origin", first) })
	wantCORS(t, restarted.Header, first, true)
	manage(t, http.MethodPut, one, update(one, document{"redirect_uris": []string{second + "/"}}))
	allowed("moved, but another is left", first, true)
	allowed("moved", second, true)
	allowed("the configuration's", shared, true)
	manage(t, http.MethodDelete, two, nil)
	allowed("the other is gone", first, false)
	manage(t, http.MethodDelete, one, nil)
	allowed("all are gone", second, false)
	allowed("the configuration's, at the end", shared, true)
}

// TestRegistrationIsClosedToScripts: a page of any site could else register at
// a provider that only its visitor can reach.
func TestRegistrationIsClosedToScripts(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, publicDocument())
	for _, path := range []string{"/register", "/register/" + client.text("client_id")} {
		a := askFirst(t, op, path, "http://rp.localhost:1")
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", path, name)
			}
		}
		if a.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// TestDynamicScopeIsTheProvidersOwn: a scope that the configuration has lost is
// no longer a registered client's either.
func TestDynamicScopeIsTheProvidersOwn(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Configure: func(c *provider.Config) { c.Scopes = []provider.Scope{{Name: "notes:read"}} }})
	explicit := registered(t, op, publicDocument().with(document{"scope": "openid notes:read"}))
	all := registered(t, op, publicDocument())
	if !strings.Contains(all.text("scope"), "notes:read") {
		t.Errorf("by default: %s", all.text("scope"))
	}
	after := serving(t, provider.Config{Issuer: op.URL(), Store: op.Store})
	for client, want := range map[string]string{
		explicit.Raw: "openid", all.Raw: "openid profile email address phone groups offline_access",
	} {
		var c map[string]any
		if err := json.Unmarshal([]byte(client), &c); err != nil {
			t.Fatal(err)
		}
		a := after.answer(t, http.MethodGet, "/register/"+c["client_id"].(string), nil, bearer(c["registration_access_token"].(string)))
		if a.text("scope") != want {
			t.Errorf("scope %q, want %q", a.text("scope"), want)
		}
	}
}

// TestDeleteClientWithADevice: what waits for a person ends, too.
func TestDeleteClientWithADevice(t *testing.T) {
	op := providertest.Start(t, nil)
	client := registered(t, op, document{"token_endpoint_auth_method": "none", "grant_types": []string{grantDevice}})
	id := params{"client_id": client.text("client_id")}
	begun := postForm(t, op.URL()+"/device_authorization", id.with(params{"scope": "openid"}), nil)
	if begun.Status != http.StatusOK || client.Body["response_types"] != nil {
		t.Fatalf("register: %s, begin: %d %s", client.Raw, begun.Status, begun.Raw)
	}
	if a := manage(t, http.MethodDelete, client, nil); a.Status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", a.Status, a.Raw)
	}
	poll := params{"grant_type": grantDevice, "device_code": begun.text("device_code")}
	wantError(t, postForm(t, op.URL()+"/token", poll.with(id), nil), 401, "invalid_client")
	b := providertest.NewBrowser(t)
	page := b.Get(begun.text("verification_uri_complete"))
	if page.Callback != nil || page.Status >= 500 || element(t, page.Body, "allow") != nil {
		t.Errorf("the page: %d\n%s", page.Status, page.Body)
	}
}
