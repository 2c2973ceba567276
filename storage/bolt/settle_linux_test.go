package bolt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// TestSettle: before a store relies on what it reads, the meta pages are written again,
// and the file and its directory are flushed.
func TestSettle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "op.db")
	const pageSize = 4096
	writeBytes(t, path, make([]byte, 4*pageSize))
	for _, tt := range []struct {
		name, path string
		flag       int
		want       error
	}{
		{"control", path, os.O_RDWR, nil},
		{"a file that cannot be written", path, os.O_RDONLY, syscall.EBADF},
		{"a file that cannot be flushed", "/dev/zero", os.O_RDWR, syscall.EINVAL},
	} {
		if err := bolt.Settle(opened(t, tt.path, tt.flag), pageSize); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
	file := opened(t, path, os.O_RDWR)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := bolt.Settle(file, pageSize); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that cannot be flushed: got error %v", err)
	}
}

// TestOpenSettles: unless it need not survive a power failure.
func TestOpenSettles(t *testing.T) {
	path := closedStore(t, 1)
	unflushed := opened(t, "/dev/zero", os.O_RDWR)
	if err := bolt.MakeReady(path, &bolt.Options{}, unflushed); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("durable: got error %v, want %v", err, syscall.EINVAL)
	}
	if err := bolt.MakeReady(path, &bolt.Options{NoSync: true}, unflushed); err != nil {
		t.Errorf("ephemeral: %v", err)
	}
}

// opened opens a file until the test ends.
func opened(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// TestOpenWhileCompacted: who waits for the lock of a file that is replaced meanwhile does
// not get the old one.
func TestOpenWhileCompacted(t *testing.T) {
	path := closedStore(t, 1)
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, path+".compact", content)
	done := make(chan error)
	go func() {
		s, err := bolt.Open(path, nil)
		if err == nil {
			err = errors.Join(errors.New("it is open"), s.Close())
		}
		done <- err
	}()
	for waits := false; !waits; waits = holding(t, path) == 2 { // until it has opened the old one, or given up
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	if err := errors.Join(os.Rename(path+".compact", path), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, storage.ErrInUse) {
		t.Errorf("got error %v, want %v", err, storage.ErrInUse)
	}
}

// holding counts how often this process has a file open.
func holding(t *testing.T, path string) (n int) {
	t.Helper()
	const descriptors = "/proc/self/fd"
	all, err := os.ReadDir(descriptors)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if to, err := os.Readlink(filepath.Join(descriptors, one.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}

func init() { openers["compact under a limit"] = compactUnderALimit }

// compactUnderALimit says why compacting fails while no file may be longer than 8 KiB.
func compactUnderALimit(path string) error {
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8 << 10, Max: 8 << 10}); err != nil {
		return err
	}
	_, _, err := bolt.Compact(path)
	_, err = fmt.Fprintln(os.Stdout, err)
	return err
}

// TestCompactOnAFullDisk: nothing is left of a copy that could not be written.
func TestCompactOnAFullDisk(t *testing.T) {
	path := closedStore(t, 10)
	cmd, _, out := startChild(t, "compact under a limit", path, 0)
	if !out.Scan() || !strings.HasSuffix(out.Text(), "file too large") {
		t.Errorf("child said %q", out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	holdsExchange(t, reopen(t, path, nil), 9)
}
