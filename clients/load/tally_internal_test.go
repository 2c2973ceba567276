package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 127, 128, 129, 255, 256, time.Microsecond, time.Millisecond, 33 * time.Millisecond, time.Second, time.Hour, 1<<63 - 1} {
		bucket := bucketOf(d)
		if upper := upperBound(bucket); upper < d || float64(upper-d) > float64(d)/64 {
			t.Errorf("%d is in the bucket up to %d", d, upper)
		}
		if bucket > 0 && upperBound(bucket-1) >= d {
			t.Errorf("%d belongs to an earlier bucket than %d", d, bucket)
		}
	}
	if bucketOf(-time.Second) != 0 {
		t.Error("a clock that went back")
	}
}

func TestQuantiles(t *testing.T) {
	var halves [2]histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(rand.Int64N(int64(50 * time.Millisecond)))
		all = append(all, d)
		halves[i%2].record(d)
	}
	slices.Sort(all)
	h := &halves[0]
	h.add(&halves[1])
	for _, q := range []float64{0, 0.5, 0.95, 0.99} {
		want, got := all[int(q*float64(len(all)))], h.quantile(q)
		if got < want || float64(got-want) > float64(want)/64+1 {
			t.Errorf("%v: got %v, want %v", q, got, want)
		}
	}
	if h.max != all[len(all)-1] || h.quantile(1) != h.max || h.count != int64(len(all)) {
		t.Errorf("max %v, quantile %v, count %d", h.max, h.quantile(1), h.count)
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("of nothing")
	}
}

// TestKinds keeps the first message of each kind, and a bounded number of them.
func TestKinds(t *testing.T) {
	var one, two, sum tally
	one.fail(failf("status 503 at token", "first"))
	one.fail(failf("status 503 at token", "second"))
	two.fail(fmt.Errorf("wrapped: %w", failf("status 503 at token", "third")))
	two.fail(errors.New("unforeseen"))
	sum.add(&one)
	sum.add(&two)
	if got := sum.failures["status 503 at token"]; got.Count != 3 || got.First != "first" {
		t.Errorf("got %+v", got)
	}
	if got := sum.failures["other"]; got.Count != 1 || got.First != "unforeseen" || sum.failed != 4 {
		t.Errorf("got %+v of %d", got, sum.failed)
	}
	for i := range 1000 {
		sum.fail(failf(fmt.Sprint("kind ", i), ""))
	}
	if len(sum.failures) != maxKinds || sum.failures["other"].Count < 900 {
		t.Errorf("%d kinds", len(sum.failures))
	}
}
