package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long exchanges under way may take once the run is stopped.
const grace = time.Second

// runner runs the operations.
type runner struct {
	cfg  *Config
	op   *provider
	wire *wire
}

// phase is one operation at work.
type phase struct {
	operation Operation
	run       context.Context // of all phases
	stop      context.CancelFunc
	limit     int64        // how many to run; 0 means any number
	begun     atomic.Int64 // of them
	done      atomic.Int64
	failed    atomic.Int64
	patience  int64 // how many may fail before one succeeds
}

// run measures one operation, after its warm-up.
func (r *runner) run(ctx context.Context, operation Operation) *Result {
	workers := make([]*worker, r.cfg.Concurrency)
	for i := range workers {
		workers[i] = newWorker(r.cfg, r.op, r.wire)
	}
	if r.cfg.Warmup > 0 {
		r.work(ctx, operation, workers, r.cfg.Warmup, 0)
		for _, w := range workers {
			w.tally = tally{}
		}
	}
	before, self := serverUsage(r.cfg.ServerPID), selfUsage()
	start := time.Now()
	r.work(ctx, operation, workers, r.cfg.Duration, int64(r.cfg.Flows))
	elapsed := time.Since(start)

	total := &tally{}
	for _, w := range workers {
		total.add(&w.tally)
	}
	result := newResult(operation, len(workers), elapsed, total)
	result.cpu(serverUsage(r.cfg.ServerPID).since(before), selfUsage().since(self))
	return result
}

// work lets the workers work until the time is up, or until as many operations are
// done as the limit says.
func (r *runner) work(run context.Context, operation Operation, workers []*worker, d time.Duration, limit int64) {
	ctx, stop := context.WithCancel(run)
	defer stop()
	if limit == 0 {
		ctx, stop = context.WithTimeout(ctx, d)
		defer stop()
	}
	p := &phase{operation: operation, run: run, stop: stop, limit: limit, patience: max(20, 2*int64(len(workers)))}
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		p.report(ctx, r.cfg)
	}()
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() { p.loop(ctx, w) })
	}
	group.Wait()
	stop()
	<-reported
}

func (p *phase) loop(ctx context.Context, w *worker) {
	for ctx.Err() == nil {
		if n := p.begun.Add(1); p.limit > 0 && n > p.limit {
			return
		}
		start := time.Now()
		_, err := w.flow()
		if err == nil {
			w.tally.latencies.record(time.Since(start))
			p.done.Add(1)
			continue
		}
		if p.run.Err() != nil {
			return // it was cut off
		}
		w.tally.fail(err)
		if failed := p.failed.Add(1); failed >= p.patience && p.done.Load() == 0 {
			p.stop() // it is not load that is measured here
		}
	}
}
