package native_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/native"
)

var saved = &native.Result{
	Issuer: "https://op.example", ClientID: "native", Subject: "alice-1", Claims: map[string]any{"sub": "alice-1"},
	Tokens: native.Tokens{Access: "secret-1", Type: "Bearer", Refresh: "secret-2", Expiry: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
}

func TestSave(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, path string)
	}{
		{"new file", func(*testing.T, string) {}},
		{"world-readable file", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"link to a world-readable file", func(t *testing.T, path string) {
			t.Helper()
			other := filepath.Join(t.TempDir(), "other")
			if err := os.WriteFile(other, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(other, path); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if data, err := os.ReadFile(other); err != nil || string(data) != "old" {
					t.Errorf("the link was followed: %q, %v", data, err)
				}
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "tokens.json")
			tt.before(t, path)
			if err := native.Save(path, saved); err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got native.Result
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(saved, &got); diff != "" {
				t.Error(diff)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestSaveNowhere(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no such folder": filepath.Join(dir, "no", "tokens.json"), "a folder": dir} {
		if err := native.Save(path, saved); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestTokensStayOutOfLogs(t *testing.T) {
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, nil))
	logger.Info("signed in", "result", saved)
	fmt.Fprintf(&out, "%v %+v %#v %s", saved.Tokens, *saved, saved.Tokens, saved.Tokens)
	if strings.Contains(out.String(), "secret") {
		t.Error(out.String())
	}
}

func TestName(t *testing.T) {
	for want, claims := range map[string]map[string]any{
		"Alice":     {"name": "Alice", "email": "a@example.com"},
		"alice":     {"name": "", "preferred_username": "alice"},
		"a@b.test":  {"name": 7, "email": "a@b.test"},
		"subject-1": {},
	} {
		if got := (&native.Result{Subject: "subject-1", Claims: claims}).Name(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
