package storagetest

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"
)

// expiring is a record that the sweep may have.
type expiring struct {
	at     time.Time
	order  int    // among those of the same instant: a grant after what comes of it
	id     string // among those of the same order
	delete func()
}

// Sweep implements storage.Store.
func (m *Model) Sweep(ctx context.Context, now time.Time, limit int) (removed int, err error) {
	err = m.locked(ctx, func() error {
		expired := slices.DeleteFunc(m.expiring(), func(e expiring) bool { return e.at.IsZero() || !e.at.Before(now) })
		slices.SortFunc(expired, func(a, b expiring) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order), cmp.Compare(a.id, b.id))
		})
		removed = max(0, min(limit, len(expired)))
		for _, e := range expired[:removed] {
			e.delete()
		}
		return nil
	})
	return removed, err
}

// expiring returns all records that may expire: codes and refresh tokens do
// when their grant does.
func (m *Model) expiring() (all []expiring) {
	for id, code := range m.codes {
		all = append(all, expiring{m.grants[code.GrantID].ExpiresAt, 1, string(id[:]), func() { delete(m.codes, id) }})
	}
	for id, access := range m.access {
		all = append(all, expiring{access.ExpiresAt, 2, string(id[:]), func() { delete(m.access, id) }})
	}
	for id, refresh := range m.refresh {
		all = append(all, expiring{m.grants[refresh.GrantID].ExpiresAt, 3, string(id[:]), func() { delete(m.refresh, id) }})
	}
	for id, s := range m.sessions {
		all = append(all, expiring{s.ExpiresAt, 4, string(id[:]), func() { delete(m.sessions, id) }})
	}
	for id, g := range m.grants {
		all = append(all, expiring{g.ExpiresAt, 5, id, func() { delete(m.grants, id) }})
	}
	for id, x := range m.onces {
		all = append(all, expiring{x.ExpiresAt, 9, string(id[:]), func() { delete(m.onces, id) }})
	}
	for id, r := range m.pushed {
		all = append(all, expiring{r.ExpiresAt, 10, string(id[:]), func() { delete(m.pushed, id) }})
	}
	for id, d := range m.devices {
		all = append(all, expiring{d.ExpiresAt, 11, string(id[:]), func() { delete(m.devices, id) }})
	}
	for id, x := range m.sessionClients {
		// Of two sessions the one with the shorter name goes first.
		name := string(binary.BigEndian.AppendUint16(nil, uint16(len(id.sid)))) + id.sid + id.clientID //nolint:gosec // names in tests are short
		all = append(all, expiring{x.ExpiresAt, 12, name, func() { delete(m.sessionClients, id) }})
	}
	return all
}
