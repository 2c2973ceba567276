package storagetest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/oidclab/oidclab/storage"
)

// requireClients: who changes a client says which one it has read.
func requireClients(f *fixture) {
	f.commit(storage.Changes{Clients: []storage.Client{newClient("client"), {ID: "old"}}})
	read := storage.ClientVersion{ID: "client", Version: "version of client"}
	second := newClient("client")
	second.Version = "second"
	f.commit(storage.Changes{RequireClients: []storage.ClientVersion{read}, UpdateClients: []storage.Client{second}})

	// It is another one now.
	third := newClient("client")
	third.Version = "third"
	f.refuse(storage.Changes{RequireClients: []storage.ClientVersion{read}, UpdateClients: []storage.Client{third}}, storage.ErrChanged)
	f.refuse(storage.Changes{RequireClients: []storage.ClientVersion{read}, DeleteClients: []string{"client"}}, storage.ErrChanged)
	got, err := f.store.Client(f.Context(), "client")
	f.equal("client", []any{got, err}, []any{second, nil})

	// All must be, and a version that was never written is one, too.
	now := storage.ClientVersion{ID: "client", Version: "second"}
	f.refuse(storage.Changes{RequireClients: []storage.ClientVersion{now, {ID: "old", Version: "x"}}}, storage.ErrChanged)
	f.refuse(storage.Changes{RequireClients: []storage.ClientVersion{now, {ID: "none"}}}, storage.ErrNotFound)
	f.commit(storage.Changes{
		RequireClients: []storage.ClientVersion{now, {ID: "old"}}, UpdateClients: []storage.Client{third}, DeleteClients: []string{"old"},
	})
	f.refuse(storage.Changes{RequireClients: []storage.ClientVersion{{ID: "old"}}}, storage.ErrNotFound)
}

// origins: a client's origins come, change and go with it.
func origins(f *fixture) {
	has := func(when string, want ...string) {
		f.Helper()
		var got []string
		for _, origin := range []string{"https://a.example", "https://b.example", "https://b.exampl", "https://b.example:1", "https://c.example", "", "null"} {
			found, err := f.store.HasOrigin(f.Context(), origin)
			f.equal(when+": error", err, nil)
			if found {
				got = append(got, origin)
			}
		}
		f.equal(when, got, want)
	}
	client := func(id string, origins ...string) []storage.Client {
		c := newClient(id)
		c.Origins = origins
		return []storage.Client{c}
	}
	has("nothing is there")
	f.commit(storage.Changes{Clients: client("first", "https://a.example", "https://b.example", "https://a.example")})
	f.commit(storage.Changes{Clients: client("second", "https://b.example")})
	f.commit(storage.Changes{Clients: client("third")})
	has("all are there", "https://a.example", "https://b.example")
	f.commit(storage.Changes{UpdateClients: client("first", "https://c.example")})
	has("one has moved", "https://b.example", "https://c.example")
	f.commit(storage.Changes{UpdateClients: slices.Concat(client("second", "https://a.example"), client("second", "https://b.example"))})
	has("the last of several in one is the one that stays", "https://b.example", "https://c.example")
	f.commit(storage.Changes{DeleteClients: []string{"second"}})
	has("one is gone", "https://c.example")
	f.commit(storage.Changes{Clients: client("fourth", "https://a.example"), DeleteClients: []string{"fourth", "first"}})
	has("all are gone")
	f.refuseBad("a client with an empty origin", storage.Changes{Clients: client("fifth", "")})
	f.refuseBad("an update to an empty origin", storage.Changes{UpdateClients: client("third", "")})
}

