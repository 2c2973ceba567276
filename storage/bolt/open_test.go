package bolt_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

func TestOpenMakesAPrivateFile(t *testing.T) {
	_, path := openStore(t, nil)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestOpenTwice(t *testing.T) {
	_, path := openStore(t, nil)
	refusesAtOnce(t, path)
}

// refusesAtOnce tests how Open refuses a file that is open elsewhere.
func refusesAtOnce(t *testing.T, path string) {
	t.Helper()
	began := time.Now()
	_, err := bolt.Open(path, nil)
	if took := time.Since(began); took > time.Second { // 0.1 s on a machine that is not busy
		t.Errorf("took %v to refuse", took)
	}
	if !errors.Is(err, storage.ErrInUse) {
		t.Fatalf("got error %v, want %v", err, storage.ErrInUse)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("the message does not name the file: %v", err)
	}
}

func TestReopen(t *testing.T) {
	for name, o := range map[string]*bolt.Options{"durable": nil, "ephemeral": {NoSync: true}} {
		t.Run(name, func(t *testing.T) {
			store, path := openStore(t, o)
			if store.Durable() != (o == nil) {
				t.Errorf("durable: %t", store.Durable())
			}
			for n := range 100 {
				commit(t, store, exchange(n))
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = reopen(t, path, o)
			for n := range 100 {
				holdsExchange(t, store, n)
			}
		})
	}
}

// exchange is a grant with a code and tokens.
func exchange(n int) storage.Changes {
	id := fmt.Sprintf("grant %d", n)
	return storage.Changes{
		At: start,
		Grants: []storage.Grant{{
			ID: id, ClientID: "client", Subject: "alice", SessionID: "sid", Scopes: []string{"openid", "offline_access"},
			RedirectURI: "http://client.example/callback", Nonce: "nonce", AMR: []string{"pwd"},
			AuthTime: start, RequestedAt: start, CreatedAt: start, ExpiresAt: start.Add(time.Hour),
		}},
		Codes: []storage.Code{{
			ID: storage.DigestOf(id), GrantID: id, CodeChallengeMethod: "S256",
			CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", ExpiresAt: start.Add(time.Minute),
		}},
		AccessTokens:  []storage.AccessToken{accessToken(n)},
		RefreshTokens: []storage.RefreshToken{{ID: storage.DigestOf(id), GrantID: id, ExpiresAt: start.Add(time.Hour)}},
	}
}

func accessToken(n int) storage.AccessToken {
	id := fmt.Sprintf("grant %d", n)
	return storage.AccessToken{
		ID: storage.DigestOf(id), GrantID: id, Scopes: []string{"openid"}, Audience: []string{"http://api.example"},
		IssuedAt: start, ExpiresAt: start.Add(time.Hour),
	}
}

func holdsExchange(t *testing.T, s *bolt.Store, n int) {
	t.Helper()
	id := storage.DigestOf(fmt.Sprintf("grant %d", n))
	_, _, codeErr := s.Code(t.Context(), id)
	_, _, accessErr := s.AccessToken(t.Context(), id)
	_, _, refreshErr := s.RefreshToken(t.Context(), id)
	if err := errors.Join(codeErr, accessErr, refreshErr); err != nil {
		t.Errorf("exchange %d: %v", n, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ours := func(t *testing.T, path string) {
		t.Helper()
		if err := reopen(t, path, nil).Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"a newer schema", func(t *testing.T, path string) {
			t.Helper()
			ours(t, path)
			setSchema(t, path, "7")
		}, "written by a newer version of the program (schema 7, this one knows 6)"},
		{"a schema that is no number", func(t *testing.T, path string) {
			t.Helper()
			ours(t, path)
			setSchema(t, path, "x")
		}, "not a store of this program"},
		{"another program's database", func(t *testing.T, path string) {
			t.Helper()
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}, "not a store of this program"},
		{"what is no database", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(strings.Repeat("hello\n", 10_000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "invalid database"},
		{"a directory", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "op.db")
			test.make(t, path)
			before, _ := os.ReadFile(path)
			for range 2 { // a refusal leaves no lock behind
				_, err := bolt.Open(path, nil)
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got error %v, want one of %s with %q", err, path, test.want)
				}
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("a missing directory", func(t *testing.T) {
		_, err := bolt.Open(filepath.Join(t.TempDir(), "none", "op.db"), nil)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
		}
	})
}

func setSchema(t *testing.T, path, version string) {
	t.Helper()
	if err := bolt.SetSchema(path, version); err != nil {
		t.Fatal(err)
	}
}
