package load_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestProviderDies ends soon, and not after the hour that it was asked to, where a
// provider that answered does so no more.
func TestProviderDies(t *testing.T) {
	op := startFake(t, func(f *fake) {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			if f.tokens.Load() < 5 {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	})
	cfg := op.config()
	cfg.Flows, cfg.Duration, cfg.Timeout = 0, time.Hour, 100*time.Millisecond
	report := run(t, cfg)
	flows := report.Results[0]
	if flows.Done < 3 || flows.Failed < 20 || !flows.GaveUp || report.Stopped {
		t.Errorf("got %+v", flows)
	}
	var table strings.Builder
	if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "\nflows: ended after ") || !strings.Contains(table.String(), "nothing succeeded any more\n") {
		t.Errorf("%v, table:\n%s", err, table.String())
	}
}

// TestProviderPauses goes on where it answers again in time.
func TestProviderPauses(t *testing.T) {
	var asked atomic.Int64
	cfg := startFake(t, func(f *fake) {
		f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/auth" || asked.Add(1)%100 < 10 { // the first ones of each hundred succeed
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}).config()
	cfg.Flows = 300
	flows := run(t, cfg).Results[0]
	if flows.Done+flows.Failed != 300 || flows.Done < 20 || flows.GaveUp {
		t.Errorf("got %d done, %d failed, gave up: %t", flows.Done, flows.Failed, flows.GaveUp)
	}
}
