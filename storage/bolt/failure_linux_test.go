package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// failures are the places at which a transaction can fail.
var failures = []struct {
	name string
	// fail makes the next transaction fail, until repair.
	fail func(t *testing.T, s *bolt.Store) (repair func())
	// broken says that the store must not go on.
	broken bool
	// visible says that readers see the failed transaction.
	visible bool
}{
	{"full before the data", failWrite(false, syscall.ENOSPC), false, false},
	{"over the quota before the data", failWrite(false, syscall.EDQUOT), false, false},
	{"too large a file", failWrite(false, syscall.EFBIG), false, false},
	{"full before the meta page", failWrite(true, syscall.ENOSPC), false, false},
	{"input or output error in the data", failWrite(false, syscall.EIO), true, false},
	{"input or output error in the meta page", failWrite(true, syscall.EIO), true, false},
	{"meta page written, and an error all the same", failAfterWrite(true, syscall.ENOSPC), true, true},
	{"data not flushed", failFlush(false), true, false},
	{"meta page not flushed", failFlush(true), true, true},
}

// TestPanicInACommit: a panic of bbolt ends the store, not the program, and nobody
// waits for ever.
func TestPanicInACommit(t *testing.T) {
	for name, meta := range map[string]bool{"data": false, "meta page": true} { // bbolt holds a lock there
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "op.db")
			s, err := bolt.Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			commit(t, s, exchange(0))
			panicAt(meta)(t, s)
			if err := s.Commit(t.Context(), exchange(1)); err == nil || !strings.Contains(err.Error(), "in the middle") {
				t.Errorf("got error %v, want the panic", err)
			}
			_, readErr := s.Grant(t.Context(), "grant 0")
			for what, err := range map[string]error{
				"Ping": s.Ping(t.Context()), "Commit": s.Commit(t.Context(), exchange(2)), "Grant": readErr, "Close": s.Close(),
			} {
				if err == nil || errors.Is(err, storage.ErrNotFound) {
					t.Errorf("%s: got error %v, want that the store has failed", what, err)
				}
			}
			s = reopen(t, path, nil)
			holdsExchange(t, s, 0)
			commit(t, s, exchange(1))
		})
	}
}

// TestPingWhileTheDiskHangs: Ping waits for no write, also where bbolt has its lock for it,
// and is well again when the disk is.
func TestPingWhileTheDiskHangs(t *testing.T) {
	for name, meta := range map[string]bool{"data": false, "meta page": true} { // bbolt holds a lock there
		t.Run(name, func(t *testing.T) {
			const tooLong = 10 * time.Second
			s, _ := openStore(t, nil)
			hangs, goesOn := make(chan struct{}), make(chan struct{})
			thaw := sync.OnceFunc(func() { close(goesOn) })
			defer thaw()
			var once sync.Once
			repair := hook(meta, func(write func() error) error {
				once.Do(func() { close(hangs) })
				<-goesOn
				return write()
			})(t, s)
			committed := make(chan error)
			go func() { committed <- s.Commit(t.Context(), exchange(0)) }()
			<-hangs
			before := runtime.NumGoroutine()
			for range 3 {
				answer := make(chan error, 1)
				go func() { answer <- s.Ping(t.Context()) }()
				select {
				case err := <-answer:
					if (err != nil) != meta {
						t.Errorf("Ping: %v", err)
					}
				case <-time.After(tooLong):
					t.Fatalf("Ping has no answer in %s", tooLong)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1)
			defer cancel()
			if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Ping with less time: %v", err)
			}
			if n := runtime.NumGoroutine() - before; n > 2 {
				t.Errorf("%d goroutines more", n)
			}
			thaw()
			if err := <-committed; err != nil {
				t.Errorf("Commit: %v", err)
			}
			repair()
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping afterwards: %v", err)
			}
		})
	}
}

// failWrite fails the write of data or of the meta page.
func failWrite(meta bool, failure error) func(*testing.T, *bolt.Store) func() {
	return hook(meta, func(func() error) error { return failure })
}

// failAfterWrite writes, and fails.
func failAfterWrite(meta bool, failure error) func(*testing.T, *bolt.Store) func() {
	return hook(meta, func(write func() error) error { return errors.Join(write(), failure) })
}

// panicAt panics with what would not end the store if it were an error.
func panicAt(meta bool) func(*testing.T, *bolt.Store) func() {
	return hook(meta, func(func() error) error { panic(fmt.Errorf("in the middle: %w", syscall.ENOSPC)) })
}

func hook(meta bool, f func(write func() error) error) func(*testing.T, *bolt.Store) func() {
	return func(_ *testing.T, s *bolt.Store) func() {
		s.OnWrite(func(offset int64, write func() error) error {
			if s.IsMeta(offset) == meta {
				return f(write)
			}
			return write()
		})
		return func() { s.OnWrite(nil) }
	}
}

