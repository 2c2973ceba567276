package bolt

import (
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// revoke is the part of phase two that stamps what ends but stays.
func (w *commit) revoke(t *tx) error {
	if err := revokeGrants(t, w.RevokeGrants, w.At); err != nil {
		return err
	}
	for _, id := range w.RevokeAccessTokens {
		if err := change(t, accessTokens, id[:], func(a *storage.AccessToken) bool {
			if !a.RevokedAt.IsZero() {
				return false
			}
			a.RevokedAt = w.At
			return true
		}); err != nil {
			return err
		}
	}
	for _, id := range w.PollDeviceCodes {
		if err := change(t, deviceCodes, id[:], func(c *storage.DeviceCode) bool {
			c.LastPollAt = w.At
			return true
		}); err != nil {
			return err
		}
	}
	return nil
}

// revokeGrants ends grants; what is missing or ended stays as it is.
func revokeGrants(t *tx, ids []string, at time.Time) error {
	for _, id := range ids {
		if err := revokeGrant(t, id, at, func(storage.Grant) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

// revokeGrant ends a grant if it lives and the condition holds.
func revokeGrant(t *tx, id string, at time.Time, condition func(storage.Grant) bool) error {
	return change(t, grants, []byte(id), func(g *storage.Grant) bool {
		if !g.RevokedAt.IsZero() || !condition(*g) {
			return false
		}
		g.RevokedAt = at
		return true
	})
}

// signOut ends the sessions of a name, and what ends with them: the grants that
// are bound to them, also those of these Changes.
func (w *commit) signOut(t *tx) error {
	for _, sid := range w.SignOut {
		for _, id := range t.sessionsOf(sid) {
			if err := t.endNow(sessions, id); err != nil {
				return err
			}
		}
		prefix := ordered.Pair(sid, "")
		for _, key := range t.keysUnder(sessionGrants, prefix) {
			grantID := string(key[len(prefix):])
			if err := revokeGrant(t, grantID, w.At, func(g storage.Grant) bool { return g.SessionBound }); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete is the part of phase two that leaves nothing of a record. What was
// issued to a client or a session stays.
func (w *commit) delete(t *tx) error {
	for _, id := range w.EndSessions {
		if err := t.endNow(sessions, id[:]); err != nil {
			return err
		}
	}
	for _, id := range w.DeleteClients {
		if err := t.deleteClient([]byte(id)); err != nil {
			return err
		}
	}
	for _, id := range w.DeleteConsents {
		if err := t.remove(consents, ordered.Consent(id)); err != nil {
			return err
		}
	}
	for _, id := range w.DeleteKeys {
		if err := t.remove(keys, []byte(id)); err != nil {
			return err
		}
	}
	return nil
}

// deleteClient removes a client, if it is there, and counts it.
func (t *tx) deleteClient(key []byte) error {
	if !t.has(clients, key) {
		return nil
	}
	if err := t.count(clientsKey, -1); err != nil {
		return err
	}
	return t.endNow(clients, key)
}
