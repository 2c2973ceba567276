package load

import (
	"errors"
	"math/bits"
	"time"
)

// tally is what one worker counted. Workers do not share theirs.
type tally struct {
	latencies histogram
	failures  map[string]*FailureCount
	failed    int64
}

// FailureCount is how often one kind of failure came.
type FailureCount struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	// First is the message of the first one.
	First string `json:"first,omitempty"`
}

// maxKinds bounds how many kinds are told apart.
const maxKinds = 50

// fail counts a failure.
func (t *tally) fail(err error) {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = &Failure{Kind: "other", Detail: err.Error()}
	}
	t.failed++
	t.count(&FailureCount{Kind: f.Kind, Count: 1, First: f.Detail})
}

func (t *tally) count(c *FailureCount) {
	if t.failures == nil {
		t.failures = map[string]*FailureCount{}
	}
	kind := c.Kind
	if _, known := t.failures[kind]; !known && len(t.failures) >= maxKinds {
		kind = "other"
	}
	if known, ok := t.failures[kind]; ok {
		known.Count += c.Count
		return
	}
	t.failures[kind] = &FailureCount{Kind: kind, Count: c.Count, First: c.First}
}

// add adds another worker's tally.
func (t *tally) add(other *tally) {
	t.latencies.add(&other.latencies)
	t.failed += other.failed
	for _, c := range other.failures {
		t.count(c)
	}
}

// histogram counts latencies in buckets that are 1/64 of their value wide, so that
// it needs the same little memory for a second as for a week.
type histogram struct {
	buckets [64 * 58]int64
	count   int64
	max     time.Duration
}

// bucketOf is linear up to 128 ns, then 64 buckets for each power of two.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 128 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return shift<<6 + int(v>>shift) //nolint:gosec // it is below 128
}

// upperBound is the largest latency of a bucket.
func upperBound(bucket int) time.Duration {
	if bucket < 128 {
		return time.Duration(bucket)
	}
	shift := bucket>>6 - 1
	return time.Duration((bucket-shift<<6+1)<<shift - 1)
}

func (h *histogram) record(d time.Duration) {
	h.buckets[bucketOf(d)]++
	h.count++
	h.max = max(h.max, d)
}

func (h *histogram) add(other *histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.max = max(h.max, other.max)
}

// quantile is the latency that this share of the operations did not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q*float64(h.count)) + 1
	for i, n := range h.buckets {
		if rank -= n; rank <= 0 && n > 0 {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}
