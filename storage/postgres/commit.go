package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidclab/oidclab/storage"
)

// commit is the work of one storage.Changes.
type commit struct {
	storage.Changes
	// onces and inserts must not be there yet; upserts may be.
	onces, inserts, upserts []row
	// inserted are the grants among inserts.
	inserted map[string]storage.Grant
	// closely says that look also asks whether what must not be there is. As a
	// rule the tables' keys tell that without asking, but not which of several
	// refusals comes first.
	closely bool

	// What look found, for check and for apply.
	found
	reused []string // grants whose spent code or token came back
}

// Commit implements storage.Store: two round trips, or more if somebody else
// is in the way.
func (s *Store) Commit(ctx context.Context, c storage.Changes) error {
	w, err := prepare(c)
	if err != nil {
		return err
	}
	return s.transact(ctx, w)
}

// check is every precondition, on what look found.
func (w *commit) check() error {
	w.reused = nil
	// 1. The code and the refresh token are unspent. Both are looked at, and
	//    before all else, so that no other refusal hides a reuse.
	codeErr := w.checkUnspent(codes, w.RedeemCode, w.code)
	refreshErr := w.checkUnspent(refreshTokens, w.RotateRefreshToken, w.refresh)
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
	for _, step := range []func() error{
		// 2. What the request relied on has not ended or changed.
		w.checkSession, w.checkClients,
		// 3. What may come or be used once is there for the first time.
		w.checkOnce, w.checkDecision, w.checkDeviceCode,
		// 4. What is inserted is new, and comes of a grant that lives.
		w.checkInserts,
		// 5. What is to be replaced is there, and there is room for what is new.
		w.checkUpdates, w.checkRoom,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkUnspent refuses what was spent before, noting the grant that must end
// for it, and what comes of a revoked grant.
func (w *commit) checkUnspent(t *table, id storage.Digest, x *spendable) error {
	switch {
	case id.IsZero():
		return nil
	case x == nil:
		return fmt.Errorf("%s: %w", t, storage.ErrNotFound)
	case x.used:
		w.reused = append(w.reused, x.grant.id)
		return fmt.Errorf("%s: %w", t, storage.ErrUsed)
	case x.grant.revoked:
		return fmt.Errorf("%s: grant: %w", t, storage.ErrRevoked)
	}
	return nil
}

// checkSession refuses what relies on a session that has ended meanwhile.
func (w *commit) checkSession() error {
	if !w.RequireSession.IsZero() && !w.session || w.RequireSID != "" && !w.sid {
		return storage.ErrEnded
	}
	return nil
}

// checkClients refuses what relies on clients that have changed meanwhile.
func (w *commit) checkClients() error {
	for _, want := range w.RequireClients {
		version, there := w.clients[want.ID]
		switch {
		case !there:
			return fmt.Errorf("%s: %w", clients, storage.ErrNotFound)
		case version != want.Version:
			return fmt.Errorf("%s: %w", clients, storage.ErrChanged)
		}
	}
	return nil
}

// checkOnce refuses identifiers that came before, in these Changes too. One
// that has expired is known until it is swept.
func (w *commit) checkOnce() error {
	seen := make(map[identity]bool, len(w.onces))
	for _, r := range w.onces {
		if seen[r.identity()] || w.existing[r.identity()] {
			return fmt.Errorf("%s: %w", r.table, storage.ErrSeen)
		}
		seen[r.identity()] = true
	}
	return nil
}

func (w *commit) checkDecision() error {
	if w.DecideDevice == nil {
		return nil
	}
	if err := w.checkUnused(w.DecideDevice.ID, func(d device) bool { return d.decided }); err != nil {
		return err
	}
	grantID := w.DecideDevice.GrantID
	if _, inserted := w.inserted[grantID]; grantID == "" || inserted {
		return nil
	}
	if _, there := w.grants[grantID]; !there {
		return fmt.Errorf("%s: %s: %w", deviceCodes, grants, storage.ErrNotFound)
	}
	return nil
}

func (w *commit) checkDeviceCode() error {
	if w.RedeemDeviceCode.IsZero() {
		return nil
	}
	return w.checkUnused(w.RedeemDeviceCode, func(d device) bool { return d.used })
}

// checkUnused refuses what is not there and what was used before. Unlike that
// of a code or refresh token, such a reuse ends no grant.
func (w *commit) checkUnused(id storage.Digest, used func(device) bool) error {
	d, there := w.devices[id]
	switch {
	case !there:
		return fmt.Errorf("%s: %w", deviceCodes, storage.ErrNotFound)
	case used(d):
		return fmt.Errorf("%s: %w", deviceCodes, storage.ErrUsed)
	}
	return nil
}

func (w *commit) checkInserts() error {
	seen := make(map[identity]bool, len(w.inserts))
	for _, r := range w.inserts {
		for _, id := range r.identities() {
			if seen[id] || w.existing[id] {
				return fmt.Errorf("%s: %w", r.table, storage.ErrExists)
			}
			seen[id] = true
		}
		if err := w.checkGrant(r); err != nil {
			return err
		}
	}
	return nil
}

// checkGrant refuses what comes of a grant that is missing or revoked.
func (w *commit) checkGrant(r row) error {
	if !r.table.comesOfGrant() {
		return nil
	}
	revoked := false
	if grant, inserted := w.inserted[r.grantID]; inserted {
		revoked = !grant.RevokedAt.IsZero()
	} else if grant, there := w.grants[r.grantID]; there {
		revoked = grant.revoked
	} else {
		return fmt.Errorf("%s: %s: %w", r.table, grants, storage.ErrNotFound)
	}
	if revoked {
		return fmt.Errorf("%s: grant: %w", r.table, storage.ErrRevoked)
	}
	return nil
}

// checkUpdates refuses to replace clients that are not there.
func (w *commit) checkUpdates() error {
	for _, client := range w.UpdateClients {
		if _, there := w.clients[client.ID]; !there {
			return fmt.Errorf("%s: %w", clients, storage.ErrNotFound)
		}
	}
	return nil
}

// checkRoom refuses clients beyond the limit.
func (w *commit) checkRoom() error {
	if w.ClientLimit != 0 && w.count+int64(len(w.Clients)) > int64(w.ClientLimit) {
		return fmt.Errorf("%s: %w", clients, storage.ErrFull)
	}
	return nil
}
