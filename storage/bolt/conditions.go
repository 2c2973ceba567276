package bolt

import (
	"fmt"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// checkSession refuses what relies on a session that has ended meanwhile.
func (w *commit) checkSession(t *tx) error {
	if !w.RequireSession.IsZero() && !t.has(sessions, w.RequireSession[:]) {
		return storage.ErrEnded
	}
	if w.RequireSID != "" && len(t.sessionsOf(w.RequireSID)) == 0 {
		return storage.ErrEnded
	}
	return nil
}

// checkClients refuses what relies on clients that have changed meanwhile.
func (w *commit) checkClients(t *tx) error {
	for _, want := range w.RequireClients {
		client, err := get[storage.Client](t, clients, []byte(want.ID))
		if err != nil {
			return err
		}
		if client.Version != want.Version {
			return fmt.Errorf("%s: %w", clients, storage.ErrChanged)
		}
	}
	return nil
}

// checkRoom refuses clients beyond the limit.
func (w *commit) checkRoom(t *tx) error {
	if w.ClientLimit == 0 {
		return nil
	}
	count, err := t.counted(clientsKey)
	if err == nil && count+len(w.Clients) > w.ClientLimit {
		err = fmt.Errorf("%s: %w", clients, storage.ErrFull)
	}
	return err
}

// checkOnce refuses identifiers that came before, in these Changes too. One
// that has expired is known until it is swept.
func (w *commit) checkOnce(t *tx) error {
	for _, r := range w.onces {
		if r.again || t.has(onces, r.key) {
			return fmt.Errorf("%s: %w", onces, storage.ErrSeen)
		}
	}
	return nil
}

func (w *commit) checkDecision(t *tx) error {
	if w.DecideDevice == nil {
		return nil
	}
	code, err := get[storage.DeviceCode](t, deviceCodes, w.DecideDevice.ID[:])
	if err != nil {
		return err
	}
	if err := checkUnused(deviceCodes, code.DecidedAt); err != nil {
		return err
	}
	grantID := w.DecideDevice.GrantID
	if grantID == "" || grantIn(w.Grants, grantID) != nil {
		return nil
	}
	if _, err := w.grant(t, grantID); err != nil {
		return fmt.Errorf("%s: %w", deviceCodes, err)
	}
	return nil
}

func (w *commit) checkDeviceCode(t *tx) error {
	if w.RedeemDeviceCode.IsZero() {
		return nil
	}
	code, err := get[storage.DeviceCode](t, deviceCodes, w.RedeemDeviceCode[:])
	if err != nil {
		return err
	}
	return checkUnused(deviceCodes, code.UsedAt)
}

// checkUnused refuses what was used before. Unlike that of a code or refresh
// token, such a reuse ends no grant.
func checkUnused(k kind, usedAt time.Time) error {
	if !usedAt.IsZero() {
		return fmt.Errorf("%s: %w", k, storage.ErrUsed)
	}
	return nil
}

// checkUpdates refuses to replace clients that are not there.
func (w *commit) checkUpdates(t *tx) error {
	for _, client := range w.UpdateClients {
		if !t.has(clients, []byte(client.ID)) {
			return fmt.Errorf("%s: %w", clients, storage.ErrNotFound)
		}
	}
	return nil
}

// stamp notes the use of what checkDecision and checkDeviceCode found unused. One
// device code may be stamped twice.
func (w *commit) stamp(t *tx) error {
	if decision := w.DecideDevice; decision != nil {
		if err := change(t, deviceCodes, decision.ID[:], func(c *storage.DeviceCode) bool {
			c.DecidedAt, c.GrantID = w.At, decision.GrantID
			return true
		}); err != nil {
			return err
		}
	}
	if w.RedeemDeviceCode.IsZero() {
		return nil
	}
	return change(t, deviceCodes, w.RedeemDeviceCode[:], func(c *storage.DeviceCode) bool {
		c.UsedAt = w.At
		return true
	})
}
