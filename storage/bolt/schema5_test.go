package bolt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// later is when everything of version 5 has expired.
var later = start.Add(time.Hour)

// laterInstant is that time as the expiry index has it.
const laterInstant = "\x80\x00\x00\x00\x72\xe8\xd5\x02\x2f\x07\x5f\x79"

// version5 is what a file of version 5 held: as version 4, but for packed records. Each
// kind had a bucket of its own.
func version5(t *testing.T) map[string]map[string]string {
	t.Helper()
	buckets := version4()
	buckets["meta"]["schema"] = "5"
	c := lastOfVersion5()
	hold := func(bucket, key string, kind byte, record any) {
		text, err := bolt.Packed(record)
		if err != nil {
			t.Fatal(err)
		}
		if buckets[bucket] == nil {
			buckets[bucket] = map[string]string{}
		}
		buckets[bucket][key] = text
		if kind != 0 {
			buckets["expiry"][laterInstant+string(kind)+key] = ""
		}
	}
	id := string(c.Codes[0].ID[:])
	hold("code", id, 1, &c.Codes[0])
	hold("access", id, 2, &c.AccessTokens[0])
	hold("refresh", id, 3, &c.RefreshTokens[0])
	hold("session", id, 4, &c.Sessions[0])
	hold("grant", c.Grants[0].ID, 5, &c.Grants[0])
	hold("once", id, 9, &c.Once[0])
	hold("sessionclient", "\x00\x04last\x63lient", 12, &c.SessionClients[0])
	hold("access", string(c.AccessTokens[1].ID[:]), 0, &c.AccessTokens[1])
	buckets["sid"]["\x00\x04last"+id] = ""
	buckets["sessiongrant"]["\x00\x04last"+c.Grants[0].ID] = ""
	for bucket, kind := range map[string]byte{"pushed": 10, "device": 11} {
		record, err := json.Marshal(map[string]any{"ID": c.Codes[0].ID, "UserCode": "BCDF", "ExpiresAt": later})
		if err != nil {
			t.Fatal(err)
		}
		buckets[bucket] = map[string]string{id: string(record)}
		buckets["expiry"][laterInstant+string(kind)+id] = ""
	}
	buckets["usercode"] = map[string]string{"BCDF": id}
	return buckets
}

// lastOfVersion5 are the records that version 5 packed, named as the provider names
// them. The second access token never expires.
func lastOfVersion5() storage.Changes {
	id := ordered(5, start)
	grant := fmt.Sprintf("%x", id[:16])
	return storage.Changes{
		Grants:       []storage.Grant{{ID: grant, ClientID: "client", SessionID: "last", SessionBound: true, ExpiresAt: later}},
		Codes:        []storage.Code{{ID: id, GrantID: grant, ExpiresAt: start}},
		AccessTokens: []storage.AccessToken{{ID: id, GrantID: grant, ExpiresAt: later}, {ID: ordered(6, start), GrantID: grant}},
		RefreshTokens: []storage.RefreshToken{{
			ID: id, GrantID: grant, IssuedAt: start, ExpiresAt: start, UsedAt: start,
		}},
		Sessions:       []storage.Session{{ID: id, SID: "last", Subject: "alice", ExpiresAt: later}},
		SessionClients: []storage.SessionClient{{SID: "last", ClientID: "client", ExpiresAt: later}},
		Once:           []storage.Once{{ID: id, ExpiresAt: later}},
	}
}

// TestOpenVersion5: all records find their place, those of a small file in one transaction,
// and the next one puts them there.
func TestOpenVersion5(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	writeFile(t, path, version5(t))
	before := transactionOf(t, path)
	s := reopen(t, path, nil)
	if last, err := s.LastTransaction(); last != before+2 || err != nil {
		t.Errorf("%d transactions, %v", last-before, err)
	}

	// 1. What it held is there.
	want := lastOfVersion5()
	id := want.Codes[0].ID
	got := storage.Changes{Codes: make([]storage.Code, 1), RefreshTokens: make([]storage.RefreshToken, 1), Grants: make([]storage.Grant, 1)}
	var errs [6]error
	got.Codes[0], got.Grants[0], errs[0] = s.Code(t.Context(), id)
	got.RefreshTokens[0], _, errs[1] = s.RefreshToken(t.Context(), id)
	for i, token := range want.AccessTokens {
		var access storage.AccessToken
		access, _, errs[2+i] = s.AccessToken(t.Context(), token.ID)
		got.AccessTokens = append(got.AccessTokens, access)
	}
	session, err := s.Session(t.Context(), id)
	got.Sessions, errs[4] = []storage.Session{session}, err
	got.SessionClients, errs[5] = s.SessionClients(t.Context(), "last")
	got.Once = want.Once
	if seen, err := s.Seen(t.Context(), id); !seen || err != nil {
		t.Errorf("the identifier: %v, %v", seen, err)
	}
	if diff := cmp.Diff(want, got); diff != "" || errors.Join(errs[:]...) != nil {
		t.Errorf("%v (-want +got):\n%s", errs, diff)
	}
	if code, err := s.DeviceCodeOf(t.Context(), "BCDF"); code.ID != id || err != nil {
		t.Errorf("the device code: %v", err)
	}

	// 2. The indexes agree with the records.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}

	// 3. A sign-out finds what it ends.
	s = reopen(t, path, nil)
	commit(t, s, storage.Changes{At: start, SignOut: []string{"last"}})
	if grant, err := s.Grant(t.Context(), want.Grants[0].ID); !grant.RevokedAt.Equal(start) || err != nil {
		t.Errorf("the bound grant: revoked at %s, %v", grant.RevokedAt, err)
	}

	// 4. What has expired goes: the last one's but for the session, that of version 1,
	//    and nothing else.
	if n, err := s.Sweep(t.Context(), later, 100); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v; want 0", n, err)
	}
	if n, err := s.Sweep(t.Context(), later.Add(1), 100); n != 10 || err != nil {
		t.Errorf("Sweep: %d, %v; want 10", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// TestOpenVersion5Orphans: what nobody could use was no reason to refuse a file, and stays
// behind.
func TestOpenVersion5Orphans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	buckets := version5(t)
	orphan := storage.DigestOf("orphan")
	code, err := bolt.Packed(&storage.Code{ID: orphan, GrantID: "gone", ExpiresAt: start})
	if err != nil {
		t.Fatal(err)
	}
	buckets["code"][string(orphan[:])] = code
	maps.Copy(buckets["expiry"], map[string]string{
		laterInstant + "\x01" + string(orphan[:]): "", laterInstant + "\x04nobody": "", "\x00": "",
	})
	writeFile(t, path, buckets)
	s := reopen(t, path, nil)
	if _, _, err := s.Code(t.Context(), orphan); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got error %v, want %v", err, storage.ErrNotFound)
	}
	if n, err := s.Sweep(t.Context(), later.Add(1), 100); n != 11 || err != nil {
		t.Errorf("Sweep: %d, %v; want 11", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// transactionOf is the number of the last transaction of a closed file.
func transactionOf(t *testing.T, path string) (id int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return id
}
