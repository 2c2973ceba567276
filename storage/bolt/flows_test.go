package bolt_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// TestFlowsWriteFewPages: what six flows write in one transaction is on few pages, also
// in a file that has many.
func TestFlowsWriteFewPages(t *testing.T) {
	s, _ := openStore(t, &bolt.Options{NoSync: true})
	const before, flows, most = 500, 6, 12
	now := start
	for n := range before {
		now = now.Add(time.Millisecond)
		f := newFlow(n, now, usual)
		commit(t, s, f.login())
		commit(t, s, f.redeem(now))
	}
	costs := s.Costs()
	var together storage.Changes
	for n := range flows {
		c := newFlow(before+n, now, usual).login()
		together.Sessions = append(together.Sessions, c.Sessions...)
		together.SessionClients = append(together.SessionClients, c.SessionClients...)
		together.Grants = append(together.Grants, c.Grants...)
		together.Codes = append(together.Codes, c.Codes...)
	}
	commit(t, s, together)
	after := s.Costs()
	if pages := after.Writes - costs.Writes; pages > most {
		t.Errorf("%d pages were written for %d logins, want %d at most", pages, flows, most)
	}
}

// TestIssuedKey: identifiers of the same time stand together, whatever their kind, and
// any other has a place as well.
func TestIssuedKey(t *testing.T) {
	digest := ordered(1, start)
	name := hex.EncodeToString(digest[:16])
	pair := "\x00\x20" + name
	for kind, id := range map[string]string{
		"code": string(digest[:]), "access": string(digest[:]), "session": string(digest[:]), "grant": name,
		"sid": pair + string(digest[:]), "sessionclient": pair + "client", "sessiongrant": pair + "another grant",
	} {
		if key := bolt.IssuedKey(kind, id); key[:6] != string(digest[:6]) || key[7:] != id || bolt.IssuedKind([]byte(key)) != kind {
			t.Errorf("%s: %x", kind, key)
		}
	}
	if key := bolt.IssuedKey("grant", name[:12]); key[:6] != string(digest[:6]) { // the time and no more
		t.Errorf("%s: %x", name[:12], key)
	}
	for _, id := range []string{"", "x", "a name without a time", "0123456789a", "\x00", "\x00\xff"} {
		for _, kind := range []string{"code", "grant", "sid"} {
			if key := bolt.IssuedKey(kind, id); key[7:] != id || key != bolt.IssuedKey(kind, id) {
				t.Errorf("%s %q: %x", kind, id, key)
			}
		}
	}
	// All pairs of one "sid" are under the same prefix.
	for _, sid := range []string{"s", name, "a name without a time"} {
		s, _ := openStore(t, nil)
		commit(t, s, storage.Changes{SessionClients: []storage.SessionClient{{SID: sid, ClientID: "one"}, {SID: sid, ClientID: "two"}}})
		if all, err := s.SessionClients(t.Context(), sid); len(all) != 2 || err != nil {
			t.Errorf("clients of %q: %v, %v", sid, all, err)
		}
	}
}
