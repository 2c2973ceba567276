package provider_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// silentStore does not answer Ping before it is released, not even when ctx ends.
type silentStore struct {
	storage.Store
	release chan struct{}

	mu    sync.Mutex
	pings int
}

func (s *silentStore) Ping(ctx context.Context) error {
	s.mu.Lock()
	s.pings++
	s.mu.Unlock()
	<-s.release
	return ctx.Err()
}

// probes are several requests for /readyz.
type probes struct {
	sync.WaitGroup
	mu       sync.Mutex
	statuses map[int]int   // how many had each
	slowest  time.Duration // until it was answered
}

// send sends n of them.
func (ps *probes) send(ctx context.Context, op *inProcess, n int) {
	for range n {
		ps.Go(func() {
			began, rec := time.Now(), httptest.NewRecorder()
			op.handler.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://op.localhost/readyz", nil))
			ps.mu.Lock()
			defer ps.mu.Unlock()
			ps.statuses[rec.Code]++
			ps.slowest = max(ps.slowest, time.Since(began))
			if rec.Code == http.StatusServiceUnavailable && (rec.Header().Get("Retry-After") == "" || rec.Body.String() != `{"status":"not ready"}`) {
				ps.statuses[-1]++
			}
		})
	}
}

// TestReadinessWhileTheStoreHangs: the answer comes within seconds, and however many
// want it the store is asked once.
func TestReadinessWhileTheStoreHangs(t *testing.T) {
	keys := fixedKeys()
	synctest.Test(t, func(t *testing.T) {
		store := &silentStore{Store: storagetest.NewModel(), release: make(chan struct{})}
		op := serving(t, provider.Config{Store: store, FixedKeys: keys})
		// 1. All at once.
		before := runtime.NumGoroutine()
		first := probes{statuses: map[int]int{}}
		first.send(t.Context(), op, 100)
		first.Wait()
		if first.statuses[503] != 100 || first.statuses[-1] > 0 || first.slowest > 3*time.Second {
			t.Errorf("answers %v, the slowest after %s", first.statuses, first.slowest)
		}
		// 2. Who comes while the answer is overdue waits for nothing.
		later := probes{statuses: map[int]int{}}
		later.send(t.Context(), op, 100)
		later.Wait()
		if later.statuses[503] != 100 || later.slowest > 0 {
			t.Errorf("later answers %v, the slowest after %s", later.statuses, later.slowest)
		}
		synctest.Wait()
		if store.pings != 1 {
			t.Errorf("the store was asked %d times", store.pings)
		}
		if more := runtime.NumGoroutine() - before; more > 1 {
			t.Errorf("%d goroutines are left", more)
		}
		// 3. The store is back.
		close(store.release)
		synctest.Wait()
		if rec := op.do(t, http.MethodGet, "/readyz", nil, nil); rec.Code != http.StatusOK || store.pings != 2 {
			t.Errorf("afterwards: %d, after %d questions", rec.Code, store.pings)
		}
	})
}

// TestReadinessIsAskedForAll: who comes first and leaves takes the answer from nobody,
// and is no fault.
func TestReadinessIsAskedForAll(t *testing.T) {
	keys := fixedKeys()
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		store := &silentStore{Store: storagetest.NewModel(), release: make(chan struct{})}
		op := serving(t, provider.Config{Store: store, FixedKeys: keys, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		gone, leave := context.WithCancel(t.Context())
		first, others := probes{statuses: map[int]int{}}, probes{statuses: map[int]int{}}
		first.send(gone, op, 1)
		synctest.Wait()
		others.send(t.Context(), op, 10)
		synctest.Wait()
		leave()
		first.Wait()
		close(store.release)
		others.Wait()
		if others.statuses[200] != 10 || store.pings != 1 {
			t.Errorf("answers %v after %d questions", others.statuses, store.pings)
		}
		if got := log.String(); strings.Contains(got, "level=ERROR") || strings.Count(got, "request abandoned") != 1 {
			t.Errorf("log:\n%s", got)
		}
	})
}
