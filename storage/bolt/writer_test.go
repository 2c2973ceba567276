package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// queued starts commits while the writer is held, and returns when all of
// them wait for it. The results follow the release.
func queued(t *testing.T, s *bolt.Store, all []storage.Changes) (release func(), results func() []error) {
	t.Helper()
	release, _ = s.Hold(t.Context())
	errs := make([]error, len(all))
	var done sync.WaitGroup
	for i, c := range all {
		done.Go(func() { errs[i] = s.Commit(t.Context(), c) })
		synctest.Wait() // in this order
	}
	return release, func() []error {
		done.Wait()
		return errs
	}
}

func lastTransaction(t *testing.T, s *bolt.Store) int {
	t.Helper()
	id, err := s.LastTransaction()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWaitingCommitsShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		var all []storage.Changes
		for n := range 64 {
			all = append(all, exchange(n))
		}
		before := lastTransaction(t, s)
		release, results := queued(t, s, all)
		release()
		if err := errors.Join(results()...); err != nil {
			t.Error(err)
		}
		if n := lastTransaction(t, s) - before; n != 1 {
			t.Errorf("64 commits took %d transactions, want 1", n)
		}
		for n := range 64 {
			holdsExchange(t, s, n)
		}
	})
}

// A busy store groups commits without being held.
func TestBusyCommitsShareTransactions(t *testing.T) {
	s, _ := openStore(t, nil)
	before := lastTransaction(t, s)
	var done sync.WaitGroup
	for racer := range 64 {
		done.Go(func() {
			for n := range 20 {
				if err := s.Commit(t.Context(), exchange(20*racer+n)); err != nil {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	done.Wait()
	n := lastTransaction(t, s) - before
	t.Logf("%d commits took %d transactions", 64*20, n)
	if n > 64*20/2 {
		t.Errorf("%d commits took %d transactions", 64*20, n)
	}
}

func TestATransactionHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		var all []storage.Changes
		for n := range 600 {
			all = append(all, exchange(n))
		}
		before := lastTransaction(t, s)
		release, results := queued(t, s, all)
		release()
		if err := errors.Join(results()...); err != nil {
			t.Error(err)
		}
		if n := lastTransaction(t, s) - before; n != 3 { // 255 beside the one that held, 256, 89
			t.Errorf("600 commits took %d transactions, want 3", n)
		}
	})
}

// Those that come later in a transaction see what the earlier ones did, and
// one that is refused does not disturb the others.
func TestRequestsOfOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		commit(t, s, exchange(0))
		id := storage.DigestOf("grant 0")
		all := []storage.Changes{
			{At: start, RedeemCode: id, Keys: []storage.Key{{ID: "first"}}},
			{At: start, RedeemCode: id, Keys: []storage.Key{{ID: "second"}}},
			{At: start, RotateRefreshToken: id},
			{At: start, RedeemCode: storage.DigestOf("none")},
			exchange(0),
			exchange(1),
		}
		before := lastTransaction(t, s)
		release, results := queued(t, s, all)
		release()
		got := map[string]int{}
		for i, err := range results() {
			switch {
			case i == 2: // rotated before the code came back, or refused after
				if err != nil && !errors.Is(err, storage.ErrRevoked) {
					t.Errorf("rotation: %v", err)
				}
			case err == nil:
				got["done"]++
			case errors.Is(err, storage.ErrUsed):
				got["used"]++
			case errors.Is(err, storage.ErrNotFound):
				got["not found"]++
			case errors.Is(err, storage.ErrExists):
				got["exists"]++
			default:
				t.Errorf("commit %d: %v", i, err)
			}
		}
		if want := fmt.Sprint(map[string]int{"done": 2, "used": 1, "not found": 1, "exists": 1}); fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
		if n := lastTransaction(t, s) - before; n != 1 {
			t.Errorf("took %d transactions, want 1", n)
		}
		grant, err := s.Grant(t.Context(), "grant 0")
		if err != nil || grant.RevokedAt.IsZero() {
			t.Errorf("grant after the reuse: revoked at %v, %v", grant.RevokedAt, err)
		}
		keys, err := s.Keys(t.Context())
		if err != nil || len(keys) != 1 {
			t.Errorf("%d keys, %v; want the winner's", len(keys), err)
		}
		holdsExchange(t, s, 1)
	})
}

