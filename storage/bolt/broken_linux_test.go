package bolt_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// TestBeginFails: where no transaction can begin, and a lock of bbolt's is held for ever,
// nobody waits for it.
func TestBeginFails(t *testing.T) {
	for name, first := range map[string]func(*bolt.Store) error{
		"a read":   func(s *bolt.Store) error { _, err := s.Grant(t.Context(), "grant 0"); return err },
		"a commit": func(s *bolt.Store) error { return s.Commit(t.Context(), exchange(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "op.db"), nil)
			if err != nil {
				t.Fatal(err)
			}
			commit(t, s, exchange(0))
			if err := s.LoseMetas(); err != nil {
				t.Fatal(err)
			}
			if err := first(s); err == nil || !strings.Contains(err.Error(), "invalid meta page") {
				t.Errorf("got error %v, want the panic", err)
			}
			_, readErr := s.Grant(t.Context(), "grant 0")
			for what, err := range map[string]error{
				"Ping": s.Ping(t.Context()), "Commit": s.Commit(t.Context(), exchange(1)), "Grant": readErr, "Close": s.Close(),
			} {
				if !errors.Is(err, storage.ErrBroken) {
					t.Errorf("%s: got error %v, want %v", what, err, storage.ErrBroken)
				}
			}
		})
	}
}

// TestFailuresAreLogged: each once, with what it takes to find the cause.
func TestFailuresAreLogged(t *testing.T) {
	var log bytes.Buffer
	s, _ := openStore(t, &bolt.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	says := func(what string, want ...string) {
		t.Helper()
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		log.Reset()
		if len(want) == 0 && lines[0] == "" {
			return
		}
		for i, line := range lines {
			if len(lines) != len(want) || !strings.Contains(line, want[i]) || strings.Contains(line, "stack=") != strings.Contains(want[i], "panic") {
				t.Errorf("%s: %q, want %q", what, lines, want)
			}
		}
	}
	_ = s.Stumble(t.Context())
	says("a panic", `error="write store: panic: stumbled" requests=1`)
	repair := failWrite(false, syscall.EIO)(t, s)
	defer repair()
	_ = s.Commit(t.Context(), exchange(0))
	says("a failure", "the store stops writing", "store transaction failed")
	_ = s.Commit(t.Context(), exchange(0))
	says("afterwards")
}
