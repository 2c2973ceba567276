package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// everything is a Changes with a record of each kind.
func everything() storage.Changes {
	c := exchange(0)
	id := storage.DigestOf("everything")
	later := start.Add(time.Hour)
	c.Sessions = []storage.Session{{ID: id, SID: "sid", Subject: "alice", ExpiresAt: later}}
	c.SessionClients = []storage.SessionClient{{SID: "sid", ClientID: "client", ExpiresAt: later}}
	c.Consents = []storage.Consent{{ConsentID: storage.ConsentID{Subject: "alice", ClientID: "client"}, Scopes: []string{"openid"}}}
	c.Keys = []storage.Key{{ID: "kid", Use: "sig", Algorithm: "ES256", Material: []byte("key-material")}}
	c.Clients = []storage.Client{{
		ID: "client", Metadata: []byte(`{"client_name":"Shown"}`), Origins: []string{"http://client.example"},
		SecretHash: storage.DigestOf("secret"), RegistrationToken: storage.DigestOf("registration"),
	}}
	c.Once = []storage.Once{{ID: id, ExpiresAt: later}}
	c.PushedRequests = []storage.PushedRequest{{
		ID: id, ClientID: "client", ExpiresAt: later,
		Form: map[string][]string{"scope": {"openid"}, "client_secret": {"form-secret"}, "client_assertion": {"form-assertion"}, "id_token_hint": {"form-hint"}},
	}}
	c.DeviceCodes = []storage.DeviceCode{{ID: id, UserCode: "BCDFGHJK", ClientID: "client", ExpiresAt: later}}
	return c
}