// What is used once is used by one of a transaction as well.
func TestUsesOfOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		id := storage.DigestOf("it")
		commit(t, s, storage.Changes{
			Sessions:    []storage.Session{{ID: id, SID: "sid"}, {ID: storage.DigestOf("second"), SID: "second sid"}},
			Clients:     []storage.Client{{ID: "old"}},
			DeviceCodes: []storage.DeviceCode{{ID: id, UserCode: "old"}},
		})
		uses := []struct {
			name  string
			again error
			storage.Changes
		}{
			{"identifier", storage.ErrSeen, storage.Changes{Once: []storage.Once{{ID: id}}}},
			{"decision", storage.ErrUsed, storage.Changes{DecideDevice: &storage.DeviceDecision{ID: id}}},
			{"device code", storage.ErrUsed, storage.Changes{RedeemDeviceCode: id}},
			{"client", storage.ErrExists, storage.Changes{Clients: []storage.Client{{ID: "new"}}}},
			{"update after deletion", storage.ErrNotFound, storage.Changes{
				UpdateClients: []storage.Client{{ID: "old"}}, DeleteClients: []string{"old"},
			}},
			{"inserted device code", storage.ErrExists, storage.Changes{DeviceCodes: []storage.DeviceCode{{ID: storage.DigestOf("new"), UserCode: "new"}}}},
			{"session", storage.ErrEnded, storage.Changes{
				RequireSession: id, EndSessions: []storage.Digest{id}, SignOut: []string{"sid"},
			}},
			{"session of a name", storage.ErrEnded, storage.Changes{RequireSID: "second sid", SignOut: []string{"second sid"}}},
		}
		var all []storage.Changes
		for _, u := range uses {
			u.At = start
			all = append(all, u.Changes, u.Changes)
		}
		before := lastTransaction(t, s)
		release, results := queued(t, s, all)
		release()
		errs := results()
		for i, u := range uses {
			first, second := errs[2*i], errs[2*i+1] // in whichever order they came
			if first != nil {
				first, second = second, first
			}
			if first != nil || !errors.Is(second, u.again) {
				t.Errorf("%s: got %v and %v, want nil and %v", u.name, first, second, u.again)
			}
		}
		if n := lastTransaction(t, s) - before; n != 1 {
			t.Errorf("took %d transactions, want 1", n)
		}
	})
}

func TestRefusalsWriteNothing(t *testing.T) {
	s, _ := openStore(t, nil)
	before := lastTransaction(t, s)
	for range 3 {
		if err := s.Commit(t.Context(), storage.Changes{At: start, RedeemCode: storage.DigestOf("none")}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("got error %v", err)
		}
		commit(t, s, storage.Changes{})
	}
	if n := lastTransaction(t, s) - before; n != 0 {
		t.Errorf("%d transactions were written", n)
	}
}

func TestCancelWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		release, _ := s.Hold(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- s.Commit(ctx, exchange(0)) }()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) { // though the writer is still held
			t.Errorf("got error %v, want %v", err, context.Canceled)
		}
		release()
		commit(t, s, exchange(1))
		if _, err := s.Grant(t.Context(), "grant 0"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("cancelled commit was applied: %v", err)
		}
	})
}

func TestCancelWhileWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		release, answer := s.Hold(ctx)
		cancel()
		synctest.Wait()
		select {
		case err := <-answer:
			t.Errorf("answered before the transaction ended: %v", err)
		default:
		}
		release()
		if err := <-answer; err != nil {
			t.Errorf("got error %v of what was done", err)
		}
	})
}

func TestCloseFinishesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, path := openStore(t, nil)
		release, results := queued(t, s, []storage.Changes{exchange(0), exchange(1), exchange(2)})
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		release()
		if err := errors.Join(append(results(), <-closed)...); err != nil {
			t.Error(err)
		}
		if err := s.Commit(t.Context(), exchange(3)); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("got error %v, want %v", err, storage.ErrClosed)
		}
		s = reopen(t, path, nil)
		for n := range 3 {
			holdsExchange(t, s, n)
		}
	})
}

// An error of the disk fails every commit of the transaction, and no other.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := openStore(t, nil)
		commit(t, s, exchange(0))
		s.LimitFile(1)
		large := storage.Changes{Keys: []storage.Key{{ID: "large", Material: make([]byte, 1<<20)}}}
		release, results := queued(t, s, []storage.Changes{exchange(1), large, {At: start, RedeemCode: storage.DigestOf("none")}})
		release()
		for i, err := range results() {
			if err == nil || errors.Is(err, storage.ErrNotFound) {
				t.Errorf("commit %d: got %v, want the disk's error", i, err)
			}
		}
		if _, err := s.Grant(t.Context(), "grant 1"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("part of the failed transaction is there: %v", err)
		}
		holdsExchange(t, s, 0)

		s.LimitFile(0)
		commit(t, s, exchange(1))
		commit(t, s, large)
		holdsExchange(t, s, 1)
	})
}

// What cannot be read cannot be replaced; nothing is written in part.
func TestDamagedRecord(t *testing.T) {
	s, _ := openStore(t, nil)
	id := storage.DigestOf("session")
	if err := s.Damage(id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(t.Context(), id); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Session: got error %v, want that it cannot be read", err)
	}
	c := exchange(0)
	c.Sessions = []storage.Session{{ID: id}}
	if err := s.Commit(t.Context(), c); err == nil {
		t.Error("Commit: no error")
	}
	if _, err := s.Grant(t.Context(), "grant 0"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("part of the failed transaction is there: %v", err)
	}
	if err := s.Repair(id); err != nil {
		t.Fatal(err)
	}
	commit(t, s, c)
}

