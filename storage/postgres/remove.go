package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// revoke stamps what ends but stays.
func (w *commit) revoke(b *pgx.Batch) {
	at := instant(w.At)
	if len(w.RevokeGrants) > 0 {
		b.Queue(revokeGrants, nameArray(w.RevokeGrants...), at)
	}
	if len(w.RevokeAccessTokens) > 0 {
		b.Queue(revokeAccessTokens, digestArray(w.RevokeAccessTokens...), at)
	}
	if len(w.PollDeviceCodes) > 0 {
		b.Queue(pollDeviceCodes, digestArray(w.PollDeviceCodes...), at)
	}
}

// signOut ends the sessions of a name, and what ends with them: the grants that
// are bound to them, also those of these Changes. The sessions come first:
// whoever is issued a grant on the strength of one holds it until the grant is
// there for us to see.
func (w *commit) signOut(b *pgx.Batch) {
	if len(w.SignOut) > 0 {
		b.Queue(endSessionsOf, nameArray(w.SignOut...))
		b.Queue(revokeGrantsOf, nameArray(w.SignOut...), instant(w.At))
	}
}

// delete leaves nothing of a record. What was issued to a client or a session
// stays.
func (w *commit) delete(b *pgx.Batch) {
	if len(w.EndSessions) > 0 {
		b.Queue(sessions.remove, digestArray(w.EndSessions...))
	}
	if len(w.DeleteClients) > 0 {
		b.Queue(deleteOriginsOf, nameArray(w.DeleteClients...))
		b.Queue(deleteClients, nameArray(w.DeleteClients...))
	}
	if len(w.DeleteConsents) > 0 {
		ids := make([][]byte, 0, len(w.DeleteConsents))
		for _, id := range w.DeleteConsents {
			ids = append(ids, ordered.Consent(id))
		}
		b.Queue(consents.remove, ids)
	}
	if len(w.DeleteKeys) > 0 {
		b.Queue(keys.remove, nameArray(w.DeleteKeys...))
	}
}
