package provider

import (
	"container/list"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets are remembered of a kind; beyond, the one that was not asked for
// for longest is forgotten, and begins anew.
const maxBuckets = 4096

// buckets are token buckets, one for each key. They begin full.
type buckets[K comparable] struct {
	each  rate.Limit
	burst int
	kept  map[K]*list.Element
	seen  *list.List // of bucket[K], whichever was asked for last in front
}

type bucket[K comparable] struct {
	key K
	*rate.Limiter
}

func newBuckets[K comparable](each rate.Limit, burst int) *buckets[K] {
	return &buckets[K]{each, burst, map[K]*list.Element{}, list.New()}
}

// known returns the bucket of a key, nil if it is not remembered.
func (b *buckets[K]) known(key K) *rate.Limiter {
	known := b.kept[key]
	if known == nil {
		return nil
	}
	b.seen.MoveToFront(known)
	return known.Value.(bucket[K]).Limiter // put there below
}

// of finds or makes the bucket of a key.
func (b *buckets[K]) of(key K) *rate.Limiter {
	if known := b.known(key); known != nil {
		return known
	}
	if b.seen.Len() == maxBuckets {
		forgotten := b.seen.Remove(b.seen.Back()).(bucket[K]) // put there below
		delete(b.kept, forgotten.key)
	}
	made := rate.NewLimiter(b.each, b.burst)
	b.kept[key] = b.seen.PushFront(bucket[K]{key, made})
	return made
}

// wait is how long it takes until something may be taken from the bucket of a key.
func (b *buckets[K]) wait(key K, now time.Time) time.Duration {
	known := b.known(key)
	if known == nil {
		return 0
	}
	missing := 1 - known.TokensAt(now)
	return max(0, time.Duration(missing/float64(b.each)*float64(time.Second)))
}

// owe takes one from the bucket of a key. If nothing is left, it waits longer for the
// next.
func (b *buckets[K]) owe(key K, now time.Time) { b.of(key).ReserveN(now, 1) }
