package bolt_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// While Close waits, others are told at once that the store is closed.
func TestClosing(t *testing.T) {
	s, _ := openStore(t, nil)
	release, _ := s.Hold(t.Context())
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for !s.Closing() {
		runtime.Gosched()
	}
	for what, err := range map[string]error{"Ping": s.Ping(t.Context()), "Commit": s.Commit(t.Context(), exchange(0))} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s: got error %v, want %v", what, err, storage.ErrClosed)
		}
	}
	release()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestPingWhileWriting: a transaction that takes long is no reason to send nobody here; one
// that takes too long is.
func TestPingWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		ping := func(what string, fails bool) {
			t.Helper()
			if err := s.Ping(t.Context()); (err != nil) != fails || fails && !strings.Contains(err.Error(), "the disk") {
				t.Errorf("%s: Ping: %v", what, err)
			}
		}
		release, answer := s.Hold(t.Context())
		ping("at once", false)
		time.Sleep(5 * time.Second)
		ping("after five seconds", false)
		time.Sleep(time.Millisecond)
		ping("later", true)
		release()
		if err := <-answer; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		ping("after its end", false)
		time.Sleep(time.Hour)
		ping("long after its end", false)
	})
}
