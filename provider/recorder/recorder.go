package recorder

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
)

const (
	defaultCapacity = 1000
	maxBytes        = 32 << 20 // what all kept exchanges hold together
	maxText         = 64 << 10 // what is read of one query, body or header
	subscriberQueue = 64
)

// Options for New. The zero value keeps 1000 redacted exchanges.
type Options struct {
	// Capacity is the number of exchanges kept; the oldest go first. They
	// also go when all together hold more than 32 MiB.
	Capacity int
	// Parties maps origins ("http://pkce.lab.localhost:8080") to the names
	// of their parties. A caller or callee that is not in it goes by its host.
	Parties map[string]string
	// Unredacted keeps codes, tokens, secrets and cookies as they travelled.
	Unredacted bool
}

// Log is a bounded list of exchanges. It is safe for concurrent use.
type Log struct {
	options Options
	redact  redactor

	mu       sync.Mutex
	lastID   int
	done     []Exchange // in the order in which they ended
	bytes    int
	underWay int
	idle     chan struct{} // closed while nothing is under way
	marked   map[string]*record
	watchers map[chan Exchange]struct{}
	dropped  uint64
}

// New makes an empty log.
func New(o Options) *Log {
	if o.Capacity <= 0 {
		o.Capacity = defaultCapacity
	}
	idle := make(chan struct{})
	close(idle)
	return &Log{
		options:  o,
		redact:   newRedactor(rand.Text()),
		idle:     idle,
		marked:   map[string]*record{},
		watchers: map[chan Exchange]struct{}{},
	}
}

// Exchanges returns those kept, in the order in which their requests began.
func (l *Log) Exchanges() []Exchange {
	l.mu.Lock()
	list := slices.Clone(l.done)
	l.mu.Unlock()
	slices.SortFunc(list, func(a, b Exchange) int { return a.ID - b.ID })
	return list
}

// Clear forgets all exchanges. Those under way are still recorded when they
// end, and IDs go on counting.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done, l.bytes = nil, 0
}

// Settle waits until no exchange is under way: a caller may have its response
// before the exchange is in the log. It returns the context's error if that
// ends first.
func (l *Log) Settle(ctx context.Context) error {
	for {
		l.mu.Lock()
		idle, busy := l.idle, l.underWay > 0
		l.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Subscribe returns a channel of the exchanges that end from now on, in the
// order in which they end. It is closed when ctx is done. A subscriber that
// does not keep up misses exchanges (see Dropped); it never delays anybody.
func (l *Log) Subscribe(ctx context.Context) <-chan Exchange {
	ch := make(chan Exchange, subscriberQueue)
	l.mu.Lock()
	l.watchers[ch] = struct{}{}
	l.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, ch)
		close(ch)
	})
	return ch
}

// Dropped counts the exchanges that subscribers missed, all of them together.
func (l *Log) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// begin counts an exchange as under way and gives it its ID.
func (l *Log) begin() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay == 0 {
		l.idle = make(chan struct{})
	}
	l.underWay++
	l.lastID++
	return l.lastID
}

// end keeps the exchange and hands it to the subscribers.
func (l *Log) end(e Exchange) {
	if !l.options.Unredacted {
		e = l.redact.exchange(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, e)
	l.bytes += e.size()
	for len(l.done) > l.options.Capacity || l.bytes > maxBytes {
		l.bytes -= l.done[0].size()
		l.done[0] = Exchange{} // the array behind the slice must not hold on to it
		l.done = l.done[1:]
	}
	for ch := range l.watchers {
		select {
		case ch <- e:
		default:
			l.dropped++
		}
	}
	if l.underWay--; l.underWay == 0 {
		close(l.idle)
	}
}

// mark makes an unguessable name for an exchange that a wrapped transport
// sends, good for one use: whoever receives the request under this log's
// middleware claims it and leaves the recording to the transport.
func (l *Log) mark(r *record) string {
	mark := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked[mark] = r
	return mark
}

// claim returns the exchange of a mark and uses the mark up; nil if there is
// no such mark.
func (l *Log) claim(mark string) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.marked[mark]
	delete(l.marked, mark)
	return r
}
