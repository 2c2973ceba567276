package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// The tests of this file run several providers on one store: what one of them
// does, the others know at once.

// replicas are two providers of one configuration on one store.
func replicas(t *testing.T, config provider.Config) (a, b *inProcess) {
	t.Helper()
	if config.Store == nil {
		config.Store = storagetest.NewModel()
	}
	if config.FixedKeys == nil {
		config.FixedKeys = fixedKeys()
	}
	return serving(t, config), serving(t, config)
}

// register registers a client that must be accepted.
func (op *inProcess) register(t *testing.T, body document) answer {
	t.Helper()
	a := op.json(t, http.MethodPost, "/register", body, nil)
	if a.Status != http.StatusCreated {
		t.Fatalf("register: %d %s", a.Status, a.Raw)
	}
	return a
}

// manage sends a request with a client's registration access token.
func (op *inProcess) manage(t *testing.T, method string, client answer, body any) answer {
	t.Helper()
	return op.json(t, method, "/register/"+client.text("client_id"), body, bearer(client.text("registration_access_token")))
}

// allows reports whether a preflight from an origin is answered with yes.
func (op *inProcess) allows(t *testing.T, origin string) bool {
	t.Helper()
	a := op.answer(t, http.MethodOptions, "/token", nil, fromOrigin(origin))
	if a.Status != http.StatusNoContent {
		t.Errorf("preflight of %s: %d %s", origin, a.Status, a.Raw)
	}
	return a.Header.Get("Access-Control-Allow-Origin") == origin
}

func fromOrigin(origin string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Origin", origin) }
}

// TestOriginsAreShared: a client's scripts are let in everywhere as soon as it is
// registered, and nowhere any more when it is gone.
func TestOriginsAreShared(t *testing.T) {
	a, b := replicas(t, provider.Config{})
	const first, second = "https://first.example", "https://second.example:8443"
	allowed := func(when string, want ...string) {
		t.Helper()
		for name, op := range map[string]*inProcess{"a": a, "b": b} {
			for _, origin := range []string{first, second} {
				if got := op.allows(t, origin); got != slices.Contains(want, origin) {
					t.Errorf("%s: %s at %s: allowed %v", when, origin, name, got)
				}
			}
		}
	}
	allowed("before")
	client := a.register(t, smallest().with(document{"redirect_uris": []string{first + "/callback", "com.example.app:/callback"}, "application_type": "native"}))
	allowed("registered at a", first)
	if moved := b.manage(t, http.MethodPut, client, update(client, document{"redirect_uris": []string{second + "/"}})); moved.Status != http.StatusOK {
		t.Fatalf("move: %d %s", moved.Status, moved.Raw)
	}
	allowed("moved at b", second)
	if gone := a.manage(t, http.MethodDelete, client, nil); gone.Status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", gone.Status, gone.Raw)
	}
	allowed("deleted at a")
}

// TestOriginsWithoutStore: whoever may be a client is asked to come again, and
// loses nothing. The configuration's clients are not in the store, and what is no
// origin is nobody's.
func TestOriginsWithoutStore(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op := serving(t, provider.Config{Store: store, FixedKeys: fixedKeys()})
	const origin = "https://app.example"
	client := op.register(t, publicDocument().with(document{"redirect_uris": []string{providertest.RedirectURI, origin + "/"}}))
	id := params{"client_id": client.text("client_id")}
	code := op.authorize(t, codeRequest().with(id)).Get("code")
	store.fail("HasOrigin")
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		a := op.answer(t, method, "/token", redeem(code).with(id).values(), fromOrigin(origin))
		wantUnavailable(t, a)
		wantCORS(t, a.Header, origin, false)
	}
	for _, known := range []string{"http://rp.localhost:1", "", "null", "*", "nonsense", "https://app.example/", "ftp://app.example", "https://APP.example", "https://\xff.example", "https://" + strings.Repeat("a", 300)} {
		a := op.answer(t, http.MethodOptions, "/token", nil, fromOrigin(known))
		if a.Status != http.StatusNoContent {
			t.Errorf("preflight of %q: %d %s", known, a.Status, a.Raw)
		}
		wantCORS(t, a.Header, known, known == "http://rp.localhost:1")
	}
	store.repair()
	a := op.answer(t, http.MethodPost, "/token", redeem(code).with(id).values(), fromOrigin(origin))
	if a.Status != http.StatusOK {
		t.Errorf("the code is spent: %d %s", a.Status, a.Raw)
	}
	wantCORS(t, a.Header, origin, true)
}

// TestLongOrigin: no browser writes it, so it is nobody's, and the client is
// registered all the same.
func TestLongOrigin(t *testing.T) {
	a, _ := replicas(t, provider.Config{Store: openStore(t)}) // which bounds the names of what it keeps
	long := "https://" + strings.Repeat("a.", 2036) + "example"
	a.register(t, smallest().with(document{"redirect_uris": []string{long + "/", "https://short.example/"}}))
	if a.allows(t, long) || !a.allows(t, "https://short.example") {
		t.Error("the long one is allowed, or the short one is not")
	}
}

