package bolt_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

func inspect(t *testing.T, path string) *bolt.File {
	t.Helper()
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestDump: every kind is there, and no secret.
func TestDump(t *testing.T) {
	f := inspect(t, closedStore(t, 0))
	kinds, all := map[string]bool{}, &strings.Builder{}
	encoder := json.NewEncoder(all)
	if err := f.Dump(func(d bolt.Dumped) error {
		kinds[d.Kind] = true
		return encoder.Encode(d)
	}); err != nil {
		t.Fatal(err)
	}
	if len(kinds) != 12 {
		t.Errorf("kinds: %v", kinds)
	}
	for _, want := range []string{`"Subject":"alice"`, `"client_name":"Shown"`, `"scope":["openid"]`, `"GrantID":"grant 0"`, `"SecretHash":"[redacted]"`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is not there", want)
		}
	}
	secrets := []string{"key-material", "a2V5LW1hdGVyaWFs", "BCDFGHJK", "form-secret", "form-assertion", "form-hint"}
	for _, digested := range []string{"everything", "grant 0", "secret", "registration"} {
		text, err := storage.DigestOf(digested).MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string(text))
	}
	for _, secret := range secrets {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%s is there", secret)
		}
	}
}

// TestDumpKnowsAllSecrets: whatever record gets a field with a digest or bytes
// must say what a dump shows of it.
func TestDumpKnowsAllSecrets(t *testing.T) {
	for _, record := range []any{
		storage.Grant{},
		storage.Code{},
		storage.AccessToken{},
		storage.RefreshToken{},
		storage.Session{},
		storage.SessionClient{},
		storage.Consent{},
		storage.Client{},
		storage.Once{},
		storage.PushedRequest{},
		storage.DeviceCode{},
		storage.Key{},
	} {
		filled := reflect.New(reflect.TypeOf(record)).Elem()
		for _, field := range filled.Fields() {
			switch field.Interface().(type) {
			case storage.Digest:
				field.Set(reflect.ValueOf(storage.DigestOf("full")))
			case []byte:
				field.SetBytes([]byte(`"shown"`))
			}
		}
		shown, err := bolt.RedactedRecord(filled.Interface())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := storage.DigestOf("full").MarshalText()
		if strings.Contains(shown, string(text)) || strings.Contains(shown, "InNob3duIg") {
			t.Errorf("%T: %s", record, shown)
		}
	}
}

func TestStats(t *testing.T) {
	path := closedStore(t, 99)
	stats, err := inspect(t, path).Stats(start.Add(2 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stats.FileBytes != info.Size() || stats.Schema != bolt.Schema || stats.FreeBytes <= 0 || stats.FreeBytes >= stats.FileBytes {
		t.Errorf("got %+v, size %d", stats, info.Size())
	}
	got := map[string]bolt.Holding{}
	for _, h := range append(stats.Records, stats.Indexes...) {
		got[h.Kind] = h
	}
	for kind, want := range map[string][2]int{
		"grant": {100, 100}, "code": {100, 100}, "access token": {100, 100}, "refresh token": {100, 100}, "session": {1, 1},
		"key": {1, 0}, "client": {1, 0}, "consent": {1, 0}, "expiry": {105, 0}, "sessiongrant": {100, 0}, "usercode": {1, 0},
	} {
		if h := got[kind]; h.Count != want[0] || h.Expired != want[1] || h.Bytes == 0 {
			t.Errorf("%s: %+v, want %d, of which %d have expired", kind, h, want[0], want[1])
		}
	}
	early, err := inspect(t, path).Stats(start)
	if err != nil || early.Records[5].Expired != 0 {
		t.Errorf("before: %+v, %v", early.Records, err)
	}
}

// TestCompact: the file shrinks, and holds what it held, for the same reader.
func TestCompact(t *testing.T) {
	path := closedStore(t, 2000)
	s := reopen(t, path, nil)
	for n, err := s.Sweep(t.Context(), start.Add(2*time.Hour), 6000); n > 0 || err != nil; n, err = s.Sweep(t.Context(), start.Add(2*time.Hour), 6000) {
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s, exchange(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const mode = 0o666 // no umask leaves that to a new file
	if err := errors.Join(os.WriteFile(path+".compact", []byte("left behind"), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	before, after, err := bolt.Compact(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if after != info.Size() || after >= before/4 || info.Mode().Perm() != mode {
		t.Errorf("%d bytes before, %d after; %v", before, after, info)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
	s = reopen(t, path, nil)
	holdsExchange(t, s, 1)
	commit(t, s, exchange(2))
}

// TestCompactThroughALink: what the link leads to is replaced, not the link.
func TestCompactThroughALink(t *testing.T) {
	path := closedStore(t, 10)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := bolt.Compact(link); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v; want a link", info, err)
	}
}

// TestCompactAfterAnother: who waited while another process compacted the file has opened
// the old one. To put a copy of that in the place of the new one would lose what has been
// written since.
func TestCompactAfterAnother(t *testing.T) {
	path := closedStore(t, 3)
	f := inspect(t, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, path, nil)
	commit(t, s, exchange(4))
	if err := f.Compact(path); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("got error %v, want %v", err, storage.ErrInUse)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holdsExchange(t, reopen(t, path, nil), 4)
}