// What bbolt or JSON could not take is refused before it reaches others.
func TestRefusesWhatCannotBeWritten(t *testing.T) {
	s, _ := openStore(t, nil)
	commit(t, s, exchange(0))
	commit(t, s, storage.Changes{Clients: []storage.Client{{ID: "there"}}})
	long := strings.Repeat("x", 1<<17)
	never := time.Date(10000, time.January, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]storage.Changes{
		"grant with an endless ID":     {Grants: []storage.Grant{{ID: long}}},
		"key with an endless ID":       {Keys: []storage.Key{{ID: long}}},
		"consent with endless names":   {Consents: []storage.Consent{{ConsentID: storage.ConsentID{Subject: long}}}},
		"client with an endless ID":    {Clients: []storage.Client{{ID: long}}},
		"update with an endless ID":    {UpdateClients: []storage.Client{{ID: long}}},
		"grant of an endless session":  {Grants: []storage.Grant{{ID: "grant", SessionID: long}}},
		"session of an endless name":   {Sessions: []storage.Session{{ID: storage.DigestOf("x"), SID: long}}},
		"client of an endless session": {SessionClients: []storage.SessionClient{{SID: long, ClientID: "client"}}},
		"endless client of a session":  {SessionClients: []storage.SessionClient{{SID: "sid", ClientID: long}}},
		"device code with an endless user code": {
			DeviceCodes: []storage.DeviceCode{{ID: storage.DigestOf("x"), UserCode: long}},
		},
		"decision in the year 10000":   {At: never, DecideDevice: &storage.DeviceDecision{ID: storage.DigestOf("x")}},
		"client of the year 10000":     {Clients: []storage.Client{{ID: "x", CreatedAt: never}}},
		"identifier until 10000":       {Once: []storage.Once{{ID: storage.DigestOf("x"), ExpiresAt: never}}},
		"session until 10000":          {Sessions: []storage.Session{{ID: storage.DigestOf("x"), ExpiresAt: never}}},
		"revocation in the year 10000": {At: never, RevokeGrants: []string{"grant"}},
		"revocation in another zone":   {At: never.In(time.FixedZone("", -60*60)), RevokeGrants: []string{"grant 0"}},
		"client with an odd ID":        {Clients: []storage.Client{{ID: "\xff"}}},
		"client of an odd origin":      {Clients: []storage.Client{{ID: "x", Origins: []string{"https://\xff.example"}}}},
		"update with an odd origin":    {UpdateClients: []storage.Client{{ID: "there", Origins: []string{"\xff"}}}},
		"key with an odd ID":           {Keys: []storage.Key{{ID: "\xff"}}},
		"consent of an odd client":     {Consents: []storage.Consent{{ConsentID: storage.ConsentID{Subject: "x", ClientID: "\xff"}}}},
		"odd user code":                {DeviceCodes: []storage.DeviceCode{{ID: storage.DigestOf("x"), UserCode: "\xff"}}},
	} {
		if err := s.Commit(t.Context(), c); err == nil || strings.Contains(err.Error(), "write store") {
			t.Errorf("%s: got error %v, want a refusal", name, err)
		}
	}
	commit(t, s, storage.Changes{Keys: []storage.Key{{ID: long[:4096]}}})
	if err := s.Commit(t.Context(), storage.Changes{Keys: []storage.Key{{ID: long[:4097]}}}); err == nil {
		t.Error("key with an ID of 4097 bytes: no error")
	}
	commit(t, s, storage.Changes{
		At: start, RevokeGrants: []string{long}, DeleteConsents: []storage.ConsentID{{Subject: long}}, DeleteKeys: []string{long},
		SignOut: []string{long}, DeleteClients: []string{long},
	})
	_, clientErr := s.Client(t.Context(), long)
	_, deviceErr := s.DeviceCodeOf(t.Context(), long)
	for _, err := range []error{clientErr, deviceErr} {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("got error %v, want %v", err, storage.ErrNotFound)
		}
	}
	if err := s.Commit(t.Context(), storage.Changes{RequireSID: long}); !errors.Is(err, storage.ErrEnded) {
		t.Errorf("session of an endless name: got error %v, want %v", err, storage.ErrEnded)
	}
	if clients, err := s.SessionClients(t.Context(), long); len(clients) != 0 || err != nil {
		t.Errorf("clients of an endless session: %d, %v; want none", len(clients), err)
	}
	if _, err := s.Consent(t.Context(), long, ""); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got error %v, want %v", err, storage.ErrNotFound)
	}
}