// oldRecord makes a client's record what it was when records had neither origins
// nor versions.
func oldRecord(t *testing.T, store storage.Store, id string) {
	t.Helper()
	record, err := store.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	record.Origins, record.Version = nil, ""
	if err := store.Commit(t.Context(), storage.Changes{UpdateClients: []storage.Client{record}}); err != nil {
		t.Fatal(err)
	}
}

// TestOldRecordsGetOrigins: at the start, and without what others did meanwhile.
func TestOldRecordsGetOrigins(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	config := provider.Config{Store: store, FixedKeys: fixedKeys()}
	op := serving(t, config)
	var clients []answer
	for _, name := range []string{"plain", "moved", "deleted", "last"} {
		client := op.register(t, smallest().with(document{"redirect_uris": []string{"https://" + name + ".example/"}}))
		oldRecord(t, store, client.text("client_id"))
		clients = append(clients, client)
	}
	if op.allows(t, "https://plain.example") {
		t.Fatal("the records are not old")
	}
	store.setOnCommit(func(storage.Changes) error { // as the first commit of the start arrives
		store.setOnCommit(nil)
		moved := op.manage(t, http.MethodPut, clients[1], update(clients[1], document{"redirect_uris": []string{"https://elsewhere.example/"}}))
		deleted := op.manage(t, http.MethodDelete, clients[2], nil)
		if moved.Status != http.StatusOK || deleted.Status != http.StatusNoContent {
			t.Errorf("meanwhile: %d %s, %d %s", moved.Status, moved.Raw, deleted.Status, deleted.Raw)
		}
		return nil
	})
	again := serving(t, config)
	for origin, want := range map[string]bool{"plain": true, "moved": false, "elsewhere": true, "deleted": false, "last": true} {
		if got := again.allows(t, "https://"+origin+".example"); got != want {
			t.Errorf("%s: allowed %v, want %v", origin, got, want)
		}
	}
	if a := again.manage(t, http.MethodGet, clients[0], nil); a.Status != http.StatusOK {
		t.Errorf("a filled record: %d %s", a.Status, a.Raw)
	}
	// All is done: another start writes nothing, and one that cannot write fails.
	store.setOnCommit(func(c storage.Changes) error {
		if len(c.UpdateClients) > 0 {
			t.Errorf("written again: %v", c.UpdateClients)
		}
		return nil
	})
	serving(t, config)
	store.setOnCommit(nil)
	oldRecord(t, store, clients[0].text("client_id"))
	store.fail("Commit")
	config.Issuer, config.Clients = "http://op.localhost", providertest.DefaultClients()
	if _, err := provider.New(t.Context(), config); err == nil {
		t.Error("a start that could not fill the records")
	}
}

// TestMaxClientsAtReplicas: there is room for so many, wherever they register.
func TestMaxClientsAtReplicas(t *testing.T) {
	a, b := replicas(t, provider.Config{Store: openStore(t), Registration: provider.Registration{MaxClients: 5}})
	created := 0
	for _, answer := range inParallel(20, func(i int) answer {
		return []*inProcess{a, b}[i%2].json(t, http.MethodPost, "/register", smallest(), nil)
	}) {
		if answer.Status == http.StatusCreated {
			created++
			continue
		}
		wantError(t, answer, http.StatusForbidden, "access_denied")
	}
	if created != 5 {
		t.Errorf("%d registered, want 5", created)
	}
}

// TestReplaceAtReplicas: of many changes at both, one brings the secret, and it is
// the one that is good.
func TestReplaceAtReplicas(t *testing.T) {
	a, b := replicas(t, provider.Config{Store: openStore(t)})
	client := a.register(t, publicDocument())
	secrets := 0
	for _, changed := range inParallel(16, func(i int) answer {
		return []*inProcess{a, b}[i%2].manage(t, http.MethodPut, client, update(client, document{"token_endpoint_auth_method": "client_secret_post"}))
	}) {
		if changed.Status != http.StatusOK {
			t.Fatalf("answer %d %s", changed.Status, changed.Raw)
		}
		if secret := changed.text("client_secret"); secret != "" {
			secrets++
			use := url.Values{"token": {"x"}, "client_id": {client.text("client_id")}, "client_secret": {secret}}
			if used := b.answer(t, http.MethodPost, "/revoke", use, nil); used.Status != http.StatusOK {
				t.Errorf("the secret that was told: %d %s", used.Status, used.Raw)
			}
		}
	}
	if secrets != 1 {
		t.Errorf("%d secrets were told", secrets)
	}
}

// meanwhile lets do run each time that a change of a client arrives at the store,
// except those that come of do itself.
func meanwhile(store *faultyStore, do func()) (times *atomic.Int32) {
	times = new(atomic.Int32)
	var busy atomic.Bool
	store.setOnCommit(func(c storage.Changes) error {
		if len(c.UpdateClients) > 0 && busy.CompareAndSwap(false, true) {
			times.Add(1)
			do()
			busy.Store(false)
		}
		return nil
	})
	return times
}

