package bolt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// commit is the work of one storage.Changes.
type commit struct {
	storage.Changes
	// onces and inserts must not be there yet; upserts may be.
	onces, inserts, upserts []row

	// What check found, for apply.

	stored  []storage.Grant      // grants looked up
	code    storage.Code         // the one that is redeemed
	refresh storage.RefreshToken // the one that is rotated
	reused  []string             // grants whose spent code or token came back
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
	for _, step := range checks {
		if err := step(w, t); err != nil {
			return err
		}
	}
	return nil
}

// checks are the steps of phase one that come after the reuse.
var checks = [...]func(*commit, *tx) error{
	// 2. What the request relied on has not ended or changed.
	(*commit).checkSession, (*commit).checkClients,
	// 3. What may come or be used once is there for the first time.
	(*commit).checkOnce, (*commit).checkDecision, (*commit).checkDeviceCode,
	// 4. What is inserted is new, and comes of a grant that lives.
	(*commit).checkInserts,
	// 5. What is to be replaced is there, and there is room for what is new.
	(*commit).checkUpdates, (*commit).checkRoom,
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
	for i := range w.inserts {
		r := &w.inserts[i]
		if r.again || t.stored(r.kind, r.at) != nil || t.hasUserCode(r.entries) {
			return fmt.Errorf("%s: %w", r.kind, storage.ErrExists)
		}
		if err := w.checkGrant(t, r); err != nil {
			return err
		}
	}
	return nil
}

// hasUserCode reports whether an entry of a new record is there already. Only a
// user code can be: the others have the record's own name in them.
func (t *tx) hasUserCode(entries []entry) bool {
	for _, e := range entries {
		if e.kind == userCodes && t.has(e.kind, e.key) {
			return true
		}
	}
	return false
}

// checkGrant refuses what comes of a grant that is missing or revoked. Codes and refresh
// tokens are swept with it.
func (w *commit) checkGrant(t *tx, r *row) error {
	if r.kind != codes && r.kind != accessTokens && r.kind != refreshTokens {
		return nil
	}
	grant := grantIn(w.Grants, r.grantID)
	if grant == nil {
		var err error
		if grant, err = w.grant(t, r.grantID); err != nil {
			return fmt.Errorf("%s: %w", r.kind, err)
		}
	}
	if !grant.RevokedAt.IsZero() {
		return fmt.Errorf("%s: grant: %w", r.kind, storage.ErrRevoked)
	}
	if r.kind != accessTokens {
		r.expires = grant.ExpiresAt
	}
	return nil
}

// grant returns a stored grant. Redeeming a code asks for the same one
// several times, hence the memory.
func (w *commit) grant(t *tx, id string) (*storage.Grant, error) {
	if g := grantIn(w.stored, id); g != nil {
		return g, nil
	}
	g, err := get[storage.Grant](t, grants, []byte(id))
	if err != nil {
		return nil, err
	}
	w.stored = append(w.stored, g)
	return &w.stored[len(w.stored)-1], nil
}

// grantIn returns the grant of that name, nil if it is not there. There are few
// grants, nearly always one.
func grantIn(some []storage.Grant, id string) *storage.Grant {
	for i := range some {
		if some[i].ID == id {
			return &some[i]
		}
	}
	return nil
}

// apply is phase two. After a refusal it only revokes what a reuse has ended
// (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (w *commit) apply(t *tx, refused error) error {
	if refused != nil {
		return revokeGrants(t, w.reused, w.At)
	}
	for _, step := range writes {
		if err := step(w, t); err != nil {
			return err
		}
	}
	return nil
}

// writes are the steps of phase two.
var writes = [...]func(*commit, *tx) error{
	(*commit).spend, (*commit).stamp, (*commit).insert, (*commit).upsert, (*commit).allow,
	(*commit).count, (*commit).revoke, (*commit).signOut, (*commit).delete,
}

// spend marks the code and the refresh token as used.
func (w *commit) spend(t *tx) error {
	if !w.RedeemCode.IsZero() {
		w.code.UsedAt = w.At
		if err := t.update(codes, w.RedeemCode[:], &w.code); err != nil {
			return err
		}
	}
	if !w.RotateRefreshToken.IsZero() {
		w.refresh.UsedAt = w.At
		return t.update(refreshTokens, w.RotateRefreshToken[:], &w.refresh)
	}
	return nil
}

func (w *commit) insert(t *tx) error {
	for _, some := range [...][]row{w.onces, w.inserts} {
		for i := range some {
			if err := t.write(&some[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *commit) upsert(t *tx) error {
	for i := range w.upserts {
		r := &w.upserts[i]
		if r.kind == sessions || r.kind == clients {
			// No "sid" and no origins of the last one must find the new one.
			if err := t.endNow(r.kind, r.key); err != nil {
				return err
			}
		}
		if err := t.write(r); err != nil {
			return err
		}
	}
	return nil
}

// write puts a row into its bucket and into the indexes.
func (t *tx) write(r *row) error {
	if r.kind.issued() {
		ordered.AppendInstant(r.value[:0], r.expires)
	}
	if err := t.put(r.kind, r.at, r.value); err != nil {
		return err
	}
	if err := t.enter(r.entries); err != nil {
		return err
	}
	return t.index(r.expires, r.kind, r.at)
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
		if err := t.update(consents, key, &more); err != nil {
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
