package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// grace is how long exchanges under way may take once the run is stopped.
const grace = time.Second

// runner runs the operations.
type runner struct {
	cfg  *Config
	op   *remote
	wire *wire
	sign func()
}

// run measures one operation, after its warm-up.
func (r *runner) run(ctx context.Context, operation Operation) *Result {
	// 1. The workers, and what each of them needs. Who fails here fails again
	//    below, where failures are counted.
	workers := make([]*worker, r.cfg.atOnce(operation))
	var preparing errgroup.Group
	preparing.SetLimit(r.cfg.Concurrency)
	for i := range workers {
		workers[i] = newWorker(r.cfg, r.op, r.wire)
		preparing.Go(func() error {
			if ctx.Err() == nil {
				_ = workers[i].prepare(operation)
			}
			return nil
		})
	}
	_ = preparing.Wait() // it has no errors

	// 2. Until connections stand and caches are warm.
	if r.cfg.Warmup > 0 {
		r.work(ctx, operation, workers, r.cfg.Warmup)
	}
	for _, w := range workers {
		w.tally, w.exchanges = tally{}, 0
	}

	// 3. What is measured.
	before, self := serverUsage(r.cfg.ServerPID), selfUsage()
	measuring, measured := context.WithCancel(ctx)
	signature := make(chan time.Duration, 1)
	go func() { signature <- underLoad(measuring, r.sign) }()
	start := time.Now()
	gaveUp := r.work(ctx, operation, workers, 0)
	elapsed := time.Since(start)
	server, client := serverUsage(r.cfg.ServerPID).since(before), selfUsage().since(self)
	measured()

	total, exchanges := &tally{}, int64(0)
	for _, w := range workers {
		total.add(&w.tally)
		exchanges += w.exchanges
	}
	result := newResult(operation, len(workers), elapsed, total)
	result.GaveUp = gaveUp
	result.perOperation(server, client, exchanges)
	result.RSA = <-signature
	return result
}

// phase is one operation at work.
type phase struct {
	operation Operation
	run       context.Context // of all phases
	stop      context.CancelFunc
	limit     int64 // how many to run; 0 means any number
	// patience is how many may fail one after the other, and futile for how long, once one
	// has succeeded, until the rest is not tried: the provider is gone, and this is no load.
	patience int64
	futile   time.Duration

	begun, done, failed atomic.Int64
	inRow               atomic.Int64 // failures since one succeeded
	failing             atomic.Int64 // when the first of those was, in nanoseconds
	gaveUp              atomic.Bool
}

// succeed counts one that succeeded.
func (p *phase) succeed() {
	p.done.Add(1)
	if p.inRow.Load() > 0 {
		p.inRow.Store(0)
	}
}

// fail counts one that failed, and ends the phase if it is hopeless.
func (p *phase) fail() {
	p.failed.Add(1)
	now := time.Now().UnixNano()
	row := p.inRow.Add(1)
	if row == 1 {
		p.failing.Store(now)
	}
	if row >= p.patience && (p.done.Load() == 0 || now-p.failing.Load() >= int64(p.futile)) {
		p.gaveUp.Store(true)
		p.stop()
	}
}

// work lets the workers work for a while: for the warm-up, or for as long or as
// often as the configuration says. It reports whether it gave up before that.
func (r *runner) work(run context.Context, operation Operation, workers []*worker, warmup time.Duration) (gaveUp bool) {
	ctx, stop := context.WithCancel(run)
	defer stop()
	p := &phase{operation: operation, run: run, stop: stop, patience: max(20, 2*int64(len(workers))), futile: r.cfg.Timeout}
	if warmup == 0 && operation == Flows && r.cfg.Flows > 0 {
		p.limit = int64(r.cfg.Flows)
	} else {
		d := r.cfg.Duration
		if warmup > 0 {
			d = warmup
		}
		ctx, stop = context.WithTimeout(ctx, d)
		defer stop()
	}
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
	p.stop()
	<-reported
	return p.gaveUp.Load()
}

// loop is one worker at work.
func (p *phase) loop(ctx context.Context, w *worker) {
	for ctx.Err() == nil {
		if n := p.begun.Add(1); p.limit > 0 && n > p.limit {
			return
		}
		err := w.prepare(p.operation)
		start := time.Now()
		if err == nil {
			err = w.once(p.operation)
		}
		if err == nil {
			w.tally.latencies.record(time.Since(start))
			p.succeed()
			continue
		}
		if p.run.Err() != nil {
			return // it was cut off
		}
		w.tally.fail(err)
		p.fail()
	}
}
