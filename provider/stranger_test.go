package provider_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestStrangersAreBounded: what anybody can have the provider keep, one visitor can
// have it keep so often. It stops nobody else, and no client that is known.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{Clients: deviceClients(), FixedKeys: fixedKeys()})
		own := smallest().with(document{"grant_types": []string{"authorization_code", grantDevice}})
		self := op.json(t, http.MethodPost, "/register", own, nil)
		asSelf := func(r *http.Request) { r.SetBasicAuth(self.text("client_id"), self.text("client_secret")) }
		asBox := func(r *http.Request) { r.SetBasicAuth("box", providertest.ConfidentialSecret) }
		anybody := func(*http.Request) {}
		push, device := codeRequest().with(params{"client_id": ""}), params{}
		requests := map[string]struct {
			path    string
			request params
			as      func(*http.Request)
			status  int // that it has until there are too many
		}{
			"pushed for a public client":           {"/par", codeRequest(), anybody, http.StatusCreated},
			"pushed by one that registered itself": {"/par", push, asSelf, http.StatusCreated},
			"a device of a public client":          {"/device_authorization", device.with(params{"client_id": deviceClient}), anybody, http.StatusOK},
			"a device that registered itself":      {"/device_authorization", device, asSelf, http.StatusOK},
			"pushed by a client that is known":     {"/par", push, asWeb, http.StatusCreated},
			"a device that is known":               {"/device_authorization", device, asBox, http.StatusOK},
		}
		send := func(name, addr string) answer {
			t.Helper()
			request := requests[name]
			a := op.answer(t, http.MethodPost, request.path, request.request.values(), func(r *http.Request) {
				r.RemoteAddr = addr
				request.as(r)
			})
			if a.Status == http.StatusTooManyRequests && (a.text("error") != "temporarily_unavailable" || a.Header.Get("Retry-After") == "") {
				t.Errorf("%s: %v %s", name, a.Header, a.Raw)
			}
			return a
		}
		const flooding, other = "192.0.2.1:1", "192.0.2.2:1"
		accepted := func(times int) (n int) {
			t.Helper()
			for range times {
				if send("pushed for a public client", flooding).Status == http.StatusCreated {
					n++
				}
			}
			return n
		}
		if got := accepted(350); got != 300 {
			t.Errorf("%d at once", got)
		}
		for name, request := range requests {
			want := http.StatusTooManyRequests
			if name == "pushed by a client that is known" || name == "a device that is known" {
				want = request.status
			}
			if a := send(name, flooding); a.Status != want {
				t.Errorf("%s, from there: %d %s, want %d", name, a.Status, a.Raw, want)
			}
			if a := send(name, other); a.Status != request.status {
				t.Errorf("%s, from elsewhere: %d %s", name, a.Status, a.Raw)
			}
		}
		for _, here := range []string{"127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"} { // where tests run
			for range 301 {
				if a := send("pushed for a public client", here); a.Status != http.StatusCreated {
					t.Fatalf("%s: %d %s", here, a.Status, a.Raw)
				}
			}
		}
		time.Sleep(time.Second)
		if got := accepted(50); got != 10 {
			t.Errorf("%d a second later", got)
		}
	})
}

// TestRegisteredClientsAreNoStrangers where an initial access token vouches for
// them. Public ones are anybody still.
func TestRegisteredClientsAreNoStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: fixedKeys(), Registration: provider.Registration{InitialAccessToken: initialToken}})
		for _, tt := range []struct {
			name     string
			document document
			refused  bool
		}{
			{"with a secret", smallest(), false},
			{"public", publicDocument(), true},
		} {
			self := op.json(t, http.MethodPost, "/register", tt.document, bearer(initialToken))
			request := codeRequest().with(params{"client_id": self.text("client_id")})
			refused := false
			for range 301 {
				a := op.answer(t, http.MethodPost, "/par", request.values(), func(r *http.Request) {
					if secret := self.text("client_secret"); secret != "" {
						r.SetBasicAuth(self.text("client_id"), secret)
					}
				})
				refused = refused || a.Status != http.StatusCreated
			}
			if refused != tt.refused {
				t.Errorf("%s: refused is %v", tt.name, refused)
			}
		}
	})
}

// TestAllStrangersAreBounded: who has many addresses fills the store no faster. It
// stops no client that is known.
func TestAllStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: fixedKeys()})
		push := func(network, visitor int, request params, as func(*http.Request)) answer {
			return op.answer(t, http.MethodPost, "/par", request.values(), func(r *http.Request) {
				r.RemoteAddr = fmt.Sprintf("198.51.%d.%d:1", network, visitor)
				as(r)
			})
		}
		accepted := func(network, visitors, each int) (n int) {
			t.Helper()
			for visitor := range visitors {
				for range each {
					a := push(network, visitor, codeRequest(), func(*http.Request) {})
					switch a.Status {
					case http.StatusCreated:
						n++
					case http.StatusTooManyRequests:
					default:
						t.Fatalf("answer %d %s", a.Status, a.Raw)
					}
				}
			}
			return n
		}
		if n := accepted(0, 20, 300); n != 5000 {
			t.Errorf("%d at once", n)
		}
		if a := push(1, 1, codeRequest().with(params{"client_id": ""}), asWeb); a.Status != http.StatusCreated {
			t.Errorf("a client that is known: %d %s", a.Status, a.Raw)
		}
		time.Sleep(time.Second)
		if n := accepted(2, 100, 10); n != 200 {
			t.Errorf("%d a second later", n)
		}
	})
}
