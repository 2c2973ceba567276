package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// found is what look found. Its rows stay as they are until the transaction
// ends.
type found struct {
	version       int64      // of the tables
	code, refresh *spendable // nil if not there
	session, sid  bool       // what is required is there
	grants        map[string]parent
	devices       map[storage.Digest]device
	clients       map[string]string // the versions of those that are there
	count         int64             // of all clients
	consents      map[storage.ConsentID]storage.Consent
	existing      map[identity]bool
}

// spendable is a code or a refresh token.
type spendable struct {
	used  bool
	grant parent
}

// parent is the grant of a code or token.
type parent struct {
	id      string
	expires []byte
	revoked bool
}

// device is a device code.
type device struct{ decided, used bool }

// look queues the questions on whose answers the preconditions depend, in one
// order for all commits, so that few wait for each other crosswise.
func (w *commit) look(b *pgx.Batch) {
	w.found = found{
		grants: map[string]parent{}, devices: map[storage.Digest]device{},
		clients: map[string]string{}, consents: map[storage.ConsentID]storage.Consent{}, existing: map[identity]bool{},
	}
	lookAtSpendable(b, codes.lockOfGrant, w.RedeemCode, &w.code)
	lookAtSpendable(b, refreshTokens.lockOfGrant, w.RotateRefreshToken, &w.refresh)
	w.lookAtSessions(b)
	w.lookAtDevices(b)
	w.lookAtGrants(b)
	w.lookAtClients(b)
	w.lookAtConsents(b)
	if w.closely {
		w.lookForExisting(b)
	}
}

// lookAtNames comes before all else. It takes turns with those who write sessions
// of the same "sid".
func (w *commit) lookAtNames(b *pgx.Batch) {
	names := slices.Clone(w.SignOut)
	for _, s := range w.Sessions {
		names = append(names, s.SID)
	}
	names = append(names, w.RequireSID)
	var locks []int64
	for _, name := range names {
		if name != "" {
			sum := sha256.Sum256([]byte("sid " + name))
			locks = append(locks, int64(binary.BigEndian.Uint64(sum[:]))) //nolint:gosec // the bits are meant
		}
	}
	if len(locks) > 0 {
		slices.Sort(locks)
		b.Queue(lockNames, slices.Compact(locks))
	}
}

func lookAtSpendable(b *pgx.Batch, sql string, id storage.Digest, to **spendable) {
	if id.IsZero() {
		return
	}
	b.Queue(sql, id[:]).Query(func(rows pgx.Rows) error {
		return each(rows, func() error {
			var used, grantID, expires, revoked []byte
			err := rows.Scan(&used, &grantID, &expires, &revoked)
			*to = &spendable{used: used != nil, grant: parent{string(grantID), expires, revoked != nil}}
			return err
		})
	})
}

// lookAtSessions shares the sessions that are required with others who require
// them, unless this commit may end or replace one: of two that share it neither
// could.
func (w *commit) lookAtSessions(b *pgx.Batch) {
	byID, bySID := shareSession, shareSID
	if len(w.EndSessions)+len(w.SignOut)+len(w.Sessions) > 0 {
		byID, bySID = lockSession, lockSID
	}
	note := func(to *bool) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			return each(rows, func() error {
				*to = true
				return nil
			})
		}
	}
	if !w.RequireSession.IsZero() {
		b.Queue(byID, w.RequireSession[:]).Query(note(&w.session))
	}
	if w.RequireSID != "" {
		b.Queue(bySID, []byte(w.RequireSID)).Query(note(&w.sid))
	}
}

func (w *commit) lookAtDevices(b *pgx.Batch) {
	var ids []storage.Digest
	if w.DecideDevice != nil {
		ids = append(ids, w.DecideDevice.ID)
	}
	if !w.RedeemDeviceCode.IsZero() {
		ids = append(ids, w.RedeemDeviceCode)
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(lockDevices, digestArray(ids...)).Query(func(rows pgx.Rows) error {
		return each(rows, func() error {
			var id, decided, used []byte
			if err := rows.Scan(&id, &decided, &used); err != nil {
				return err
			}
			w.devices[storage.Digest(id)] = device{decided != nil, used != nil}
			return nil
		})
	})
}

// lookAtGrants looks at the stored grants of what is inserted, and at the one
// that a decision names.
func (w *commit) lookAtGrants(b *pgx.Batch) {
	var ids []string
	for _, r := range w.inserts {
		if _, inserted := w.inserted[r.grantID]; r.table.comesOfGrant() && !inserted {
			ids = append(ids, r.grantID)
		}
	}
	if w.DecideDevice != nil && w.DecideDevice.GrantID != "" {
		ids = append(ids, w.DecideDevice.GrantID)
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(lockGrants, nameArray(ids...)).Query(func(rows pgx.Rows) error {
		return each(rows, func() error {
			var id, expires, revoked []byte
			err := rows.Scan(&id, &expires, &revoked)
			w.grants[string(id)] = parent{string(id), expires, revoked != nil}
			return err
		})
	})
}

// lookAtClients looks at those that must be there, and counts all if that
// matters.
func (w *commit) lookAtClients(b *pgx.Batch) {
	var ids []string
	for _, c := range w.RequireClients {
		ids = append(ids, c.ID)
	}
	for _, c := range w.UpdateClients {
		ids = append(ids, c.ID)
	}
	sql := shareClients
	if len(w.UpdateClients)+len(w.DeleteClients) > 0 {
		sql = lockClients
	}
	if len(ids) > 0 {
		b.Queue(sql, nameArray(ids...)).Query(func(rows pgx.Rows) error {
			return each(rows, func() error {
				var id, version []byte
				err := rows.Scan(&id, &version)
				w.clients[string(id)] = string(version)
				return err
			})
		})
	}
	if w.ClientLimit != 0 {
		b.Queue(lockRoom).QueryRow(func(row pgx.Row) error { return row.Scan(&w.count) })
	}
}

func (w *commit) lookAtConsents(b *pgx.Batch) {
	if len(w.Consents) == 0 {
		return
	}
	var ids [][]byte
	for _, c := range w.Consents {
		ids = append(ids, ordered.Consent(c.ConsentID))
	}
	b.Queue(lockConsents, ids).Query(func(rows pgx.Rows) error {
		return each(rows, func() error {
			var value []byte
			if err := rows.Scan(&value); err != nil {
				return err
			}
			consent, err := decode[storage.Consent](consents, value)
			w.consents[consent.ConsentID] = consent
			return err
		})
	})
}

// lookForExisting asks which identifiers that must be new are not.
func (w *commit) lookForExisting(b *pgx.Batch) {
	ids := map[identityKind][][]byte{}
	for _, r := range slices.Concat(w.onces, w.inserts) {
		for _, id := range r.identities() {
			ids[id.identityKind] = append(ids[id.identityKind], []byte(id.id))
		}
	}
	for kind, keys := range ids {
		sql := kind.table.existing
		if kind.userCode {
			sql = existingUserCodes
		}
		b.Queue(sql, keys).Query(func(rows pgx.Rows) error {
			return each(rows, func() error {
				var id []byte
				err := rows.Scan(&id)
				w.existing[identity{kind, string(id)}] = true
				return err
			})
		})
	}
}

// each calls f for every row.
func each(rows pgx.Rows, f func() error) error {
	for rows.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return rows.Err()
}
