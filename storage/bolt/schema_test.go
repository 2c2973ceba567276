package bolt_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// version1 is what a file of version 1 held: buckets, keys and values, written
// out as that version wrote them.
func version1() map[string]map[string]string {
	code := storage.DigestOf("code")
	text, _ := code.MarshalText()
	return map[string]map[string]string{
		"meta": {"schema": "1"},
		"grant": {
			"with": `{"ID":"with","ClientID":"client","Subject":"alice","SessionID":"sid","Scopes":["openid"],"Audience":null,` +
				`"RedirectURI":"http://client.example/callback","Nonce":"n","ACR":"1","AMR":["pwd"],` +
				`"AuthTime":"2031-02-03T04:05:06.789012345Z","RequestedAt":"2031-02-03T04:05:06.789012345Z",` +
				`"CreatedAt":"2031-02-03T04:05:06.789012345Z","ExpiresAt":"2031-02-03T05:05:06.789012345Z","RevokedAt":"0001-01-01T00:00:00Z"}`,
			"without": `{"ID":"without","ClientID":"client","Subject":"client","SessionID":"","ExpiresAt":"0001-01-01T00:00:00Z"}`,
		},
		"code": {
			string(code[:]): `{"ID":"` + string(text) + `","GrantID":"with","CodeChallenge":"c","CodeChallengeMethod":"S256",` +
				`"ExpiresAt":"2031-02-03T04:06:06.789012345Z","UsedAt":"0001-01-01T00:00:00Z"}`,
		},
		"key": {
			"kid": `{"ID":"kid","Use":"sig","Algorithm":"RS256","Material":"AAH/","CreatedAt":"2031-02-03T04:05:06.789012345Z"}`,
		},
		"access": {}, "refresh": {}, "session": {}, "consent": {},
		"expiry": {
			// 2031-02-03T05:05:06.789012345Z, the kinds of code and grant.
			"\x80\x00\x00\x00\x72\xe8\xd5\x02\x2f\x07\x5f\x79\x01" + string(code[:]): "",
			"\x80\x00\x00\x00\x72\xe8\xd5\x02\x2f\x07\x5f\x79\x05with":               "",
		},
	}
}

