package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// commit is the work of one storage.Changes.
type commit struct {
	storage.Changes
	// onces and inserts must not be there yet; upserts may be.
	onces, inserts, upserts []row
	// inserted are the grants among inserts.
	inserted map[string]storage.Grant

	// What check found, for apply.

	stored  map[string]storage.Grant // grants looked up
	code    storage.Code             // the one that is redeemed
	refresh storage.RefreshToken     // the one that is rotated
	reused  []string                 // grants whose spent code or token came back
}

// Commit implements storage.Store. If ctx ends before the writer has taken the
// changes, nothing is applied and ctx's error is returned; afterwards ctx no
// longer matters, and the answer is that of the transaction.
func (s *Store) Commit(ctx context.Context, c storage.Changes) error {
	w, err := prepare(c)
	if err != nil {
		return err
	}
	return s.submit(ctx, w)
}

// check is phase one: every precondition, and no write.
func (w *commit) check(t *tx) error {
	// 1. The code and the refresh token are unspent. Both are looked at, and
	//    before all else, so that no other refusal hides a reuse.
	codeErr := w.checkCode(t)
	refreshErr := w.checkRefreshToken(t)
	for _, err := range []error{codeErr, refreshErr} {
		if errors.Is(err, storage.ErrUsed) {
			return err
		}
	}
	if codeErr != nil {
		return codeErr
	}
	if refreshErr != nil {
		return refreshErr
	}
	for _, step := range []func(*tx) error{
		// 2. What the request relied on has not ended or changed.
		w.checkSession, w.checkClients,
		// 3. What may come or be used once is there for the first time.
		w.checkOnce, w.checkDecision, w.checkDeviceCode,
		// 4. What is inserted is new, and comes of a grant that lives.
		w.checkInserts,
		// 5. What is to be replaced is there, and there is room for what is new.
		w.checkUpdates, w.checkRoom,
	} {
		if err := step(t); err != nil {
			return err
		}
	}
	return nil
}

func (w *commit) checkCode(t *tx) (err error) {
	if w.RedeemCode.IsZero() {
		return nil
	}
	if w.code, err = get[storage.Code](t, codes, w.RedeemCode[:]); err != nil {
		return err
	}
	return w.checkUnspent(t, codes, w.code.GrantID, w.code.UsedAt)
}

func (w *commit) checkRefreshToken(t *tx) (err error) {
	if w.RotateRefreshToken.IsZero() {
		return nil
	}
	if w.refresh, err = get[storage.RefreshToken](t, refreshTokens, w.RotateRefreshToken[:]); err != nil {
		return err
	}
	return w.checkUnspent(t, refreshTokens, w.refresh.GrantID, w.refresh.UsedAt)
}

// checkUnspent refuses what was spent before, noting the grant that must end
// for it, and what comes of a revoked grant.
func (w *commit) checkUnspent(t *tx, k kind, grantID string, usedAt time.Time) error {
	grant, err := w.grant(t, grantID)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", k, err)
	case !usedAt.IsZero():
		w.reused = append(w.reused, grantID)
		return fmt.Errorf("%s: %w", k, storage.ErrUsed)
	case !grant.RevokedAt.IsZero():
		return fmt.Errorf("%s: grant: %w", k, storage.ErrRevoked)
	}
	return nil
}

func (w *commit) checkInserts(t *tx) error {
	type id struct{ bucket, key string }
	seen := make(map[id]bool, len(w.inserts))
	for _, r := range w.inserts {
		places := []id{{string(r.kind.bucket()), string(r.key)}}
		for _, e := range r.entries {
			places = append(places, id{string(e.bucket), string(e.key)})
		}
		for _, place := range places {
			if seen[place] || t.Bucket([]byte(place.bucket)).Get([]byte(place.key)) != nil {
				return fmt.Errorf("%s: %w", r.kind, storage.ErrExists)
			}
			seen[place] = true
		}
		if err := w.checkGrant(t, r); err != nil {
			return err
		}
	}
	return nil
}

