package bolt

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

const (
	// maxSweep bounds what one transaction of a sweep looks at, so that it
	// holds up no commit for long.
	maxSweep = 256
	// maxLook bounds at how many records it looks to find those, but for the last span.
	maxLook = 64 * maxSweep
	// maxRest is about what such a transaction takes without a disk.
	maxRest = 3 * time.Millisecond
)

// Sweep implements storage.Store. It goes through the writer in small
// transactions, and rests after each about as long as it took: so a commit waits for
// one of them at most, and often for none. On an error it returns what was removed
// until then.
//
// A grant, a session and what is no issued record are read before they go. One that
// cannot be read stays, with its places in the other indexes, for Check to tell of it. The
// expiry index forgets it, so that it is in no later sweep's way: the error is of this one,
// which removes the rest all the same.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	var unreadable error
	for {
		began := time.Now()
		w := newSweep(now, limit-removed)
		if err := s.submit(ctx, w); err != nil {
			return removed, err
		}
		removed += len(w.expired)
		if unreadable == nil {
			unreadable = w.unreadable
		}
		if !w.more {
			return removed, unreadable
		}
		select {
		case <-time.After(min(time.Since(began), maxRest)): // a slow disk's wait is one that commits share
		case <-ctx.Done():
			return removed, ctx.Err()
		}
	}
}

// sweep is the work of one transaction of a sweep.
type sweep struct {
	now   time.Time
	limit int

	// What check found.

	ahead      queue       // what has expired, and may go after what was not looked at yet
	due        []*due      // what goes before all that
	expired    []*due      // what is removed
	stale      [][]byte    // entries of the index without a record that expires then
	spans      []sweptSpan // those that were looked at
	looked     int         // at how many records
	more       bool        // there may be more that has expired
	unreadable error       // of the first record that has expired and cannot be read
}

func newSweep(now time.Time, limit int) *sweep {
	return &sweep{now: now, limit: limit, ahead: queue{compare: (*due).compare}}
}

// record names a record by its place.
type record struct {
	kind kind
	key  []byte
}

// due is a record that has expired. Its bound says when, and in which order.
type due struct {
	record
	bound  bound
	entry  []byte  // its own in the expiry index, if it has one
	span   int     // else the number of its span
	places []entry // in the other indexes
}

// compare is the order in which what is due goes.
func (d *due) compare(other *due) int {
	return cmp.Or(bytes.Compare(d.bound[:], other.bound[:]), bytes.Compare(d.key, other.key))
}

// queue is a heap: to find what goes first, in what comes in any order, it compares each
// with few others.
type queue struct {
	all     []*due
	compare func(a, b *due) int
}

