package storagetest

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// oddZones are those that JSON cannot say: RFC 3339 has no seconds in an offset, which
// local mean times have, and no day.
var oddZones = []*time.Location{time.FixedZone("LMT", 53*60+28), time.FixedZone("", -17), time.FixedZone("", 25*60*60)}

// zones: what is written in an odd zone comes back, counts and expires as in UTC.
func zones(f *fixture) {
	for _, zone := range oddZones {
		u := universeWith("new", "stamped")
		model := NewModel()
		m := &mover{zone: zone, ends: map[time.Time]bool{}, fields: map[string]bool{}}
		for _, c := range []storage.Changes{oneAndStamped(), everything()} {
			f.equal("the model's error", model.Commit(f.Context(), c), nil)
			f.commit(m.move(c))
			f.equal("store in "+zone.String(), u.snapshot(f.Context(), f.store), u.snapshot(f.Context(), model))
		}
		for field, moved := range m.fields {
			f.equal(field+" was in the zone", moved, true)
		}
		for _, end := range slices.SortedFunc(maps.Keys(m.ends), time.Time.Compare) {
			for _, now := range []time.Time{end, end.Add(1)} {
				want, err := model.Sweep(f.Context(), now, 100)
				f.equal("the model's error", err, nil)
				f.sweep(now.In(zone), 100, want)
			}
		}
		f.equal("store after all", u.snapshot(f.Context(), f.store), u.snapshot(f.Context(), model))
		f.commit(storage.Changes{DeleteClients: u.clients, DeleteConsents: u.consents, DeleteKeys: []string{"new"}})
	}
}

// oneAndStamped is one of each, and of those that are stamped one that is.
func oneAndStamped() storage.Changes {
	c := oneOfEach()
	revoked, code, access, refresh := newGrant("stamped"), newCode("stamped", "grant"), newAccessToken("stamped", "grant"), newRefreshToken("stamped", "grant")
	revoked.RevokedAt, code.UsedAt, access.RevokedAt, refresh.UsedAt = start.Add(10), start.Add(11), start.Add(12), start.Add(13)
	device := newDeviceCode("stamped")
	device.LastPollAt, device.DecidedAt, device.UsedAt = start.Add(14), start.Add(15), start.Add(16)
	c.Grants, c.Codes = append(c.Grants, revoked), append(c.Codes, code)
	c.AccessTokens, c.RefreshTokens = append(c.AccessTokens, access), append(c.RefreshTokens, refresh)
	c.DeviceCodes = append(c.DeviceCodes, device)
	return c
}

// mover moves times to a zone.
type mover struct {
	zone *time.Location
	// ends are all that it has moved.
	ends map[time.Time]bool
	// fields are all that hold a time, and whether there was one to move.
	fields map[string]bool
}

// move is changes with every time in the zone, of every field of every record.
func (m *mover) move(c storage.Changes) storage.Changes {
	moved := reflect.ValueOf(&c).Elem()
	for _, field := range moved.Fields() {
		if field.Kind() != reflect.Slice || field.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		records := reflect.MakeSlice(field.Type(), field.Len(), field.Len())
		reflect.Copy(records, field)
		for n := range records.Len() {
			m.record(records.Index(n))
		}
		field.Set(records)
	}
	c.At = c.At.In(m.zone)
	return c
}

func (m *mover) record(record reflect.Value) {
	for of, field := range record.Fields() {
		t, ok := reflect.TypeAssert[*time.Time](field.Addr())
		if !ok {
			continue
		}
		name := record.Type().Name() + "." + of.Name
		m.fields[name] = m.fields[name] || !t.IsZero()
		if !t.IsZero() {
			m.ends[t.UTC()] = true
			*t = t.In(m.zone)
		}
	}
}
