package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// A flow writes records of many kinds. Each in a bucket of its own, they would change
// as many pages, and the pages above them, in every transaction. So they stand in one
// bucket, in the order in which their identifiers were made: what a transaction adds
// comes together at its end.

var issuedBucket = []byte("issued")

const (
	// timeSize is how much of an identifier of the provider's is the time: the
	// milliseconds since 1970.
	timeSize = 6
	// issuedPrefix is the length of what stands before the identifier in a key.
	issuedPrefix = timeSize + 1
	// spanSize is how much of that time names a span: 256 milliseconds.
	spanSize = timeSize - 1
)

// issued reports whether a kind is in that bucket.
func (k kind) issued() bool {
	switch k {
	case codes, accessTokens, refreshTokens, sessions, grants, sessionClients, sids, sessionGrants:
		return true
	default:
		return false
	}
}

// issues reports whether that bucket has a kind in this file.
func (t *tx) issues(k kind) bool { return !t.older && k.issued() }

// issuedKey is the key in that bucket: the time, the kind, the identifier.
func issuedKey(k kind, key []byte) []byte {
	return appendIssuedKey(make([]byte, 0, issuedPrefix+len(key)), k, key)
}

func appendIssuedKey(b []byte, k kind, key []byte) []byte {
	return append(append(appendTime(b, k, key), byte(k)), key...)
}

// appendTime appends the time that an identifier begins with. One that begins with none
// has a time as well, if not one that says when it was made: it is found by it, which is
// what counts.
func appendTime(b []byte, k kind, key []byte) []byte {
	if withTime, ok := appendOwnTime(b, k, key); ok {
		return withTime
	}
	sum := sha256.Sum256(nameOf(k, key))
	return append(b, sum[:timeSize]...)
}

// appendOwnTime appends it if there is one: a digest begins with its bytes, a name with its
// hexadecimal digits.
func appendOwnTime(b []byte, k kind, key []byte) (withTime []byte, ok bool) {
	switch k {
	case codes, accessTokens, refreshTokens, sessions:
		if len(key) >= timeSize {
			return append(b, key[:timeSize]...), true
		}
	}
	name := nameOf(k, key)
	if len(name) < hex.EncodedLen(timeSize) {
		return nil, false
	}
	withTime, err := hex.AppendDecode(b, name[:hex.EncodedLen(timeSize)])
	return withTime, err == nil
}

// nameOf is what in a key begins with the time: of pairs the first name, so that all pairs
// of one stand together.
func nameOf(k kind, key []byte) []byte {
	switch k {
	case sessionClients, sids, sessionGrants:
		return firstOf(key)
	default:
		return key
	}
}

// The value of a record in that bucket begins with the instant at which the sweep may
// have it, zero for never. So the sweep need not read the record, nor its grant.

// bare is a stored value without that instant.
func (t *tx) bare(k kind, stored []byte) []byte {
	if !t.issues(k) {
		return stored
	}
	return stored[min(ordered.InstantSize, len(stored)):]
}

// issuedAt is the record that stands in that bucket at a key, and when it expires, nil
// for never. What is no record never expires.
func issuedAt(at, stored []byte) (r record, expires *bound) {
	if len(at) <= issuedPrefix || len(stored) < ordered.InstantSize {
		return record{}, nil
	}
	r = record{kind(at[timeSize]), at[issuedPrefix:]}
	if !r.kind.issued() || r.kind >= sids || bytes.Equal(stored[:ordered.InstantSize], never) {
		return r, nil
	}
	expires = &bound{ordered.InstantSize: byte(r.kind)}
	copy(expires[:], stored[:ordered.InstantSize])
	return r, expires
}

// never is the instant of what does not expire.
var never = ordered.AppendInstant(nil, time.Time{})

// span is the time in which records were made, as their keys begin with. The expiry
// index has one entry for all records of a span: when, and of what kind, the first of
// them expires. That is its bound. Nothing in the span expires before it; what did may
// have been removed, then the sweep finds that out. The bound also stands at the
// beginning of the span, under the span itself, so that who adds a record sees whether
// the index has to change.
type span [spanSize]byte

// bound is an instant and a kind: what expires at the same instant is swept in the
// order of kinds.
type bound [boundSize]byte

const boundSize = ordered.InstantSize + 1

func boundOf(expires time.Time, k kind) (b bound) {
	ordered.AppendInstant(b[:0], expires)
	b[ordered.InstantSize] = byte(k)
	return b
}

func (b bound) before(other bound) bool { return bytes.Compare(b[:], other[:]) < 0 }

// expect notes that something in a span expires.
func (t *tx) expect(s span, b bound) {
	if known, ok := t.spans[s]; ok && !b.before(known) {
		return
	}
	if t.spans == nil {
		t.spans = map[span]bound{}
	}
	t.spans[s] = b
}

// noteSpans brings the index up to date, once for all that the transaction adds.
func (t *tx) noteSpans() error {
	for s, b := range t.spans {
		if before, ok := t.bound(s); ok && !b.before(before) {
			continue
		}
		if err := t.setBound(s, &b); err != nil {
			return err
		}
	}
	clear(t.spans)
	return nil
}

// bound returns the bound of a span.
func (t *tx) bound(s span) (b bound, ok bool) {
	bucket := t.open(issuedBucket)
	if bucket == nil {
		return b, false
	}
	ok = copy(b[:], bucket.Get(s[:])) == len(b)
	return b, ok
}

// setBound changes the bound of a span, nil if nothing in it expires.
func (t *tx) setBound(s span, b *bound) error {
	before, ok := t.bound(s)
	if ok && b != nil && before == *b {
		return nil
	}
	t.written = true
	issued, expiry := t.open(issuedBucket), t.open(expiryBucket)
	if ok {
		if err := expiry.Delete(spanEntry(s, before)); err != nil {
			return err
		}
	}
	if b == nil {
		return issued.Delete(s[:])
	}
	if err := issued.Put(s[:], b[:]); err != nil {
		return err
	}
	return expiry.Put(spanEntry(s, *b), []byte{})
}

// spanEntry is the key of a span in the expiry index.
func spanEntry(s span, b bound) []byte { return append(b[:], s[:]...) }
