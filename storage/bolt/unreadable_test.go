package bolt_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	keys "github.com/oidclab/oidclab/storage/internal/ordered"
)

// expiring are records of every kind that expires, by the name of the bucket of their
// kind, and what their key is there.
func expiring(n int) (c storage.Changes, key map[string]string) {
	c = exchange(n)
	id := c.Codes[0].ID
	end := c.Grants[0].ExpiresAt
	name := c.Grants[0].ID
	c.Sessions = []storage.Session{{ID: id, SID: "of " + name, ExpiresAt: end}}
	c.SessionClients = []storage.SessionClient{{SID: "of " + name, ClientID: "client", ExpiresAt: end}}
	c.Once = []storage.Once{{ID: id, ExpiresAt: end}}
	c.PushedRequests = []storage.PushedRequest{{ID: id, ExpiresAt: end}}
	c.DeviceCodes = []storage.DeviceCode{{ID: id, UserCode: name, ExpiresAt: end}}
	return c, map[string]string{
		"grant": name, "code": string(id[:]), "access": string(id[:]), "refresh": string(id[:]), "session": string(id[:]),
		"sessionclient": string(keys.SessionClient("of "+name, "client")),
		"once":          string(id[:]), "pushed": string(id[:]), "device": string(id[:]),
	}
}

// damages are what may be in the place of a record's value.
var damages = map[string]func(value []byte) []byte{
	"no record": func(value []byte) []byte {
		return append(value[:min(len(value), keys.InstantSize):keys.InstantSize], '{')
	},
	"cut short":       func(value []byte) []byte { return value[:len(value)-1] },
	"a byte":          func([]byte) []byte { return []byte{1} },
	"nothing":         func([]byte) []byte { return nil },
	"a byte too many": func(value []byte) []byte { return append(append([]byte{}, value...), 0) },
}

// TestSweepUnreadable: a record that cannot be read stops no sweep, and no commit that
// shares a transaction with one. What has to be read before it goes stays, and Check tells
// of it.
func TestSweepUnreadable(t *testing.T) {
	_, all := expiring(0)
	for kind, key := range all {
		for damage, spoil := range damages {
			t.Run(kind+", "+damage, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { sweepUnreadable(t, kind, key, spoil) })
			})
		}
	}
}

func sweepUnreadable(t *testing.T, kind, key string, spoil func([]byte) []byte) {
	t.Helper()
	const records = 9 // of an exchange
	path := filepath.Join(t.TempDir(), "op.db")
	s := reopen(t, path, nil)
	for n := range 3 {
		c, _ := expiring(n)
		commit(t, s, c)
	}
	bucket := kind
	if kind != "once" && kind != "pushed" && kind != "device" {
		bucket, key = "issued", bolt.IssuedKey(kind, key)
	}
	spoilt := damage(t, s, bucket, key, spoil)

	// 1. A sweep and a commit in one transaction: the commit does not notice.
	release, results := queued(t, s, []storage.Changes{{At: start, Once: []storage.Once{{ID: storage.DigestOf("first")}}}})
	var removed int
	var err error
	swept := make(chan struct{})
	go func() {
		removed, err = s.Sweep(t.Context(), start.Add(2*time.Hour), 1000)
		close(swept)
	}()
	synctest.Wait()
	release()
	<-swept
	if neighbour := results()[0]; neighbour != nil {
		t.Errorf("the commit beside it: %v", neighbour)
	}

	// 2. All but the one goes, at once, and the error says why that one stays.
	want := 3*records - 1
	switch {
	case removed == want+1: // it need not be read
		if err != nil {
			t.Errorf("Sweep: %v, and all is gone", err)
		}
	case removed != want:
		t.Errorf("Sweep: %d, %v; want %d", removed, err, want)
	case len(spoilt) >= keys.InstantSize && (err == nil || !strings.Contains(err.Error(), "stored ")):
		t.Errorf("Sweep: %v, want why it cannot be read", err)
	}
	stays := removed == want
	if mustRead := strings.Contains("grant session device once pushed", kind); mustRead && !stays {
		t.Error("it was removed, though what finds it is not known")
	}

	// 3. The next one has nothing to do, and Check tells of the one.
	if n, err := s.Sweep(t.Context(), start.Add(2*time.Hour), 1000); n != 0 || err != nil {
		t.Errorf("second Sweep: %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	problems := checkFile(t, path)
	if told := len(problems) > 0 && strings.Contains(problems[0].Error(), "stored "); told != stays {
		t.Errorf("stays: %t; Check: %v", stays, problems)
	}
}

// damage puts another value in the place of a record.
func damage(t *testing.T, s *bolt.Store, bucket, key string, spoil func([]byte) []byte) (spoilt []byte) {
	t.Helper()
	before, err := s.Put(bucket, key, nil)
	if err != nil || before == nil {
		t.Fatalf("no record in the bucket %s: %v", bucket, err)
	}
	spoilt = spoil(before)
	if _, err := s.Put(bucket, key, spoilt); err != nil {
		t.Fatal(err)
	}
	return spoilt
}

// checkFile is what Check finds in a file.
func checkFile(t *testing.T, path string) []error {
	t.Helper()
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	problems := f.Check()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return problems
}

// TestSweepManyUnreadable: also where one transaction meets nothing else.
func TestSweepManyUnreadable(t *testing.T) {
	const many = 600
	s := reopen(t, filepath.Join(t.TempDir(), "op.db"), nil)
	for n := range many {
		c, key := expiring(n)
		commit(t, s, storage.Changes{Sessions: c.Sessions, DeviceCodes: c.DeviceCodes})
		damage(t, s, "issued", bolt.IssuedKey("session", key["session"]), damages["no record"])
		damage(t, s, "device", key["device"], damages["no record"])
	}
	var c storage.Changes
	for n := range many {
		c.Sessions = append(c.Sessions, storage.Session{ID: storage.DigestOf(fmt.Sprint(n)), ExpiresAt: start.Add(90 * time.Minute)})
	}
	commit(t, s, c)
	for _, want := range []int{many, 0} {
		if n, err := s.Sweep(t.Context(), start.Add(2*time.Hour), 10*many); n != want || (err != nil) != (want > 0) {
			t.Errorf("Sweep: %d, %v; want %d", n, err, want)
		}
	}
}

// TestSweepOddEntries: what is no entry of the expiry index goes, and what expires behind
// it, too.
func TestSweepOddEntries(t *testing.T) {
	s, _ := openStore(t, nil)
	session := storage.Session{ID: storage.DigestOf("session"), ExpiresAt: start}
	commit(t, s, storage.Changes{Sessions: []storage.Session{session}, Keys: []storage.Key{{ID: "key"}}})
	long := strings.Repeat("\x01", keys.InstantSize)
	for _, entry := range []string{"\x00", long, long + "\x00key", long + "\xee" + "key", long + "\x07none", long + "\x01short"} {
		if _, err := s.Put("expiry", entry, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), start.Add(time.Hour), 10); n != 1 || err != nil {
		t.Errorf("Sweep: %d, %v; want 1", n, err)
	}
	if _, err := s.Session(t.Context(), session.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("session: %v", err)
	}
	// A key does not expire, whatever the index says.
	if _, err := s.Put("expiry", long+"\x07key", nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(t.Context(), start.Add(time.Hour), 10); n != 0 || err == nil {
		t.Errorf("Sweep: %d, %v; want an error", n, err)
	}
	if all, err := s.Keys(t.Context()); len(all) != 1 || err != nil {
		t.Errorf("keys: %d, %v", len(all), err)
	}
	// That no entry is left is what the check of the file tests.
}