// closedStore is a file with a record of each kind and more.
func closedStore(t *testing.T, exchanges int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "op.db")
	s, err := bolt.Open(path, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, everything())
	for n := 1; n <= exchanges; n++ {
		commit(t, s, exchange(n))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a file as no store would.
func edit(t *testing.T, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFindsWhatIsWrong has a case per thing that can be wrong with records.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	id := storage.DigestOf("grant 0")
	first := func(tx *bbolt.Tx, bucket string) []byte {
		key, _ := tx.Bucket([]byte(bucket)).Cursor().First()
		return key
	}
	// The first issued record of a kind, or the first span.
	firstIssued := func(tx *bbolt.Tx, kind string) (at, stored []byte) {
		cursor := tx.Bucket([]byte("issued")).Cursor()
		for at, stored = cursor.First(); bolt.IssuedKind(at) != kind; at, stored = cursor.Next() {
		}
		return bytes.Clone(at), bytes.Clone(stored)
	}
	removeFirstIssued := func(kind string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			at, _ := firstIssued(tx, kind)
			return tx.Bucket([]byte("issued")).Delete(at)
		}
	}
	changeFirstIssued := func(kind string, change func(at, stored []byte)) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			at, stored := firstIssued(tx, kind)
			if err := tx.Bucket([]byte("issued")).Delete(at); err != nil {
				return err
			}
			change(at, stored)
			return tx.Bucket([]byte("issued")).Put(at, stored)
		}
	}
	// sayMore gives an entry of an index a value that it does not have.
	sayMore := func(tx *bbolt.Tx) error {
		at, _ := firstIssued(tx, "sid")
		return tx.Bucket([]byte("issued")).Put(at, []byte("more"))
	}
	removeFirst := func(bucket string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete(first(tx, bucket)) }
	}
	removeExpiry := func(kind byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			cursor := tx.Bucket([]byte("expiry")).Cursor()
			for entry, _ := cursor.First(); entry != nil; entry, _ = cursor.Next() {
				if entry[12] == kind {
					return cursor.Delete()
				}
			}
			return errors.New("there is none")
		}
	}
	// moveBound changes the bound of a span, in the index, too.
	moveBound := func(tx *bbolt.Tx, change func([]byte)) error {
		span, bound := firstIssued(tx, "span")
		expiry := tx.Bucket([]byte("expiry"))
		removed := expiry.Delete(append(bytes.Clone(bound), span...))
		change(bound)
		return errors.Join(removed, tx.Bucket([]byte("issued")).Put(span, bound), expiry.Put(append(bytes.Clone(bound), span...), nil))
	}
	const instant = "\x80\x00\x00\x00\x72\xe8\xd5\x02\x2f\x07\x5f\x79" // 2031-02-03T05:05:06.789012345Z
	put := func(bucket, key, value string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) }
	}
	for _, tt := range []struct {
		name   string
		change func(*bbolt.Tx) error
		want   string
	}{
		{"a record that is none", put("issued", bolt.IssuedKey("grant", "grant 0"), "{"), `grant "grant 0": stored grant: unexpected end of JSON input`},
		{"a digest that can be read", put("once", strings.Repeat("d", 32), "{"), "identifier ZGRkZGRkZGRkZGRk…: "},
		{"a packed record that is cut short", put("issued", bolt.IssuedKey("grant", "grant 0"), instant+"\x01x"), `grant "grant 0": stored grant:`},
		{"a record under another key", put("client", "other", `{"ID":"client"}`), `client "client": it is stored as "other"`},
		{"a record at another time", changeFirstIssued("grant", func(at, _ []byte) { at[0]++ }), "bucket issued: nobody knows what"},
		{"a record of no kind", changeFirstIssued("grant", func(at, _ []byte) { at[6] = 0xff }), "bucket issued: nobody knows what"},
		{"a record that is swept too early", changeFirstIssued("grant", func(_, stored []byte) { stored[7]-- }), `grant "grant 0": it is swept at another time than it expires`},
		{"a code without its grant", removeFirstIssued("grant"), "its grant is not there"},
		{"a session that its name does not find", removeFirstIssued("sid"), "it is not in the index sid"},
		{"a grant that its session does not find", removeFirstIssued("sessiongrant"), `grant "grant 0": it is not in the index sessiongrant`},
		{"a device code that its user code does not find", removeFirst("usercode"), "it is not in the index usercode"},
		{"a client that its origin does not find", removeFirst("origin"), `client "client": it is not in the index origin`},
		{"a record that never expires", removeFirst("expiry"), "it is not in the index expiry"},
		{"an identifier that never expires", removeExpiry(9), "identifier oKRO2M_DK35hvv65…: it is not in the index expiry"},
		{"a span without its bound", removeFirstIssued("span"), "it is not in the index expiry"},
		{"a record that expires before its span", func(tx *bbolt.Tx) error {
			return moveBound(tx, func(bound []byte) { bound[7]++ })
		}, "it is not in the index expiry"},
		{"a span that is expected twice", func(tx *bbolt.Tx) error {
			span, bound := firstIssued(tx, "span")
			bound[7]--
			return tx.Bucket([]byte("expiry")).Put(append(bound, span...), nil)
		}, "index expiry: an entry without its record"},
		{"an identifier that is expected twice", func(tx *bbolt.Tx) error {
			cursor := tx.Bucket([]byte("expiry")).Cursor()
			entry, _ := cursor.First()
			for ; entry[12] != 9; entry, _ = cursor.Next() {
			}
			entry = bytes.Clone(entry)
			entry[7]--
			return tx.Bucket([]byte("expiry")).Put(entry, nil)
		}, "index expiry: an entry without its record"},
		{"a bound of another instant", changeFirstIssued("span", func(_, bound []byte) { bound[7]-- }), "it is not in the index expiry"},
		{"a name of no session", removeFirstIssued("session"), "index sid: an entry without its record"},
		{"an entry that says more", sayMore, "index sid: an entry without its record"},
		{"a record whose entry says more", sayMore, "it is not in the index sid"},
		{"a user code of no device", removeFirst("device"), "index usercode: an entry without its record"},
		{"user codes without devices", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("device")) }, "index usercode: an entry without its record"},
		{"an expiry of nothing", put("expiry", instant+"\x09nobody", ""), "index expiry: an entry without its record"},
		{"an expiry of no span", put("expiry", instant+"\x04nobod", ""), "index expiry: an entry without its record"},
		{"an expiry of an issued record alone", put("expiry", instant+"\x04nobody", ""), "index expiry: an entry without its record"},
		{"an expiry of no kind", put("expiry", instant+"\xffnobody", ""), "index expiry: an entry without its record"},
		{"an expiry that is cut short", put("expiry", "\x80", ""), "index expiry: an entry without its record"},
		{"a pair that is cut short", put("issued", bolt.IssuedKey("sid", "\x00\x09x"), ""), "index sid: an entry without its record"},
		{"what is neither a record nor a span", put("issued", "\x00\x09x", ""), "bucket issued: nobody knows what"},
		{"no issued records", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("issued")) }, "bucket issued: it is not there"},
		{"a bucket of an older version", func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("grant"))
			return err
		}, `bucket "grant": nobody knows it`},
		{"a number of clients", put("meta", "clients", "7"), "7 clients are counted, and 1 are there"},
		{"a bucket that is gone", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("consent")) }, "bucket consent: it is not there"},
		{"a bucket of somebody", func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("theirs"))
			return err
		}, `bucket "theirs": nobody knows it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := closedStore(t, 0)
			if err := bolt.CheckFile(path); err != nil {
				t.Fatalf("before: %v", err)
			}
			edit(t, path, tt.change)
			err := bolt.CheckFile(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if text, _ := id.MarshalText(); strings.Contains(err.Error(), string(text)) {
				t.Error("a digest is printed in full")
			}
		})
	}
}

// TestCheckEndsSomewhere: of many problems a hundred are told.
func TestCheckEndsSomewhere(t *testing.T) {
	path := closedStore(t, 0)
	edit(t, path, func(tx *bbolt.Tx) error {
		for n := range 1000 {
			if err := tx.Bucket([]byte("issued")).Put([]byte(bolt.IssuedKey("grant", fmt.Sprint(n))), []byte("{")); err != nil {
				return err
			}
		}
		return nil
	})
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if problems := f.Check(); len(problems) != 101 || problems[100].Error() != "and more" {
		t.Errorf("%d problems, the last %v", len(problems), problems[len(problems)-1])
	}
}

func TestInspectRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"nothing", func(*testing.T, string) {}, "no such file"},
		{"an empty file", func(t *testing.T, path string) {
			t.Helper()
			writeBytes(t, path, nil)
		}, "the file is empty"},
		{"a text", func(t *testing.T, path string) {
			t.Helper()
			writeBytes(t, path, []byte(strings.Repeat("hello\n", 10_000)))
		}, "invalid database"},
		{"a newer schema", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Rename(closedStore(t, 0), path); err != nil {
				t.Fatal(err)
			}
			setSchema(t, path, fmt.Sprint(bolt.Schema+1))
		}, "written by a newer version of the program"},
		{"another program's", func(t *testing.T, path string) {
			t.Helper()
			edit(t, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
		}, "not a store of this program"},
		{"one without records", func(t *testing.T, path string) {
			t.Helper()
			edit(t, path, func(*bbolt.Tx) error { return nil })
		}, "not a store of this program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "op.db")
			tt.make(t, path)
			_, err := bolt.Inspect(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one of %s with %q", err, path, tt.want)
			}
			if tt.name == "nothing" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
			}
		})
	}
}

func writeBytes(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestInspectWhileOpen: a store that is open is nobody else's to look at, and one
// that is looked at nobody's to open.
func TestInspectWhileOpen(t *testing.T) {
	s, path := openStore(t, nil)
	for name, use := range map[string]func() error{
		"Inspect": func() error { _, err := bolt.Inspect(path); return err },
		"Compact": func() error { _, _, err := bolt.Compact(path); return err },
	} {
		if err := use(); !errors.Is(err, storage.ErrInUse) {
			t.Errorf("%s: got error %v, want %v", name, err, storage.ErrInUse)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, nil); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("Open: got error %v, want %v", err, storage.ErrInUse)
	}
	second, err := bolt.Inspect(path) // several may look
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := bolt.Compact(path); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("Compact: got error %v, want %v", err, storage.ErrInUse)
	}
	if err := errors.Join(second.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}

func TestInspectOlder(t *testing.T) {
	for schema, file := range map[int]map[string]map[string]string{1: version1(), 3: version3()} {
		path := filepath.Join(t.TempDir(), "op.db")
		writeFile(t, path, file)
		f, err := bolt.Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		if problems := f.Check(); len(problems) > 0 || f.Schema != schema {
			t.Errorf("schema %d, want %d: %v", f.Schema, schema, problems)
		}
		if stats, err := f.Stats(start); err != nil || stats.Schema != schema || len(stats.Records) != 12 {
			t.Errorf("Stats: %+v, %v", stats, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReplaced: who waited for the lock of a file that was replaced meanwhile has
// the wrong one.
func TestReplaced(t *testing.T) {
	path := closedStore(t, 0)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if bolt.Replaced(path, file) {
		t.Error("replaced before")
	}
	if _, _, err := bolt.Compact(path); err != nil {
		t.Fatal(err)
	}
	if !bolt.Replaced(path, file) {
		t.Error("not replaced afterwards")
	}
	anew, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !bolt.Replaced(path, anew) {
		t.Error("not replaced by nothing")
	}
}
