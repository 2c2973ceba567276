package bolt

import (
	"context"
	"fmt"
	"runtime"

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
	s.open.RLock()
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
			s.logger.Error("store transaction failed", "error", err, "requests", len(batch))
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

// transact does the first request and all that are waiting in one transaction,
// and returns after it is durable.
func (s *Store) transact(first *request) (batch []*request, err error) {
	batch = []*request{first}
	btx, err := s.db.Begin(true)
	if err != nil {
		return batch, err
	}
	defer func() { _ = btx.Rollback() }() // after Commit it does nothing
	t := &tx{Tx: btx}

	for r := first; r != nil; {
		r.refused = r.check(t)
		if err := r.apply(t, r.refused); err != nil {
			return batch, err
		}
		if r = s.next(len(batch)); r != nil {
			batch = append(batch, r)
		}
	}
	if !t.written {
		return batch, nil
	}
	return batch, btx.Commit()
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
