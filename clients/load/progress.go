package load

import (
	"context"
	"fmt"
	"time"
)

// report tells how far the phase is until it ends: in one line that it writes
// again and again on a terminal, and in a line now and then elsewhere.
func (p *phase) report(ctx context.Context, cfg *Config) {
	w := cfg.Progress
	if w == nil {
		return
	}
	every, format := cfg.ProgressEvery, "%s\n"
	if cfg.Terminal {
		every, format = 500*time.Millisecond, "\r\x1b[K%s"
		defer fmt.Fprint(w, "\r\x1b[K") // leave no trace
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		done, failed, elapsed := p.done.Load(), p.failed.Load(), time.Since(start)
		fmt.Fprintf(w, format, fmt.Sprintf("%s: %d done, %d failed, %.0f/s after %s",
			p.operation, done, failed, float64(done)/elapsed.Seconds(), elapsed.Round(time.Second)))
	}
}
