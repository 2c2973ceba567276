package provider_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// clientLife is the lifetime of registered clients in these tests. Uses are noted
// to a tenth of it, and clients looked through as often.
const (
	clientLife = 10 * time.Hour
	tenth      = clientLife / 10
)

// mortal is a configuration in which unused clients go.
func mortal(store storage.Store) provider.Config {
	return provider.Config{Store: store, FixedKeys: fixedKeys(), Registration: provider.Registration{ClientLifetime: provider.Duration(clientLife)}}
}

// wantClient checks whether the store has a client.
func wantClient(t *testing.T, store storage.Store, client answer, want bool) {
	t.Helper()
	_, err := store.Client(t.Context(), client.text("client_id"))
	if err != nil && !errors.Is(err, storage.ErrNotFound) || (err == nil) != want {
		t.Errorf("client %s is there: %v, want %v (%v)", client.text("client_name"), err == nil, want, err)
	}
}

// TestUnusedClientsGo: with all that they had, and not those that are used, in
// whatever way.
func TestUnusedClientsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		config := mortal(store)
		config.Registration.MaxClients = 4
		op := serving(t, config)
		named := func(name string) answer {
			return op.register(t, publicDocument().with(document{"client_name": name, "redirect_uris": []string{
				"http://rp.localhost:1/callback", "https://" + name + ".example/",
			}}))
		}
		unused := named("unused")
		uses := map[string]func(client answer){
			"used by a person": func(c answer) {
				op.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"client_id": c.text("client_id")}).values().Encode(), nil, nil)
			},
			"used by itself": func(c answer) {
				op.answer(t, http.MethodPost, "/revoke", params{"token": "x", "client_id": c.text("client_id")}.values(), nil)
			},
			"read": func(c answer) { op.manage(t, http.MethodGet, c, nil) },
		}
		clients := map[string]answer{}
		for name := range uses {
			clients[name] = op.register(t, publicDocument().with(document{"client_name": name}))
		}
		op.authorize(t, codeRequest().with(params{"client_id": unused.text("client_id")}))
		sub, _ := provider.SeedUsers()[0].Claims["sub"].(string)
		if _, err := store.Consent(t.Context(), sub, unused.text("client_id")); err != nil {
			t.Fatal(err)
		}
		wantError(t, op.json(t, http.MethodPost, "/register", smallest(), nil), http.StatusForbidden, "access_denied")

		for range 10 { // half a lifetime each
			for name, use := range uses {
				use(clients[name])
			}
			pass(clientLife / 2)
		}
		wantClient(t, store, unused, false)
		for _, client := range clients {
			wantClient(t, store, client, true)
		}
		if op.allows(t, "https://unused.example") {
			t.Error("its origin is let in")
		}
		if _, err := store.Consent(t.Context(), sub, unused.text("client_id")); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("what a user allowed it: %v", err)
		}
		op.register(t, smallest()) // there is room again
		pass(clientLife + 3*tenth)
		for _, client := range clients {
			wantClient(t, store, client, false)
		}
	})
}

// TestClientsLiveAsLongAsTheyMay: never less than the lifetime after the last use,
// noted or not.
func TestClientsLiveAsLongAsTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		op := serving(t, mortal(store))
		client := op.register(t, publicDocument())
		pass(tenth - time.Second) // too early to be noted
		op.answer(t, http.MethodPost, "/revoke", params{"token": "x", "client_id": client.text("client_id")}.values(), nil)
		pass(clientLife)
		wantClient(t, store, client, true)
		pass(2*tenth + time.Second)
		wantClient(t, store, client, false)
	})
}

// TestUsesAreNotedRarely: once in a tenth of the lifetime; never, where clients
// live for ever.
func TestUsesAreNotedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noted := 0
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(c storage.Changes) error {
			noted += len(c.UpdateClients)
			return nil
		}}
		for _, tt := range []struct {
			name   string
			config provider.Config
			want   int
		}{
			{"for ever", provider.Config{Store: store, FixedKeys: fixedKeys()}, 0},
			{"for a while", mortal(store), 5},
		} {
			op := serving(t, tt.config)
			client := op.register(t, publicDocument())
			noted = 0 // what the start completed
			for range 100 {
				pass(tenth / 20)
				op.answer(t, http.MethodPost, "/revoke", params{"token": "x", "client_id": client.text("client_id")}.values(), nil)
			}
			if noted != tt.want {
				t.Errorf("%s: noted %d times, want %d", tt.name, noted, tt.want)
			}
			wantClient(t, store, client, true)
		}
	})
}

// TestLifetimeIsTurnedOn: whoever is there then has the whole of it, used or not
// before; and for ever again when it is turned off.
func TestLifetimeIsTurnedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		forEver := provider.Config{Store: store, FixedKeys: fixedKeys()}
		restart := func(op *inProcess, config provider.Config) *inProcess {
			if op != nil {
				if err := op.provider().Close(); err != nil {
					t.Fatal(err)
				}
			}
			return serving(t, config)
		}
		op := restart(nil, forEver)
		client := op.register(t, publicDocument())
		pass(100 * clientLife)
		wantClient(t, store, client, true)
		op = restart(op, mortal(store))
		pass(clientLife)
		wantClient(t, store, client, true)
		op = restart(op, forEver)
		pass(100 * clientLife)
		wantClient(t, store, client, true)
		restart(op, mortal(store))
		pass(clientLife)
		wantClient(t, store, client, true)
		pass(2 * tenth)
		wantClient(t, store, client, false)
	})
}

// TestUsedWhileItIsDeleted: a use that another provider notes in time keeps the
// client.
func TestUsedWhileItIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
		op := serving(t, mortal(store))
		client, other := op.register(t, publicDocument()), op.register(t, publicDocument())
		met := false
		store.setOnCommit(func(c storage.Changes) error {
			if len(c.DeleteClients) > 0 && c.DeleteClients[0] == client.text("client_id") && !met {
				met = true
				op.manage(t, http.MethodGet, client, nil)
			}
			return nil
		})
		pass(clientLife + 2*tenth)
		wantClient(t, store, client, true)
		wantClient(t, store, other, false)
		if !met {
			t.Error("nobody wanted to delete it")
		}
		pass(clientLife + 2*tenth)
		wantClient(t, store, client, false)
	})
}

// TestUnusedClientsWhileTheStoreFails: they go when it can be written again, and
// no request fails for a use that cannot be noted.
func TestUnusedClientsWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
		a, b := replicas(t, mortal(store))
		client := a.register(t, publicDocument())
		pass(clientLife)
		store.fail("Commit")
		if read := b.manage(t, http.MethodGet, client, nil); read.Status != http.StatusOK {
			t.Errorf("answer %d %s", read.Status, read.Raw)
		}
		pass(2 * tenth)
		wantClient(t, store, client, true)
		store.repair()
		store.fail("Clients")
		pass(2 * tenth)
		wantClient(t, store, client, true)
		store.repair()
		pass(tenth)
		wantClient(t, store, client, false)
	})
}