// writeFile makes a database of buckets.
func writeFile(t *testing.T, path string, buckets map[string]map[string]string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for name, records := range buckets {
			bucket, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for _, key := range slices.Sorted(maps.Keys(records)) {
				if err := bucket.Put([]byte(key), []byte(records[key])); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenVersion1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	writeFile(t, path, version1())
	s := reopen(t, path, nil)

	// 1. What it held is there.
	wantGrant := storage.Grant{
		ID: "with", ClientID: "client", Subject: "alice", SessionID: "sid", Scopes: []string{"openid"},
		RedirectURI: "http://client.example/callback", Nonce: "n", ACR: "1", AMR: []string{"pwd"},
		AuthTime: start, RequestedAt: start, CreatedAt: start, ExpiresAt: start.Add(time.Hour),
	}
	wantCode := storage.Code{
		ID: storage.DigestOf("code"), GrantID: "with", CodeChallenge: "c", CodeChallengeMethod: "S256", ExpiresAt: start.Add(time.Minute),
	}
	code, grant, err := s.Code(t.Context(), wantCode.ID)
	if diff := cmp.Diff([]any{wantCode, wantGrant, nil}, []any{code, grant, err}); diff != "" {
		t.Errorf("code (-want +got):\n%s", diff)
	}
	keys, err := s.Keys(t.Context())
	wantKey := storage.Key{ID: "kid", Use: "sig", Algorithm: "RS256", Material: []byte{0, 1, 0xff}, CreatedAt: start}
	if diff := cmp.Diff([]any{[]storage.Key{wantKey}, nil}, []any{keys, err}); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}

	// 2. What came since works.
	bound := storage.Grant{ID: "bound", SessionID: "sid", SessionBound: true}
	commit(t, s, storage.Changes{
		Grants:         []storage.Grant{bound},
		Clients:        []storage.Client{{ID: "client"}},
		Once:           []storage.Once{{ID: storage.DigestOf("jti"), ExpiresAt: start}},
		PushedRequests: []storage.PushedRequest{{ID: storage.DigestOf("pushed")}},
		DeviceCodes:    []storage.DeviceCode{{ID: storage.DigestOf("device"), UserCode: "BCDF"}},
		SessionClients: []storage.SessionClient{{SID: "sid", ClientID: "client"}},
	})
	commit(t, s, storage.Changes{At: start, SignOut: []string{"sid"}})
	if bound, err = s.Grant(t.Context(), "bound"); err != nil || !bound.RevokedAt.Equal(start) {
		t.Errorf("bound grant after the session: revoked at %v, %v", bound.RevokedAt, err)
	}

	// 3. The indexes agree with the records: each old grant is under its session.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}

	// 4. The way is gone once, and what expired goes with its entries.
	s = reopen(t, path, nil)
	if n, err := s.Sweep(t.Context(), start.Add(time.Hour+1), 10); n != 3 || err != nil {
		t.Errorf("Sweep: %d, %v; want 3", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// version2 is what a file of version 2 held, which had two more indexes.
func version2() map[string]map[string]string {
	first, second := storage.DigestOf("first"), storage.DigestOf("second")
	record := func(id storage.Digest, sid string) string {
		text, _ := id.MarshalText()
		return `{"ID":"` + string(text) + `","SID":"` + sid + `","Subject":"alice","ExpiresAt":"0001-01-01T00:00:00Z"}`
	}
	buckets := version1()
	buckets["meta"]["schema"] = "2"
	buckets["session"] = map[string]string{
		string(first[:]): record(first, "sid"), string(second[:]): record(second, "sid"),
	}
	buckets["sessiongrant"] = map[string]string{"\x00\x03sidwith": ""}
	for _, name := range []string{"sessionclient", "client", "once", "device", "usercode"} {
		buckets[name] = nil
	}
	pushed := storage.DigestOf("pushed")
	text, _ := pushed.MarshalText()
	buckets["pushed"] = map[string]string{
		string(pushed[:]): `{"ID":"` + string(text) + `","ClientID":"client","ExpiresAt":"0001-01-01T00:00:00Z","UsedAt":"2026-01-01T00:00:00Z"}`,
	}
	return buckets
}

// TestOpenVersion2: a sign-out finds the sessions of before, of which two could
// have one name.
func TestOpenVersion2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	writeFile(t, path, version2())
	s := reopen(t, path, nil)
	if _, err := s.PushedRequest(t.Context(), storage.DigestOf("pushed")); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a pushed request, which was answered: %v", err)
	}
	third := storage.Session{ID: storage.DigestOf("third"), SID: "sid"}
	commit(t, s, storage.Changes{RequireSID: "sid", Sessions: []storage.Session{third}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
	s = reopen(t, path, nil)
	commit(t, s, storage.Changes{At: start, SignOut: []string{"sid"}})
	for _, id := range []string{"first", "second", "third"} {
		if _, err := s.Session(t.Context(), storage.DigestOf(id)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s session: got error %v, want %v", id, err, storage.ErrNotFound)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// version3 is what a file of version 3 held, which had one more index, and clients
// that did not say their origins.
func version3() map[string]map[string]string {
	buckets := version2()
	buckets["meta"]["schema"] = "3"
	first, second := storage.DigestOf("first"), storage.DigestOf("second")
	buckets["sid"] = map[string]string{"\x00\x03sid" + string(first[:]): "", "\x00\x03sid" + string(second[:]): ""}
	buckets["pushed"] = nil
	buckets["client"] = map[string]string{
		"one": `{"ID":"one","Metadata":"e30=","CreatedAt":"2031-02-03T04:05:06.789012345Z"}`,
		"two": `{"ID":"two","Metadata":"e30=","CreatedAt":"2031-02-03T04:05:06.789012345Z"}`,
	}
	return buckets
}

// TestOpenVersion3: the clients of before are counted, and can be given origins.
func TestOpenVersion3(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	writeFile(t, path, version3())
	s := reopen(t, path, nil)
	third := storage.Client{ID: "three"}
	full := storage.Changes{Clients: []storage.Client{third}, ClientLimit: 2}
	if err := s.Commit(t.Context(), full); !errors.Is(err, storage.ErrFull) {
		t.Errorf("a third client, of two: got error %v, want %v", err, storage.ErrFull)
	}
	commit(t, s, storage.Changes{Clients: []storage.Client{third}, ClientLimit: 3})
	one := storage.Client{ID: "one", Origins: []string{"https://one.example"}, Version: "second"}
	commit(t, s, storage.Changes{RequireClients: []storage.ClientVersion{{ID: "one"}}, UpdateClients: []storage.Client{one}})
	if has, err := s.HasOrigin(t.Context(), "https://one.example"); !has || err != nil {
		t.Errorf("its origin: %v, %v", has, err)
	}
	before, err := s.KeysVersion(t.Context())
	if err != nil {
		t.Error(err)
	}
	commit(t, s, storage.Changes{DeleteKeys: []string{"kid"}})
	if after, err := s.KeysVersion(t.Context()); after == before || err != nil {
		t.Errorf("the version of other keys: %d, %v", after, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// version4 is what a file of version 4 held: JSON, the origins, and the number of clients.
func version4() map[string]map[string]string {
	buckets := version3()
	buckets["meta"] = map[string]string{"schema": "4", "clients": "2", "keysversion": "7"}
	buckets["origin"] = map[string]string{"\x00\x13https://one.exampleone": ""}
	buckets["client"]["one"] = `{"ID":"one","Metadata":"e30=","Origins":["https://one.example"],"CreatedAt":"2031-02-03T04:05:06.789012345Z"}`
	return buckets
}

// TestOpenVersion4: records stay JSON until they change.
func TestOpenVersion4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	writeFile(t, path, version4())
	s := reopen(t, path, nil)
	commit(t, s, storage.Changes{At: start, RedeemCode: storage.DigestOf("code"), ClientLimit: 3, Clients: []storage.Client{{ID: "three"}}})
	code, grant, err := s.Code(t.Context(), storage.DigestOf("code"))
	if !code.UsedAt.Equal(start) || grant.Nonce != "n" || err != nil {
		t.Errorf("code used at %s, %+v, %v", code.UsedAt, grant, err)
	}
	if has, err := s.HasOrigin(t.Context(), "https://one.example"); !has || err != nil {
		t.Errorf("its origin: %v, %v", has, err)
	}
	if version, err := s.KeysVersion(t.Context()); version != 7 || err != nil {
		t.Errorf("the version of the keys: %d, %v", version, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// A file that cannot be brought up to date stays what it was.
func TestOpenOlderDamaged(t *testing.T) {
	type file = map[string]map[string]string
	for _, tt := range []struct {
		name   string
		older  func() file
		damage func(file)
		want   string
	}{
		{"a grant that is no record", version1, func(b file) { b["grant"]["with"] = "{" }, "from schema 1"},
		{"a bucket of the later version", version1, func(b file) { b["once"] = nil }, "from schema 1"},
		{"a session that is no record", version2, func(b file) { b["session"]["x"] = "{" }, "from schema 2"},
		{"a bucket of the version after that", version2, func(b file) { b["sid"] = nil }, "from schema 2"},
		{"a code that is no record", version4, func(b file) { b["code"]["x"] = "{" }, "from schema 5"},
		{"a bucket of version 6", version4, func(b file) { b["issued"] = nil }, "from schema 5"},
		{"a bucket that is gone", version4, func(b file) { delete(b, "refresh") }, "from schema 5"},
		{"a bucket of version 4", version3, func(b file) { b["origin"] = nil }, "from schema 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "op.db")
			buckets := tt.older()
			tt.damage(buckets)
			writeFile(t, path, buckets)
			before, _ := os.ReadFile(path)
			if _, err := bolt.Open(path, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one of the way %s", err, tt.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}
