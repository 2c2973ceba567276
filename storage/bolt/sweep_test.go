package bolt_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// always is when everything has expired that does.
const always = 100 * 365 * 24 * time.Hour

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

// TestSweepOverlappingSpans: the oldest goes first, wherever it stands, and many in one
// transaction. The tokens of two spans expire in turn.
func TestSweepOverlappingSpans(t *testing.T) {
	const all, some = 800, 300
	s, _ := openStore(t, nil)
	c := storage.Changes{Grants: []storage.Grant{{ID: "grant"}}}
	for n := range all {
		c.AccessTokens = append(c.AccessTokens, storage.AccessToken{
			ID: ordered(n, start.Add(time.Duration(n%2)*time.Second)), GrantID: "grant", ExpiresAt: start.Add(time.Duration(n) * time.Second),
		})
	}
	commit(t, s, c)
	before := lastTransaction(t, s)
	if n, err := s.Sweep(t.Context(), start.Add(time.Hour), some); n != some || err != nil {
		t.Fatalf("Sweep: %d, %v; want %d", n, err, some)
	}
	if n := lastTransaction(t, s) - before; n != 2 {
		t.Errorf("%d transactions, want 2", n)
	}
	for n, token := range c.AccessTokens {
		if _, _, err := s.AccessToken(t.Context(), token.ID); errors.Is(err, storage.ErrNotFound) != (n < some) {
			t.Errorf("token %d: %v", n, err)
		}
	}
}

// TestSweepBesideMany: where a span has more than one transaction looks at, what expired
// before goes before all the same.
func TestSweepBesideMany(t *testing.T) {
	s, _ := openStore(t, nil)
	c := storage.Changes{Grants: []storage.Grant{{ID: "grant"}}}
	add := func(id storage.Digest, seconds int) {
		c.AccessTokens = append(c.AccessTokens, storage.AccessToken{ID: id, GrantID: "grant", ExpiresAt: start.Add(time.Duration(seconds) * time.Second)})
	}
	for n := range bolt.MaxLook {
		add(ordered(n, start), 1000)
	}
	first, second, third := ordered(-1, start), ordered(-2, start.Add(time.Minute)), ordered(-3, start)
	add(first, 1)
	add(second, 2)
	add(third, 3)
	commit(t, s, c)
	if n, err := s.Sweep(t.Context(), start.Add(time.Minute), 2); n != 2 || err != nil {
		t.Fatalf("Sweep: %d, %v; want 2", n, err)
	}
	for id, gone := range map[storage.Digest]bool{first: true, second: true, third: false} {
		if _, _, err := s.AccessToken(t.Context(), id); errors.Is(err, storage.ErrNotFound) != gone {
			t.Errorf("gone: %t, %v", !gone, err)
		}
	}
}

// TestSweepCompares: in many spans that overlap, each record is compared with few others.
// The first of a span has been ended, so that its entry tells of nothing that is due; the
// second expires after all those entries.
func TestSweepCompares(t *testing.T) {
	const spans = 4000
	s, _ := openStore(t, &bolt.Options{NoSync: true})
	var c storage.Changes
	var ended []storage.Digest
	for n := range spans {
		at := start.Add(time.Duration(n) * time.Second)
		first, second := ordered(2*n, at), ordered(2*n+1, at)
		c.Sessions = append(c.Sessions,
			storage.Session{ID: first, ExpiresAt: at}, storage.Session{ID: second, ExpiresAt: at.Add(spans * time.Second)})
		ended = append(ended, first)
	}
	commit(t, s, c)
	commit(t, s, storage.Changes{EndSessions: ended})
	removed, looked, compared, err := s.SweepCounted(t.Context(), start.Add(always))
	if removed != 256 || looked != 2*spans || err != nil {
		t.Errorf("%d removed, %d looked at, %v; want 256 and %d", removed, looked, err, 2*spans)
	}
	t.Logf("%d comparisons", compared)
	if most := 40 * looked; compared > most {
		t.Errorf("%d comparisons of %d records, want %d at most", compared, looked, most)
	}
}

// TestSweepGrantsLast: of what expires at one instant, in more spans than a transaction
// looks into, no grant goes before all that came of grants.
func TestSweepGrantsLast(t *testing.T) {
	const grants = 400
	s, path := openStore(t, nil)
	var c storage.Changes
	for n := range grants {
		e := exchange(n)
		c.Grants, c.Codes = append(c.Grants, e.Grants...), append(c.Codes, e.Codes...)
	}
	commit(t, s, c)
	for _, removed := range []int{grants - 1, 1, grants / 2, grants / 2} {
		if n, err := s.Sweep(t.Context(), start.Add(2*time.Hour), removed); n != removed || err != nil {
			t.Fatalf("Sweep: %d, %v; want %d", n, err, removed)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := bolt.CheckFile(path); err != nil { // a code without its grant
			t.Fatal(err)
		}
		s = reopen(t, path, nil)
	}
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
