package postgres

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// apply queues what is written. After a refusal that only revokes what a reuse
// has ended (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (w *commit) apply(b *pgx.Batch, refused error) error {
	if refused != nil {
		b.Queue(revokeGrants, nameArray(w.reused...), instant(w.At))
		return nil
	}
	w.spend(b)
	w.stamp(b)
	w.insert(b)
	w.upsert(b)
	err := w.allow(b)
	w.countUp(b)
	w.revoke(b)
	w.signOut(b)
	w.delete(b)
	return err
}

// spend marks the code and the refresh token as used.
func (w *commit) spend(b *pgx.Batch) {
	if !w.RedeemCode.IsZero() {
		b.Queue(spendCode, w.RedeemCode[:], instant(w.At))
	}
	if !w.RotateRefreshToken.IsZero() {
		b.Queue(spendRefreshToken, w.RotateRefreshToken[:], instant(w.At))
	}
}

// stamp notes the use of device codes.
func (w *commit) stamp(b *pgx.Batch) {
	if decision := w.DecideDevice; decision != nil {
		b.Queue(decideDeviceCode, decision.ID[:], instant(w.At), nullable(decision.GrantID))
	}
	if !w.RedeemDeviceCode.IsZero() {
		b.Queue(redeemDeviceCode, w.RedeemDeviceCode[:], instant(w.At))
	}
}

func (w *commit) insert(b *pgx.Batch) {
	for i, r := range w.inserts {
		if r.table != codes && r.table != refreshTokens {
			continue
		}
		if grant, ok := w.inserted[r.grantID]; ok {
			w.inserts[i].values[expiresColumn] = instant(grant.ExpiresAt)
		} else {
			w.inserts[i].values[expiresColumn] = w.grants[r.grantID].expires
		}
	}
	write(b, w.onces, func(t *table) string { return t.insert })
	write(b, w.inserts, func(t *table) string { return t.insert })
	for _, c := range w.Clients {
		write(b, originsOf(c), func(t *table) string { return t.insert })
	}
}

func (w *commit) upsert(b *pgx.Batch) {
	write(b, w.upserts, func(t *table) string { return t.upsert })
	for i, c := range w.UpdateClients {
		if !slices.ContainsFunc(w.UpdateClients[i+1:], func(later storage.Client) bool { return later.ID == c.ID }) {
			b.Queue(deleteOriginsOf, nameArray(c.ID))
			write(b, originsOf(c), func(t *table) string { return t.insert })
		}
	}
}

// allow adds consents to those that are there. Of two who write a new one at
// once, one cannot, and adds to the other's when it tries again.
func (w *commit) allow(b *pgx.Batch) error {
	all := maps.Clone(w.consents)
	for _, more := range w.Consents {
		before, there := all[more.ConsentID]
		if there {
			more = before.With(more)
		}
		all[more.ConsentID] = more
	}
	for id, consent := range all {
		value, err := json.Marshal(storage.InUTC(consent))
		if err != nil {
			return fmt.Errorf("%s: %w", consents, err)
		}
		if _, there := w.consents[id]; there {
			b.Queue(updateConsent, ordered.Consent(id), value)
		} else {
			b.Queue(consents.insert, [][]byte{ordered.Consent(id)}, [][]byte{value})
		}
	}
	return nil
}

// countUp notes how many clients come, and that the keys change.
func (w *commit) countUp(b *pgx.Batch) {
	if len(w.Clients) > 0 {
		b.Queue(countClients, len(w.Clients))
	}
	if len(w.Keys)+len(w.DeleteKeys) > 0 {
		b.Queue(countKeysVersion)
	}
}

// write queues one statement for each run of rows of one table.
func write(b *pgx.Batch, rows []row, statement func(*table) string) {
	for start := 0; start < len(rows); {
		t := rows[start].table
		arrays := make([]any, len(t.columns))
		end := start
		for ; end < len(rows) && rows[end].table == t; end++ {
		}
		for i := range arrays {
			values := make([][]byte, 0, end-start)
			for _, r := range rows[start:end] {
				values = append(values, r.values[i])
			}
			arrays[i] = values
		}
		b.Queue(statement(t), arrays...)
		start = end
	}
}
