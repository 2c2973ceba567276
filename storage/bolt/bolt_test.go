package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/storagetest"
)

var start = time.Date(2031, time.February, 3, 4, 5, 6, 789012345, time.UTC)

// openStore opens a store in a file of its own. After the test, and after the
// store is closed, the file is checked.
func openStore(t *testing.T, o *bolt.Options) (*bolt.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "op.db")
	t.Cleanup(func() {
		if err := bolt.CheckFile(path); err != nil {
			t.Errorf("file after the test: %v", err)
		}
	})
	return reopen(t, path, o), path
}

// reopen opens the store in a file until the test ends.
func reopen(t *testing.T, path string, o *bolt.Options) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

func commit(t *testing.T, s *bolt.Store, c storage.Changes) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		t.Helper()
		s, _ := openStore(t, nil)
		return s
	})
}
