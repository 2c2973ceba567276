package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

const (
	// maxSweep bounds what one transaction of a sweep looks at, so that it
	// holds up no commit for long.
	maxSweep = 256
	// maxRest is about what such a transaction takes without a disk.
	maxRest = 3 * time.Millisecond
)

// Sweep implements storage.Store. It goes through the writer in small
// transactions, and rests after each about as long as it took: so a commit waits for
// one of them at most, and often for none. On an error it returns what was removed
// until then.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	for {
		began := time.Now()
		w := &sweep{now: now, limit: limit - removed}
		if err := s.submit(ctx, w); err != nil {
			return removed, err
		}
		removed += len(w.expired)
		if !w.more {
			return removed, nil
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

	expired []record // to be removed
	index   [][]byte // keys to be removed from the index
	more    bool     // there may be more that has expired
}

// record names a record by its place.
type record struct {
	kind kind
	key  []byte
}

// check walks the index from its earliest entry to now.
func (w *sweep) check(t *tx) error {
	end := ordered.AppendInstant(nil, w.now)
	cursor := t.Bucket(expiryBucket).Cursor()
	for entry, _ := cursor.First(); entry != nil; entry, _ = cursor.Next() {
		if bytes.Compare(entry[:ordered.InstantSize], end) >= 0 {
			return nil
		}
		if len(w.expired) >= w.limit {
			return nil
		}
		if len(w.index) == maxSweep {
			w.more = true
			return nil
		}
		// The key is bbolt's memory, and is needed after the cursor moved on.
		entry = bytes.Clone(entry)
		w.index = append(w.index, entry)
		r := record{kind: kind(entry[ordered.InstantSize]), key: entry[ordered.InstantSize+1:]}
		expires, err := r.expires(t)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		// The record has the last word: an entry that it has outlived goes
		// alone.
		if bytes.Equal(ordered.AppendInstant(nil, expires), entry[:ordered.InstantSize]) {
			w.expired = append(w.expired, r)
		}
	}
	return nil
}

func (w *sweep) apply(t *tx, refused error) error {
	if refused != nil {
		return nil
	}
	for _, r := range w.expired {
		entries, err := t.entriesOf(r.kind, r.key)
		if err != nil {
			return err
		}
		if err := t.leave(entries); err != nil {
			return err
		}
		if err := t.remove(r.kind, r.key); err != nil {
			return err
		}
	}
	for _, entry := range w.index {
		t.written = true
		if err := t.Bucket(expiryBucket).Delete(entry); err != nil {
			return err
		}
	}
	return nil
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
