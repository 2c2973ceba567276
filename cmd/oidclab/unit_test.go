package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage/bolt"
)

func TestVersionLine(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, tt := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"nothing known", debug.BuildInfo{GoVersion: "go1.26"}, "oidclab (devel), commit unknown, go1.26"},
		{"a release", debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}}, "oidclab v1.2.3, commit unknown, go1.26"},
		{"a checkout", debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{
			setting("vcs.revision", "abc"), setting("vcs.modified", "false"),
		}}, "oidclab (devel), commit abc, go1.26"},
		{"a changed checkout", debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{
			setting("vcs.modified", "true"), setting("vcs.revision", "abc"),
		}}, "oidclab (devel), commit abc with changes, go1.26"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := versionLine(&tt.info); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestIssuerAt(t *testing.T) {
	for _, tt := range []struct{ ip, listen, want string }{
		{"127.0.0.1", "127.0.0.1:8080", "http://localhost:8080"},
		{"127.0.0.1", "127.0.0.1:8443", "https://localhost:8443"},
		{"127.0.0.1", "127.0.0.1:443", "https://localhost"},
		{"127.0.0.1", "127.0.0.1:80", "http://localhost"},
		{"2001:db8::7", "[2001:db8::7]:80", "http://[2001:db8::7]"},
		{"127.0.0.1", "localhost:8080", "http://localhost:8080"},
		{"::1", "[::1]:8080", "http://localhost:8080"},
		{"::", ":8080", "http://localhost:8080"},
		{"0.0.0.0", "0.0.0.0:8080", "http://localhost:8080"},
		{"192.0.2.7", "192.0.2.7:8080", "http://192.0.2.7:8080"},
		{"2001:db8::7", "[2001:db8::7]:8080", "http://[2001:db8::7]:8080"},
		{"192.0.2.7", "op.example:8080", "http://op.example:8080"},
	} {
		scheme, _, _ := strings.Cut(tt.want, ":")
		_, port, _ := net.SplitHostPort(tt.listen)
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if got := issuerAt(scheme, &net.TCPAddr{IP: net.ParseIP(tt.ip), Port: number}, tt.listen); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.listen, got, tt.want)
		}
	}
}

// TestDurability: what the start says of the store is so.
func TestDurability(t *testing.T) {
	for _, o := range []storeOptions{
		{}, {durability: provider.Durable}, {dir: t.TempDir()}, {dir: t.TempDir(), durability: provider.Ephemeral},
	} {
		store, closeStore, err := (&app{}).openStore(t.Context(), &o)
		if err != nil {
			t.Fatal(err)
		}
		file, ok := store.(*bolt.Store)
		if !ok || file.Durable() != (o.keeping() == provider.Durable) {
			t.Errorf("%+v: said to be %s", o, o.keeping())
		}
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	}
}

func TestStateDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for name, tt := range map[string]struct{ xdg, want string }{
		"set":      {filepath.Join(home, "state"), filepath.Join(home, "state", "oidclab")},
		"unset":    {"", filepath.Join(home, ".local", "state", "oidclab")},
		"relative": {"state", filepath.Join(home, ".local", "state", "oidclab")}, // to be ignored, says XDG
	} {
		t.Run(name, func(t *testing.T) {
			if tt.xdg == "" || tt.xdg == "state" {
				if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
					t.Skip("the system has a place of its own")
				}
			}
			t.Setenv("XDG_STATE_HOME", tt.xdg)
			got, err := stateDir()
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, ".local")); err == nil {
		t.Error("asking for the directory made it")
	}
}
