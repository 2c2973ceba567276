package postgres_test

import (
	"testing"

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