func (q *queue) Len() int           { return len(q.all) }
func (q *queue) Less(i, j int) bool { return q.compare(q.all[i], q.all[j]) < 0 }
func (q *queue) Swap(i, j int)      { q.all[i], q.all[j] = q.all[j], q.all[i] }
func (q *queue) Push(x any)         { q.all = append(q.all, x.(*due)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := q.all[len(q.all)-1]
	q.all = q.all[:len(q.all)-1]
	return last
}

// sweptSpan is a span of which something has expired.
type sweptSpan struct {
	span
	rest *bound // when the first of what is left expires, nil for never
}

func (s *sweptSpan) left(b bound) {
	if s.rest == nil || b.before(*s.rest) {
		s.rest = &b
	}
}

// check walks the index from its earliest entry to now, until it has seen enough. What the
// requests before it in the transaction have added has to be in the index: else a grant
// could go before a code that came last.
func (w *sweep) check(t *tx) error {
	*w = *newSweep(w.now, w.limit)
	if err := t.noteSpans(); err != nil {
		return err
	}
	end := ordered.AppendInstant(nil, w.now)
	var next []byte // the first entry that was not looked at
	cursor := t.open(expiryBucket).Cursor()
	for entry, _ := cursor.First(); entry != nil && bytes.Compare(entry, end) < 0; entry, _ = cursor.Next() {
		w.reach(entry)
		if w.looked >= maxLook || len(w.stale)+len(w.due) >= maxSweep {
			next = entry
			break
		}
		w.look(t, entry, end)
	}
	if next == nil {
		w.reach(end)
	}
	slices.SortFunc(w.due, w.ahead.compare) // what has the same bound came in any order
	w.choose(t)
	w.more = len(w.expired) < w.limit && (next != nil || len(w.due) > 0)
	return nil
}

// reach moves to what is due what goes before all that there may be behind an entry: spans
// may overlap in when their records expire.
func (w *sweep) reach(entry []byte) {
	for len(w.ahead.all) > 0 && bytes.Compare(w.ahead.all[0].bound[:], entry[:min(boundSize, len(entry))]) <= 0 {
		w.due = append(w.due, heap.Pop(&w.ahead).(*due))
	}
}

// choose takes what is removed from the first of what is due. What cannot be read is passed
// over here: in apply its error would be that of all who share the transaction.
func (w *sweep) choose(t *tx) {
	for len(w.due) > 0 && len(w.expired) < min(maxSweep, w.limit) {
		r := w.due[0]
		w.due = w.due[1:]
		var err error
		if r.places, err = t.entriesOf(r.kind, r.key); err != nil {
			w.pass(r.record, r.entry, err)
			continue
		}
		w.expired = append(w.expired, r)
	}
}

// pass lets a record stay that cannot be read. If it has an entry of its own, that goes; in
// its span it counts as what never expires.
func (w *sweep) pass(r record, entry []byte, err error) {
	if entry != nil {
		w.stale = append(w.stale, entry)
	}
	if w.unreadable == nil {
		w.unreadable = fmt.Errorf("%s %s has expired, and stays: %w", r.kind, short(r.key), err)
	}
}

// look finds what has expired behind an entry. The memory of keys is bbolt's, until the
// transaction ends.
func (w *sweep) look(t *tx, entry, end []byte) {
	w.looked++
	k, key := indexed(entry)
	if k.issued() && len(key) == spanSize {
		b, ok := t.bound(span(key))
		its := ok && bytes.HasPrefix(entry, b[:])
		if !its { // a span has one entry
			w.stale = append(w.stale, entry)
		}
		if its || !ok {
			w.lookInto(t, span(key), end)
		}
		return
	}
	r := record{k, key}
	if !t.hasOf(k, key) {
		w.stale = append(w.stale, entry)
		return
	}
	expires, err := r.expires(t)
	if err != nil {
		w.pass(r, entry, err)
		return
	}
	// The record has the last word: an entry that it has outlived goes alone.
	if b := boundOf(expires, k); bytes.HasPrefix(entry, b[:]) {
		heap.Push(&w.ahead, &due{record: r, bound: b, entry: entry})
	} else {
		w.stale = append(w.stale, entry)
	}
}

// lookInto finds what has expired in a span.
func (w *sweep) lookInto(t *tx, s span, end []byte) {
	swept := sweptSpan{span: s}
	cursor := t.open(issuedBucket).Cursor()
	for at, stored := cursor.Seek(s[:]); bytes.HasPrefix(at, s[:]); at, stored = cursor.Next() {
		r, b := issuedAt(at, stored)
		if b == nil {
			continue
		}
		w.looked++
		if bytes.Compare(b[:ordered.InstantSize], end) < 0 {
			heap.Push(&w.ahead, &due{record: r, bound: *b, span: len(w.spans)})
		} else {
			swept.left(*b)
		}
	}
	w.spans = append(w.spans, swept)
}

func (w *sweep) apply(t *tx, refused error) error {
	if refused != nil {
		return nil
	}
	for _, r := range w.expired {
		if err := t.expire(r); err != nil {
			return err
		}
	}
	for _, entry := range w.stale {
		t.written = true
		if err := t.open(expiryBucket).Delete(entry); err != nil {
			return err
		}
	}
	for _, r := range slices.Concat(w.due, w.ahead.all) {
		if r.entry == nil {
			w.spans[r.span].left(r.bound)
		}
	}
	for _, s := range w.spans {
		if err := t.setBound(s.span, s.rest); err != nil {
			return err
		}
	}
	return nil
}

// expire removes a record with its places in the indexes.
func (t *tx) expire(r *due) error {
	if err := t.leave(r.places); err != nil {
		return err
	}
	if err := t.remove(r.kind, r.key); err != nil || r.entry == nil {
		return err
	}
	return t.open(expiryBucket).Delete(r.entry)
}

// expires returns when the record may be swept, by what is stored now.
func (r record) expires(t *tx) (time.Time, error) {
	switch r.kind {
	case grants:
		grant, err := get[storage.Grant](t, grants, r.key)
		return grant.ExpiresAt, err
	case codes:
		code, err := get[storage.Code](t, codes, r.key)
		if err != nil {
			return time.Time{}, err
		}
		return record{grants, []byte(code.GrantID)}.expires(t)
	case refreshTokens:
		token, err := get[storage.RefreshToken](t, refreshTokens, r.key)
		if err != nil {
			return time.Time{}, err
		}
		return record{grants, []byte(token.GrantID)}.expires(t)
	case accessTokens:
		token, err := get[storage.AccessToken](t, accessTokens, r.key)
		return token.ExpiresAt, err
	case sessions:
		session, err := get[storage.Session](t, sessions, r.key)
		return session.ExpiresAt, err
	case onces:
		once, err := get[storage.Once](t, onces, r.key)
		return once.ExpiresAt, err
	case pushedRequests:
		pushed, err := get[storage.PushedRequest](t, pushedRequests, r.key)
		return pushed.ExpiresAt, err
	case deviceCodes:
		code, err := get[storage.DeviceCode](t, deviceCodes, r.key)
		return code.ExpiresAt, err
	case sessionClients:
		client, err := get[storage.SessionClient](t, sessionClients, r.key)
		return client.ExpiresAt, err
	case clients: // they stay
		return time.Time{}, nil
	default:
		return time.Time{}, fmt.Errorf("kind %d in the expiry index", r.kind)
	}
}
