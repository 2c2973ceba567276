package provider

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// readyWithin is how long the store has to answer who asks whether the provider is
// ready. Those who ask, load balancers and containers, wait for a second or a few.
const readyWithin = 2 * time.Second

var errNotReadyInTime = errors.New("the keys and the store were not there within " + readyWithin.String())

// readiness asks whether the provider can serve, once for all who want to know
// meanwhile: where a store does not answer, the probes come all the same.
type readiness struct {
	ask func(context.Context) error

	mu   sync.Mutex
	open *question // nil while nobody asks
}

// question is asked once.
type question struct {
	timeOver <-chan struct{} // closed at the end, too
	answered chan struct{}   // closed before that
	answer   error           // once answered
}

// now answers within readyWithin, whatever ask does, or when ctx ends. While an answer
// is overdue nobody waits for it.
func (r *readiness) now(ctx context.Context) error {
	asked := r.question()
	select {
	case <-asked.answered:
	case <-asked.timeOver:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-asked.answered:
		return asked.answer
	default:
		return errNotReadyInTime
	}
}

// question is the one that is open, or a new one. Who comes first may leave before the
// others, so the question is no part of anybody's request.
func (r *readiness) question() *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		return r.open
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	asked := &question{timeOver: ctx.Done(), answered: make(chan struct{})}
	r.open = asked
	go func() {
		defer cancel()
		asked.answer = r.ask(ctx)
		r.mu.Lock()
		r.open = nil
		r.mu.Unlock()
		close(asked.answered)
	}()
	return asked
}

// handleReady serves GET /readyz: the store answers and the keys are there.
func (p *Provider) handleReady(w http.ResponseWriter, r *http.Request) {
	err := p.readiness.now(r.Context())
	switch {
	case err == nil:
		p.writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
		return
	case r.Context().Err() != nil:
		p.log.InfoContext(r.Context(), "request abandoned", "path", r.URL.Path)
	default:
		p.log.ErrorContext(r.Context(), "not ready", "cause", err)
	}
	p.writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
}