// clientLimit: who registers says how many there may be.
func clientLimit(f *fixture) {
	insert := func(limit int, ids ...string) (c storage.Changes) {
		c.ClientLimit = limit
		for _, id := range ids {
			c.Clients = append(c.Clients, newClient(id))
		}
		return c
	}
	f.refuse(insert(1, "a", "b"), storage.ErrFull)
	f.commit(insert(2, "a"))
	f.commit(insert(2, "b"))
	f.refuse(insert(2, "c"), storage.ErrFull)
	f.refuse(insert(2, "a"), storage.ErrExists) // which is there: the number is not what is wrong
	f.commit(storage.Changes{ClientLimit: 2, UpdateClients: []storage.Client{newClient("a")}})
	// A negative one is a mistake, and neither no limit nor a full store.
	for _, negative := range []storage.Changes{insert(-1, "c"), insert(math.MinInt, "c"), insert(-1)} {
		err := f.store.Commit(f.Context(), negative)
		if err == nil || errors.Is(err, storage.ErrFull) {
			f.Errorf("a limit of %d: got error %v, want that it is none", negative.ClientLimit, err)
		}
	}
	f.commit(insert(0, "c")) // whoever says no limit has none
	f.refuse(insert(3, "d"), storage.ErrFull)

	// Those that are gone leave room, once; those that go in the same do not yet.
	f.commit(storage.Changes{DeleteClients: []string{"a", "a", "none"}})
	f.commit(insert(3, "d"))
	replaced := insert(3, "e")
	replaced.DeleteClients = []string{"d"}
	f.refuse(replaced, storage.ErrFull)
	f.refuse(insert(3, "e"), storage.ErrFull)
	clients, err := f.store.Clients(f.Context())
	f.equal("clients", []any{len(clients), err}, []any{3, nil})
}

// keysVersion: whoever keeps the keys learns that they have changed.
func keysVersion(f *fixture) {
	version := func() uint64 {
		f.Helper()
		v, err := f.store.KeysVersion(f.Context())
		f.equal("KeysVersion", err, nil)
		return v
	}
	seen := []uint64{version()}
	changed := newKey("key")
	changed.ExpiresAt = start.Add(1)
	for _, c := range []storage.Changes{
		{Keys: []storage.Key{newKey("key")}},
		{Keys: []storage.Key{changed}},
		{Keys: []storage.Key{newKey("other")}},
		{DeleteKeys: []string{"key"}},
		{DeleteKeys: []string{"other"}, Keys: []storage.Key{newKey("key")}},
	} {
		f.commit(c)
		if v := version(); slices.Contains(seen, v) {
			f.Errorf("%d again: it was %d", v, seen)
		}
		seen = append(seen, version())
	}
	// What is about something else, or refused, leaves it.
	before := version()
	f.commit(storage.Changes{Clients: []storage.Client{newClient("client")}, Consents: []storage.Consent{newConsent("alice", "client")}})
	f.refuse(storage.Changes{Clients: []storage.Client{newClient("client")}, Keys: []storage.Key{changed}}, storage.ErrExists)
	f.equal("version of the same keys", version(), before)
}

// raceToChange lets many change what they have read of one client.
func raceToChange(f *fixture) {
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		f.commit(storage.Changes{Clients: []storage.Client{newClient(id)}})
		oneWins(f, id, storage.ErrChanged, func(c *storage.Changes, racer string) {
			changed := newClient(id)
			changed.Version = racer
			c.RequireClients = []storage.ClientVersion{{ID: id, Version: newClient(id).Version}}
			c.UpdateClients = []storage.Client{changed}
		})
	}
}

// raceForRoom lets many take the last place that there is.
func raceForRoom(f *fixture) {
	for round := range rounds {
		oneWins(f, fmt.Sprintf("round %d", round), storage.ErrFull, func(c *storage.Changes, racer string) {
			c.ClientLimit, c.Clients = round+1, []storage.Client{newClient(racer)}
		})
	}
}

// raceToAllow lets many add to one consent: all of it is there.
func raceToAllow(f *fixture) {
	id := storage.ConsentID{Subject: "alice", ClientID: "client"}
	errs := together(func(racer int) error {
		return f.store.Commit(f.Context(), storage.Changes{Consents: []storage.Consent{{
			ConsentID: id, Scopes: []string{fmt.Sprintf("%02d", racer)}, UpdatedAt: start,
		}}})
	})
	var want []string
	for racer, err := range errs {
		f.equal("Commit", err, nil)
		want = append(want, fmt.Sprintf("%02d", racer))
	}
	consent, err := f.store.Consent(f.Context(), id.Subject, id.ClientID)
	slices.Sort(consent.Scopes)
	f.equal("scopes", []any{consent.Scopes, err}, []any{want, nil})
}
