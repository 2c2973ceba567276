package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/oidclab/oidclab/storage"
)

// What a failed write leaves behind.
//
// bbolt writes a transaction to free pages, flushes them, and then writes one of
// two meta pages, which makes them the state. Where the disk was full before the
// meta page, nothing has changed but free pages, and the next transaction may
// well succeed. Everything else ends the writing until the program is started
// again, and Ping says so:
//
//   - The meta page was written but not flushed. Readers see the transaction, the
//     disk may not have it. Going on would reuse the pages that only the disk's
//     state still needs, and a power failure would leave neither state.
//   - The disk says that it failed. The kernel forgets the pages that it could not
//     write, so that the next flush may succeed without them.
//   - The file is no longer mapped, or bbolt panicked in the middle of a commit. Then
//     it may hold its locks for ever, and reading has to end as well.
//
// Open makes the disk's state and the one that is read the same again: settle.

// failure is why a store writes no more.
type failure struct {
	cause error
	// stuck says that bbolt's locks may be held for ever.
	stuck bool
}

// broken returns why the store writes no more, nil if it does.
func (s *Store) broken() error {
	if f := s.failed.Load(); f != nil {
		return fmt.Errorf("%w: %w", storage.ErrBroken, f.cause)
	}
	return nil
}

// stuck reports whether a call of bbolt might never return.
func (s *Store) stuck() bool {
	f := s.failed.Load()
	return f != nil && f.stuck
}

// giveUp ends the writing; the first reason stays.
func (s *Store) giveUp(cause error, stuck bool) {
	if s.failed.CompareAndSwap(nil, &failure{cause, stuck}) {
		s.logger.Error("the store stops writing: it has to be opened again", "cause", cause)
	}
}

// judge decides after a failed Commit of transaction id whether there may be
// another.
func (s *Store) judge(id int, cause error) {
	if _, panicked := errors.AsType[*panicError](cause); panicked || !isFull(cause) {
		s.giveUp(cause, panicked)
		return
	}
	visible := 0
	err := recovered(func() error {
		return s.db.View(func(t *bbolt.Tx) error {
			visible = t.ID()
			return nil
		})
	})
	if err != nil || visible >= id {
		s.giveUp(cause, false)
	}
}

// isFull reports whether there was no space, or no more was allowed. bbolt
// keeps some errors as text only.
func isFull(err error) bool {
	if errors.Is(err, bbolterrors.ErrMaxSizeReached) {
		return true
	}
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.HasSuffix(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// panicError is a panic as an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// recovered calls f and turns a panic into an error.
func recovered(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value, debug.Stack()}
		}
	}()
	return f()
}
