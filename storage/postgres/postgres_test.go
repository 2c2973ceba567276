package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// openStore opens a store in a schema of its own until the test ends.
func openStore(tb testing.TB, parameters string) *postgres.Store {
	tb.Helper()
	return reopen(tb, postgrestest.URL(tb)+parameters)
}

func reopen(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	store, err := postgres.Open(tb.Context(), url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return store
}

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		t.Helper()
		return openStore(t, "")
	})
}

// Names that are too long for the tables are nobody's, and no error: a stranger
// may ask for any.
func TestLongNames(t *testing.T) {
	s := openStore(t, "")
	for _, name := range []string{strings.Repeat("\xff", 65535), strings.Repeat("a", 70_000), "\x00", "\xff"} {
		_, grantErr := s.Grant(t.Context(), name)
		_, clientErr := s.Client(t.Context(), name)
		_, deviceErr := s.DeviceCodeOf(t.Context(), name)
		_, consentErr := s.Consent(t.Context(), name, name)
		for what, err := range map[string]error{"grant": grantErr, "client": clientErr, "device code": deviceErr, "consent": consentErr} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s of %d bytes: %v", what, len(name), err)
			}
		}
		clients, err := s.SessionClients(t.Context(), name)
		has, originErr := s.HasOrigin(t.Context(), name)
		if len(clients) > 0 || has || err != nil || originErr != nil {
			t.Errorf("%d bytes: %v, %v, %v, %v", len(name), clients, has, err, originErr)
		}
		if err := s.Commit(t.Context(), storage.Changes{At: start, SignOut: []string{name}, RevokeGrants: []string{name}}); err != nil {
			t.Errorf("sign-out of %d bytes: %v", len(name), err)
		}
	}
}

// What cannot be read expires as well: the sweep goes by the columns.
func TestSweepUnreadable(t *testing.T) {
	address := postgrestest.URL(t)
	s := reopen(t, address)
	issue(t, s)
	postgrestest.Exec(t, address, "UPDATE grants SET record = '{'")
	if _, err := s.Grant(t.Context(), exchange(0).Grants[0].ID); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Grant: got error %v, want that it cannot be read", err)
	}
	if n, err := s.Sweep(t.Context(), start.Add(48*time.Hour), 10); n != 2 || err != nil {
		t.Errorf("Sweep: %d, %v; want the grant and its code", n, err)
	}
}
