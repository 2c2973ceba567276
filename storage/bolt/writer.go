package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	// error is the answer to the request.
	check(t *tx) error
	// apply writes everything, or, if check refused, only what a refusal
	// itself leaves behind. Its error fails the whole transaction.
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
		batch, err := s.transact(first)
		if err != nil {
			err = fmt.Errorf("write store: %w", err)
			s.logFailure(err, len(batch))
		}
		for _, r := range batch {
			if err != nil {
				r.answer <- err
			} else {
				r.answer <- r.refused
			}
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

// transact does the first request and all that are waiting in one transaction,
// and returns after it is durable. A panic fails the transaction, not the
// program.
func (s *Store) transact(first *request) (batch []*request, err error) {
	batch = []*request{first}
	if err := s.broken(); err != nil {
		return batch, err
	}
	began := time.Now()
	s.began.Store(&began)
	defer s.began.Store(nil)

	// 1. Begin. What bbolt refuses here it refuses for ever.
	var t tx
	if err := recovered(func() (err error) { t.Tx, err = s.db.Begin(true); return err }); err != nil {
		s.giveUp(err, true)
		return batch, err
	}
	id := t.ID()

	// 2. Check and apply. Nothing has left memory: what fails is rolled back.
	err = recovered(func() error { return s.gather(&t, &batch) })
	if err != nil || !t.written {
		return batch, errors.Join(err, s.rollback(&t))
	}

	// 3. Commit. After an error bbolt has rolled back by itself, but for a panic.
	if err = recovered(t.Commit); err != nil {
		s.judge(id, err)
		return batch, errors.Join(err, s.rollback(&t))
	}
	return batch, nil
}

// gather does the requests of a batch, and those that join it meanwhile.
func (s *Store) gather(t *tx, batch *[]*request) error {
	for n := 0; n < len(*batch); n++ {
		r := (*batch)[n]
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
