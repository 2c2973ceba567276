package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/oidclab/oidclab/storage"
)

// maxBatch bounds a transaction, and so how long its first request waits for
// its last.
const maxBatch = 256

// work is what one request does in the transaction that it shares.
type work interface {
	// check looks whether all preconditions hold and writes nothing. Its
	// error is the answer to the request. It may be called again, with
	// another transaction that has come to the same state.
	check(t *tx) error
	// apply writes everything, or, if check refused, only what a refusal
	// itself leaves behind. Its error is the answer, too, and costs those who
	// share the transaction another one.
	apply(t *tx, refused error) error
}

// request is work on its way through the writer.
type request struct {
	work
	refused error
	answer  chan error
}

// submit hands work to the writer and waits for its answer.
func (s *Store) submit(ctx context.Context, w work) error {
	if !s.open.TryRLock() { // Close has it, or waits for it
		return storage.ErrClosed
	}
	defer s.open.RUnlock()
	if s.closed {
		return storage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{work: w, answer: make(chan error, 1)}
	// The queue has no buffer: either the writer has the request, and then
	// the answer is awaited whatever becomes of ctx, or it never will.
	select {
	case s.queue <- r:
		return <-r.answer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the writer: the only goroutine that changes the file.
func (s *Store) write() {
	defer close(s.written)
	for first := range s.queue {
		for batch := []*request{first}; len(batch) > 0; {
			done, again, err := s.transact(batch)
			if err != nil {
				err = fmt.Errorf("write store: %w", err)
				s.logFailure(err, len(done))
			}
			for _, r := range done {
				if err != nil {
					r.answer <- err
				} else {
					r.answer <- r.refused
				}
			}
			batch = again
		}
	}
}

// logFailure says that a transaction failed. That a broken store takes no more
// was said when it broke.
func (s *Store) logFailure(err error, requests int) {
	if errors.Is(err, storage.ErrBroken) {
		return
	}
	attributes := []any{"error", err, "requests", requests}
	if p, ok := errors.AsType[*panicError](err); ok {
		attributes = append(attributes, "stack", string(p.stack))
	}
	s.logger.Error("store transaction failed", attributes...)
}

// transact does the requests and all that are waiting in one transaction, and returns
// after it is durable. What one of them cannot do, because of a record that cannot be
// read or in a panic, fails that one: the others are to be done again, without it.
func (s *Store) transact(batch []*request) (done, again []*request, err error) {
	if err := s.broken(); err != nil {
		return batch, nil, err
	}
	began := time.Now()
	s.began.Store(&began)
	defer s.began.Store(nil)

	// 1. Begin. What bbolt refuses here it refuses for ever.
	var t tx
	if err := recovered(func() (err error) { t.Tx, err = s.db.Begin(true); return err }); err != nil {
		s.giveUp(err, true)
		return batch, nil, err
	}
	id := t.ID()

	// 2. Check and apply. Nothing has left memory: what fails is rolled back.
	n := 0
	err = recovered(func() error { return s.gather(&t, &batch, &n) })
	switch {
	case err != nil && n < len(batch):
		return batch[n : n+1 : n+1], slices.Concat(batch[:n], batch[n+1:]), errors.Join(err, s.rollback(&t))
	case err != nil, !t.written:
		return batch, nil, errors.Join(err, s.rollback(&t))
	}

	// 3. Commit. After an error bbolt has rolled back by itself, but for a panic.
	if err = recovered(t.Commit); err != nil {
		s.judge(id, err)
		return batch, nil, errors.Join(err, s.rollback(&t))
	}
	return batch, nil, nil
}

// gather does the requests of a batch, and those that join it meanwhile. n is the one
// that is being done.
func (s *Store) gather(t *tx, batch *[]*request, n *int) error {
	for ; *n < len(*batch); *n++ {
		r := (*batch)[*n]
		r.refused = r.check(t)
		if err := r.apply(t, r.refused); err != nil {
			return err
		}
		if next := s.next(len(*batch)); next != nil {
			*batch = append(*batch, next)
		}
	}
	return t.noteSpans()
}

// rollback ends a transaction; one that has ended stays as it is.
func (s *Store) rollback(t *tx) error {
	err := recovered(t.Rollback)
	if errors.Is(err, bbolterrors.ErrTxClosed) {
		return nil
	}
	if err != nil {
		s.giveUp(err, true)
	}
	return err
}

// next returns a request that is waiting, if there is one and the transaction,
// which has n already, can take it. Before it gives up it lets those run that can:
// who is about to submit gets in, and the cost of the transaction is shared by more.
func (s *Store) next(n int) *request {
	if n == maxBatch {
		return nil
	}
	select {
	case r := <-s.queue:
		return r
	default:
		runtime.Gosched()
	}
	select {
	case r := <-s.queue:
		return r
	default:
		return nil
	}
}