// checkGrant refuses what comes of a grant that is missing or revoked.
func (w *commit) checkGrant(t *tx, r row) error {
	if r.kind != codes && r.kind != accessTokens && r.kind != refreshTokens {
		return nil
	}
	grant, inserted := w.inserted[r.grantID]
	if !inserted {
		var err error
		if grant, err = w.grant(t, r.grantID); err != nil {
			return fmt.Errorf("%s: %w", r.kind, err)
		}
	}
	if !grant.RevokedAt.IsZero() {
		return fmt.Errorf("%s: grant: %w", r.kind, storage.ErrRevoked)
	}
	return nil
}

// grant returns a stored grant. Redeeming a code asks for the same one
// several times, hence the memory.
func (w *commit) grant(t *tx, id string) (storage.Grant, error) {
	if g, ok := w.stored[id]; ok {
		return g, nil
	}
	g, err := get[storage.Grant](t, grants, []byte(id))
	if err == nil {
		w.stored[id] = g
	}
	return g, err
}

// apply is phase two. After a refusal it only revokes what a reuse has ended
// (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (w *commit) apply(t *tx, refused error) error {
	if refused != nil {
		return revokeGrants(t, w.reused, w.At)
	}
	for _, step := range []func(*tx) error{w.spend, w.stamp, w.insert, w.upsert, w.allow, w.count, w.revoke, w.signOut, w.delete} {
		if err := step(t); err != nil {
			return err
		}
	}
	return nil
}

// spend marks the code and the refresh token as used.
func (w *commit) spend(t *tx) error {
	if !w.RedeemCode.IsZero() {
		w.code.UsedAt = w.At
		if err := t.update(codes, w.RedeemCode[:], w.code); err != nil {
			return err
		}
	}
	if !w.RotateRefreshToken.IsZero() {
		w.refresh.UsedAt = w.At
		return t.update(refreshTokens, w.RotateRefreshToken[:], w.refresh)
	}
	return nil
}

func (w *commit) insert(t *tx) error {
	for _, r := range slices.Concat(w.onces, w.inserts) {
		if err := t.put(r.kind, r.key, r.value); err != nil {
			return err
		}
		if err := t.enter(r.entries); err != nil {
			return err
		}
		expires := r.expires
		if r.kind == codes || r.kind == refreshTokens {
			grant, ok := w.inserted[r.grantID]
			if !ok {
				grant = w.stored[r.grantID]
			}
			expires = grant.ExpiresAt
		}
		if err := t.index(expires, r.kind, r.key); err != nil {
			return err
		}
	}
	return nil
}

func (w *commit) upsert(t *tx) error {
	for _, r := range w.upserts {
		if r.kind == sessions || r.kind == sessionClients || r.kind == clients {
			// The last one's expiry must not end the new one, nor its "sid" or
			// its origins find it.
			if err := t.endNow(r.kind, r.key); err != nil {
				return err
			}
		}
		if err := t.put(r.kind, r.key, r.value); err != nil {
			return err
		}
		if err := t.enter(r.entries); err != nil {
			return err
		}
		if err := t.index(r.expires, r.kind, r.key); err != nil {
			return err
		}
	}
	return nil
}

// allow adds consents to those that are there.
func (w *commit) allow(t *tx) error {
	for _, more := range w.Consents {
		key := ordered.Consent(more.ConsentID)
		before, err := get[storage.Consent](t, consents, key)
		if err == nil {
			more = before.With(more)
		} else if !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if err := t.update(consents, key, more); err != nil {
			return err
		}
	}
	return nil
}

// count notes how many clients come, and that the keys change.
func (w *commit) count(t *tx) error {
	if len(w.Clients) > 0 {
		if err := t.count(clientsKey, len(w.Clients)); err != nil {
			return err
		}
	}
	if len(w.Keys)+len(w.DeleteKeys) > 0 {
		return t.count(keysVersionKey, 1)
	}
	return nil
}
