package bolt_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// An index entry that its record has outlived, or that has no record, goes
// alone and is not counted.
func TestStaleIndexEntries(t *testing.T) {
	s, _ := openStore(t, nil)
	session := storage.Session{ID: storage.DigestOf("session"), ExpiresAt: start.Add(time.Hour)}
	commit(t, s, storage.Changes{Sessions: []storage.Session{session}})
	for _, id := range []storage.Digest{session.ID, storage.DigestOf("none")} {
		if err := s.AddStaleEntry(start, id); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), start.Add(1), 1); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v; want 0", n, err)
	}
	if _, err := s.Session(t.Context(), session.ID); err != nil {
		t.Errorf("session: %v", err)
	}
	// That the entries are gone is what the check of the file tests.
}

func TestSweepInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, &bolt.Options{SweepInterval: time.Minute})
		session := storage.Session{ID: storage.DigestOf("session"), ExpiresAt: time.Now().Add(90 * time.Second)}
		commit(t, s, storage.Changes{Sessions: []storage.Session{session}})

		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := s.Session(t.Context(), session.ID); err != nil {
			t.Errorf("before it expired: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := s.Session(t.Context(), session.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after it expired: got error %v, want %v", err, storage.ErrNotFound)
		}
		// Close must end the sweeper: the bubble waits for it.
	})
}