// failFlush fails the flush after the data or after the meta page.
func failFlush(meta bool) func(*testing.T, *bolt.Store) func() {
	return func(t *testing.T, s *bolt.Store) func() {
		t.Helper()
		var restore func() error
		s.OnWrite(func(offset int64, write func() error) error {
			if err := write(); err != nil || s.IsMeta(offset) != meta || restore != nil {
				return err
			}
			var err error
			restore, err = s.FailFlushes()
			return err
		})
		return func() {
			if restore == nil {
				t.Error("nothing was written")
			} else if err := restore(); err != nil {
				t.Error(err)
			}
			s.OnWrite(nil)
		}
	}
}

// A failed write fails the commits of its transaction, and no other. Afterwards
// the store can be used, or says that it cannot, and in no case does it lose what
// it acknowledged.
func TestFailedWrites(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, path := openStore(t, nil)
				commit(t, s, exchange(0))

				// 1. Every commit of the transaction gets an error, also one that would be refused.
				repair := f.fail(t, s)
				release, results := queued(t, s, []storage.Changes{exchange(1), exchange(2), {At: start, RedeemCode: storage.DigestOf("none")}})
				release()
				for i, err := range results() {
					if err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "write store") {
						t.Errorf("commit %d: got %v, want the failure", i, err)
					}
				}
				repair()

				// 2. Reads go on: of all that was acknowledged, and of nothing in part.
				holdsExchange(t, s, 0)
				_, err := s.Grant(t.Context(), "grant 1")
				if seen := err == nil; seen != f.visible {
					t.Errorf("failed transaction is visible: %t, want %t", seen, f.visible)
				}

				// 3. The store goes on, or says that it does not.
				pingErr := s.Ping(t.Context())
				commitErr := s.Commit(t.Context(), exchange(3))
				if (pingErr != nil) != f.broken || (commitErr != nil) != f.broken {
					t.Errorf("afterwards: Ping %v, Commit %v; broken: want %t", pingErr, commitErr, f.broken)
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}

				// 4. Opened again it works, with all that was acknowledged.
				s = reopen(t, path, nil)
				holdsExchange(t, s, 0)
				if !f.broken {
					holdsExchange(t, s, 3)
				}
				commit(t, s, exchange(4))
			})
		})
	}
}

// The process may not write so large a file: what a full disk is, for one process. bbolt
// tells of it in the write of a page, and as text alone when the file has to grow.
func TestFileSizeLimit(t *testing.T) {
	cmd, _, out := startChild(t, "limit", filepath.Join(t.TempDir(), "op.db"), 0)
	var said []string
	for out.Scan() {
		said = append(said, out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
	want := []string{
		"page: file too large", "ping: <nil>", "space again: <nil>",
		"growth: file too large", "ping: <nil>", "space again: <nil>",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func init() { children["limit"] = writeUnderALimit }

// writeUnderALimit commits, and fails to while no file may be longer than 8 KiB, or
// than it is.
func writeUnderALimit(s *bolt.Store) error {
	ctx := context.Background()
	if err := s.Commit(ctx, exchange(0)); err != nil {
		return err
	}
	if err := failsUnderALimit(s, "page", 8<<10, exchange(1)); err != nil {
		return err
	}
	info, err := os.Stat(os.Getenv(childPath))
	if err != nil {
		return err
	}
	large := storage.Client{ID: "large", Metadata: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	if err := failsUnderALimit(s, "growth", uint64(info.Size()), storage.Changes{Clients: []storage.Client{large}}); err != nil {
		return err
	}
	return s.Close()
}

// failsUnderALimit says how a commit fails under a limit, and that it does not without.
func failsUnderALimit(s *bolt.Store, what string, bytes uint64, c storage.Changes) error {
	ctx := context.Background()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: limit.Max}); err != nil {
		return err
	}
	err := s.Commit(ctx, c)
	if err == nil {
		return errors.New("committed in spite of the limit")
	}
	text := err.Error()
	fmt.Fprintln(os.Stdout, what+":"+text[strings.LastIndex(text, ":")+1:])
	fmt.Fprintln(os.Stdout, "ping:", s.Ping(ctx))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "space again:", s.Commit(ctx, c))
	return nil
}

// What panics before anything is written ends nothing but its transaction.
func TestPanicInATransaction(t *testing.T) {
	s, _ := openStore(t, nil)
	if err := s.Stumble(t.Context()); err == nil || !strings.Contains(err.Error(), "stumbled") {
		t.Errorf("got error %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	commit(t, s, exchange(0))
	holdsExchange(t, s, 0)
}
