package records_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/internal/records"
)

type note struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

func open(t *testing.T, path string) *records.DB {
	t.Helper()
	db, err := records.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func bucket(t *testing.T, db *records.DB) *records.Records[note] {
	t.Helper()
	r, err := records.Bucket[note](db, "notes")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func notes(t *testing.T) *records.Records[note] {
	t.Helper()
	return bucket(t, open(t, filepath.Join(t.TempDir(), "r.db")))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantNotFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, records.ErrNotFound) {
		t.Fatalf("error %v, want ErrNotFound", err)
	}
}

func TestPutGetDelete(t *testing.T) {
	r := notes(t)
	_, err := r.Get("a")
	wantNotFound(t, err)
	must(t, r.Delete("a"))

	must(t, r.Put("a", note{Text: "one"}, time.Now().Add(time.Hour)))
	must(t, r.Put("a", note{Text: "two"}, time.Time{}))
	got, err := r.Get("a")
	must(t, err)
	if diff := cmp.Diff(note{Text: "two"}, got); diff != "" {
		t.Fatal(diff)
	}

	must(t, r.Delete("a"))
	_, err = r.Get("a")
	wantNotFound(t, err)
}

func TestUpdate(t *testing.T) {
	r := notes(t)
	grow := func(v *note) error { v.N++; return nil }
	wantNotFound(t, r.Update("a", grow))

	must(t, r.Put("a", note{}, time.Now().Add(time.Hour)))
	refusal := errors.New("no")
	if err := r.Update("a", func(v *note) error { v.N = 99; return refusal }); !errors.Is(err, refusal) {
		t.Fatalf("error %v, want the function's own", err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := r.Update("a", grow); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := r.Get("a")
	must(t, err)
	if got.N != 16 {
		t.Fatalf("N is %d after 16 concurrent updates", got.N)
	}
}

func TestTakeGivesTheRecordOnce(t *testing.T) {
	r := notes(t)
	for round := range 10 {
		key := fmt.Sprint(round)
		must(t, r.Put(key, note{N: round}, time.Now().Add(time.Hour)))
		var got, missed atomic.Int32
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				switch _, err := r.Take(key); {
				case err == nil:
					got.Add(1)
				case errors.Is(err, records.ErrNotFound):
					missed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 || missed.Load() != 31 {
			t.Fatalf("round %d: %d took it, %d missed; want 1 and 31", round, got.Load(), missed.Load())
		}
	}
}

func TestAddSucceedsOnce(t *testing.T) {
	r := notes(t)
	var added, there atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch err := r.Add("a", note{}, time.Now().Add(time.Hour)); {
			case err == nil:
				added.Add(1)
			case errors.Is(err, records.ErrExists):
				there.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if added.Load() != 1 || there.Load() != 31 {
		t.Fatalf("%d added it, for %d it was there; want 1 and 31", added.Load(), there.Load())
	}
	must(t, r.Put("dead", note{}, time.Now().Add(-time.Second)))
	must(t, r.Add("dead", note{}, time.Now().Add(time.Hour)))
}

func TestExpiry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	synctest.Test(t, func(t *testing.T) {
		r := bucket(t, open(t, path))
		must(t, r.Put("minute", note{N: 1}, time.Now().Add(time.Minute)))
		must(t, r.Put("extended", note{N: 2}, time.Now().Add(time.Minute)))
		must(t, r.Put("forever", note{N: 3}, time.Time{}))
		must(t, r.Update("minute", func(v *note) error { v.N = 10; return nil }))
		must(t, r.Extend("extended", time.Now().Add(time.Hour)))

		time.Sleep(time.Minute - time.Nanosecond)
		_, err := r.Get("minute")
		must(t, err)

		time.Sleep(time.Nanosecond)
		_, err = r.Get("minute")
		wantNotFound(t, err)
		_, err = r.Take("minute")
		wantNotFound(t, err)
		wantNotFound(t, r.Update("minute", func(*note) error { return nil }))
		wantNotFound(t, r.Extend("minute", time.Now().Add(time.Hour)))

		sum := 0
		must(t, r.Each(func(v note) error { sum += v.N; return nil }))
		if sum != 2+3 {
			t.Fatalf("Each saw a sum of %d, want only the two that are alive", sum)
		}
	})
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	r := notes(t)
	for i := range 3 {
		must(t, r.Put(fmt.Sprint(i), note{}, time.Time{}))
	}
	stop, calls := errors.New("stop"), 0
	err := r.Each(func(note) error {
		calls++
		must(t, r.Put("from within", note{}, time.Time{}))
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("error %v after %d calls", err, calls)
	}
}

// Dead records leave the file at a Put and at Open, not only the answers.
func TestSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	synctest.Test(t, func(t *testing.T) {
		r := bucket(t, open(t, path))
		for i := range 20 {
			must(t, r.Put(fmt.Sprint("old", i), note{}, time.Now().Add(time.Minute)))
		}
		time.Sleep(time.Hour)
		for i := range 3 {
			must(t, r.Put(fmt.Sprint("new", i), note{}, time.Now().Add(time.Minute)))
		}
		if n := records.Count(r); n != 3 {
			t.Fatalf("%d records in the file, want the 3 new ones", n)
		}
	})
	// synctest's clock starts in the year 2000: by real time all have expired.
	if n := records.Count(bucket(t, open(t, path))); n != 0 {
		t.Fatalf("%d records after Open, want none", n)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	db, err := records.Open(path)
	must(t, err)
	must(t, bucket(t, db).Put("secret-key", note{Text: "kept"}, time.Now().Add(time.Hour)))
	must(t, db.Close())

	file, err := os.ReadFile(path)
	must(t, err)
	if bytes.Contains(file, []byte("secret-key")) {
		t.Error("the file holds the key itself, want only its hash")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}

	got, err := bucket(t, open(t, path)).Get("secret-key")
	must(t, err)
	if got.Text != "kept" {
		t.Errorf("got %q", got.Text)
	}
}

func TestSecondOpenSaysInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	open(t, path)
	start := time.Now()
	_, err := records.Open(path)
	if !errors.Is(err, records.ErrInUse) {
		t.Fatalf("error %v, want ErrInUse", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

func TestOpenNamesTheMissingDirectory(t *testing.T) {
	_, err := records.Open(filepath.Join(t.TempDir(), "none", "r.db"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v, want one that wraps os.ErrNotExist", err)
	}
}