// TestReplaceOvertaken: a change that another one overtakes is made on top of it,
// or refused for what it has become; and given up if there is no end of it.
func TestReplaceOvertaken(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	a, b := replicas(t, provider.Config{Store: store})
	once := func(do func()) {
		meanwhile(store, func() { store.setOnCommit(nil); do() })
	}
	client := a.register(t, publicDocument())
	confidential := document{"token_endpoint_auth_method": "client_secret_post"}

	t.Run("by one that brings a secret", func(t *testing.T) {
		var first answer
		once(func() { first = b.manage(t, http.MethodPut, client, update(client, confidential)) })
		second := a.manage(t, http.MethodPut, client, update(client, confidential.with(document{"client_name": "Second"})))
		if first.text("client_secret") == "" || second.Status != http.StatusOK || second.Body["client_secret"] != nil {
			t.Errorf("first %d %s, second %d %s", first.Status, first.Raw, second.Status, second.Raw)
		}
		if got := b.manage(t, http.MethodGet, client, nil).text("client_name"); got != "Second" {
			t.Errorf("client_name %q", got)
		}
		client.Body["client_secret"] = first.text("client_secret")
	})
	t.Run("by one that takes the secret away", func(t *testing.T) {
		once(func() {
			b.manage(t, http.MethodPut, client, update(client, document{"token_endpoint_auth_method": "none", "client_secret": nil}))
		})
		// The document carries the secret that was good when it was sent.
		late := a.manage(t, http.MethodPut, client, update(client, confidential))
		wantError(t, late, http.StatusBadRequest, "invalid_request")
	})
	t.Run("by a deletion", func(t *testing.T) {
		gone := a.register(t, publicDocument())
		once(func() { b.manage(t, http.MethodDelete, gone, nil) })
		if late := a.manage(t, http.MethodPut, gone, update(gone, nil)); late.Status != http.StatusUnauthorized {
			t.Errorf("answer %d %s", late.Status, late.Raw)
		}
	})
	t.Run("a deletion by a change", func(t *testing.T) {
		deleted := a.register(t, publicDocument())
		store.setOnCommit(func(c storage.Changes) error {
			if len(c.DeleteClients) > 0 {
				store.setOnCommit(nil)
				b.manage(t, http.MethodPut, deleted, update(deleted, nil))
			}
			return nil
		})
		if done := a.manage(t, http.MethodDelete, deleted, nil); done.Status != http.StatusNoContent {
			t.Errorf("answer %d %s", done.Status, done.Raw)
		}
		if read := b.manage(t, http.MethodGet, deleted, nil); read.Status != http.StatusUnauthorized {
			t.Errorf("it is there still: %d %s", read.Status, read.Raw)
		}
	})
	t.Run("again and again", func(t *testing.T) {
		busy := a.register(t, publicDocument())
		times := meanwhile(store, func() {
			b.manage(t, http.MethodPut, busy, update(busy, document{"client_name": "Busy"}))
		})
		given := a.manage(t, http.MethodPut, busy, update(busy, document{"client_name": "Never"}))
		store.setOnCommit(nil)
		wantError(t, given, http.StatusConflict, "temporarily_unavailable")
		if given.Header.Get("Retry-After") == "" || !strings.Contains(given.text("error_description"), "Nothing of it is stored") {
			t.Errorf("answer %s, Retry-After %q", given.Raw, given.Header.Get("Retry-After"))
		}
		if n := times.Load(); n < 16 || n > 64 {
			t.Errorf("given up after %d attempts", n)
		}
		if got := a.manage(t, http.MethodGet, busy, nil).text("client_name"); got != "Busy" {
			t.Errorf("client_name %q", got)
		}
	})
}

// TestConsentsAtOnce: what a user allows in two windows at once is all allowed.
func TestConsentsAtOnce(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	a, b := replicas(t, provider.Config{Store: store})
	first := codeRequest().with(params{"scope": "openid email"})
	second := codeRequest().with(params{"scope": "openid phone", "claims": `{"userinfo":{"nickname":null}}`})
	store.setOnCommit(func(c storage.Changes) error {
		if len(c.Consents) > 0 {
			store.setOnCommit(nil)
			b.authorize(t, second)
		}
		return nil
	})
	a.authorize(t, first)
	for name, asked := range map[string]params{"first": first, "second": second} {
		if got := a.authorize(t, asked.with(params{"prompt": "none"})); !got.Has("code") {
			t.Errorf("the %s is forgotten: %v", name, got)
		}
	}
	sub, _ := provider.SeedUsers()[0].Claims["sub"].(string)
	consent, err := store.Consent(t.Context(), sub, providertest.PublicClient)
	if err != nil || !slices.Equal(consent.Scopes, []string{"openid", "phone", "email"}) {
		t.Errorf("scopes %v, %v", consent.Scopes, err)
	}
}
