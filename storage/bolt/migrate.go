package bolt

import (
	"bytes"
	"errors"
	"slices"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// issuedSchema is the version that brought the bucket of issued records.
const issuedSchema = 6

// moved is what version 5 had in a bucket of its own, on its way.
type moved struct {
	kind            kind
	at, key, stored []byte
}

// gatherIssued puts what flows write into one bucket. What has lost its grant stays, as
// it did.
func gatherIssued(t *tx) error {
	// 1. What is there.
	all, err := t.toBeMoved()
	if err != nil {
		return err
	}

	// 2. Its new place.
	bucket, err := t.CreateBucket(issuedBucket)
	if err != nil {
		return err
	}
	bucket.FillPercent = fullPage
	after := &tx{Tx: t.Tx}
	for _, m := range all {
		value := m.stored
		if m.kind.expires() {
			expires, err := record{m.kind, m.key}.expires(t)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			if err := after.index(expires, m.kind, m.at); err != nil {
				return err
			}
			value = append(ordered.AppendInstant(nil, expires), m.stored...)
		}
		if err := bucket.Put(m.at, value); err != nil {
			return err
		}
	}

	// 3. The expiry index: from now on they are in it with their spans.
	if err := t.forgetIssued(); err != nil {
		return err
	}
	t.older = false
	return after.noteSpans()
}

// toBeMoved returns everything of an issued kind, in its new order: bbolt keeps what a
// transaction adds to a page in one list until its end, where the end is the place to
// add to. The memory is the file's, until the transaction ends.
func (t *tx) toBeMoved() (all []moved, err error) {
	for _, k := range slices.Concat(everyKind, everyIndex) {
		if !k.issued() {
			continue
		}
		if err := t.each(k, func(key, stored []byte) error {
			all = append(all, moved{k, issuedKey(k, key), key, stored})
			return nil
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b moved) int { return bytes.Compare(a.at, b.at) })
	return all, nil
}

// forgetIssued removes the buckets of issued kinds, and their entries in the expiry index.
func (t *tx) forgetIssued() error {
	for _, k := range slices.Concat(everyKind, everyIndex) {
		if k.issued() {
			if err := t.DeleteBucket(k.bucket()); err != nil {
				return err
			}
		}
	}
	var kept [][]byte
	if err := t.Bucket(expiryBucket).ForEach(func(entry, _ []byte) error {
		if k, _ := indexed(entry); k != 0 && !k.issued() {
			kept = append(kept, entry)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := t.DeleteBucket(expiryBucket); err != nil {
		return err
	}
	expiry, err := t.CreateBucket(expiryBucket)
	for _, entry := range kept {
		if err == nil {
			err = expiry.Put(entry, []byte{})
		}
	}
	return err
}
