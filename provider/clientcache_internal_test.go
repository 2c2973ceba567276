package provider

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// cachingProvider is what finding clients takes of a provider.
func cachingProvider(store storage.Store) *Provider {
	return &Provider{
		store: store, clients: map[string]*client{"configured": {}}, lifetimes: defaultLifetimes, scopes: userScopes,
		keys: &keyring{secret: []byte("secret")}, registrar: newRegistrar(Registration{}),
	}
}

// clientRecord is a client's record with a version, a name and a secret of its own.
func clientRecord(tb testing.TB, id, version string) storage.Client {
	tb.Helper()
	metadata, err := json.Marshal(Client{
		Name: "name of " + version, RedirectURIs: []string{"https://app.example/callback"}, TokenEndpointAuthMethod: authBasic,
	}.withRegistrationDefaults())
	if err != nil {
		tb.Fatal(err)
	}
	return storage.Client{ID: id, Version: version, Metadata: metadata, SecretHash: storage.DigestOf(version)}
}

func mustCommit(tb testing.TB, store storage.Store, c storage.Changes) {
	tb.Helper()
	if err := store.Commit(tb.Context(), c); err != nil {
		tb.Fatal(err)
	}
}

// TestClientCache: a client is decoded once, until anything of its record is
// another.
func TestClientCache(t *testing.T) {
	store := storagetest.NewModel()
	p := cachingProvider(store)
	find := func() *client {
		t.Helper()
		c, err := p.client(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	record := clientRecord(t, "id", "first")
	mustCommit(t, store, storage.Changes{Clients: []storage.Client{record}})
	first := find()
	if find() != first {
		t.Error("decoded twice")
	}
	for _, tt := range []struct {
		name   string
		change func()
		want   func(c *client) bool
	}{
		{"version", func() { record.Version = "second" }, func(c *client) bool { return c.Name == "name of first" }},
		{"metadata", func() { record.Metadata = clientRecord(t, "id", "third").Metadata }, func(c *client) bool { return c.Name == "name of third" }},
		{"secret", func() { record.SecretHash = storage.DigestOf("other") }, func(c *client) bool { return c.checkSecret("other") && !c.checkSecret("first") }},
		{"expiry", func() { record.SecretExpiresAt = time.Now().Add(-time.Hour) }, func(c *client) bool { return c.secretExpired() }},
	} {
		before := find()
		tt.change()
		mustCommit(t, store, storage.Changes{UpdateClients: []storage.Client{record}})
		if after := find(); after == before || !tt.want(after) {
			t.Errorf("another %s: got %+v", tt.name, after)
		}
	}
	mustCommit(t, store, storage.Changes{DeleteClients: []string{"id"}})
	if c, err := p.client(t.Context(), "id"); err == nil {
		t.Errorf("a client that is gone: %v", c.ID)
	}
}

// TestClientCacheBounds: however many clients there are, and however large.
func TestClientCacheBounds(t *testing.T) {
	store := storagetest.NewModel()
	p := cachingProvider(store)
	for n := range maxCachedClients + 50 {
		record := clientRecord(t, fmt.Sprint(n), "first")
		mustCommit(t, store, storage.Changes{Clients: []storage.Client{record}})
		if c, err := p.client(t.Context(), record.ID); err != nil || c.ID != record.ID {
			t.Fatalf("client %d: %v, %v", n, c, err)
		}
	}
	if n := len(p.registered.clients); n != maxCachedClients {
		t.Errorf("%d are kept", n)
	}
	large := clientRecord(t, "large", "first")
	large.Metadata = append(large.Metadata, strings.Repeat(" ", maxCachedRecord)...)
	mustCommit(t, store, storage.Changes{Clients: []storage.Client{large}})
	if c, err := p.client(t.Context(), "large"); err != nil || c.ID != "large" {
		t.Errorf("a large client: %v, %v", c, err)
	}
	if _, kept := p.registered.clients["large"]; kept {
		t.Error("it is kept")
	}
}

// TestClientCacheAtOnce: whoever asks after a change is stored gets the client that
// it made.
func TestClientCacheAtOnce(t *testing.T) {
	store := storagetest.NewModel()
	p := cachingProvider(store)
	mustCommit(t, store, storage.Changes{Clients: []storage.Client{clientRecord(t, "id", "0")}})
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := p.client(t.Context(), "id"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 500 {
		version := fmt.Sprint(n + 1)
		mustCommit(t, store, storage.Changes{UpdateClients: []storage.Client{clientRecord(t, "id", version)}})
		if c, err := p.client(t.Context(), "id"); err != nil || c.Name != "name of "+version || !c.checkSecret(version) {
			t.Fatalf("after change %s: %v, %v", version, c, err)
		}
	}
	close(done)
	all.Wait()
}

// BenchmarkClient compares how long it takes to find a client that registered
// itself: as it is done, with its record decoded each time, and to read the record
// alone, which neither does without.
func BenchmarkClient(b *testing.B) {
	store, err := bolt.Open(filepath.Join(b.TempDir(), "op.db"), &bolt.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	p := cachingProvider(store)
	mustCommit(b, store, storage.Changes{Clients: []storage.Client{clientRecord(b, "id", "first")}})
	for _, bb := range []struct {
		name string
		find func() error
	}{
		{"cached", func() error { _, err := p.client(b.Context(), "id"); return err }},
		{"decoded", func() error {
			record, err := store.Client(b.Context(), "id")
			if err == nil {
				_, err = p.registeredClient(record)
			}
			return err
		}},
		{"record", func() error { _, err := store.Client(b.Context(), "id"); return err }},
		{"configured", func() error { _, err := p.client(b.Context(), "configured"); return err }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.find(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
