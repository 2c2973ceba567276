package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/storage"
)

func TestPortsFollowTheFirst(t *testing.T) {
	for try := range 20 { // another program may hold one of the eight
		ln := listen(t)
		l, err := lab.New(t.Context(), lab.Config{Listener: ln, Layout: lab.Ports, DataDir: t.TempDir(), NoSync: true})
		if errors.Is(err, syscall.EADDRINUSE) && try < 19 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		for i, p := range l.Parties() {
			if want := "http://localhost:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port+i); p.Origin != want {
				t.Errorf("%s at %s, want %s", p.Name, p.Origin, want)
			}
		}
		return
	}
}

// at is a listener whose address is not its own.
type at struct {
	net.Listener
	addr *net.TCPAddr
}

func (a at) Addr() net.Addr { return a.addr }

func TestPortInUse(t *testing.T) {
	blocker := listen(t)
	taken := blocker.Addr().(*net.TCPAddr)
	first := at{listen(t), &net.TCPAddr{IP: taken.IP, Port: taken.Port - 1}}
	_, err := lab.New(t.Context(), lab.Config{Listener: first, Layout: lab.Ports, DataDir: t.TempDir(), NoSync: true})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), strconv.Itoa(taken.Port)+" is in use") {
		t.Errorf("error %v, want that port %d is in use", err, taken.Port)
	}
	assertOpen(t, first.Listener)
}

func TestPortsEnd(t *testing.T) {
	last := at{listen(t), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 65535}}
	_, err := lab.New(t.Context(), lab.Config{Listener: last, Layout: lab.Ports, DataDir: t.TempDir(), NoSync: true})
	if err == nil || !strings.Contains(err.Error(), "the last port is 65535") {
		t.Errorf("error %v", err)
	}
}

// assertOpen fails if the listener was closed.
func assertOpen(t *testing.T, ln net.Listener) {
	t.Helper()
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Errorf("the caller's listener was closed: %v", err)
	}
}

func TestRestartKeepsKeysAndSecrets(t *testing.T) {
	dir := t.TempDir()
	inDir := func(c *lab.Config) { c.DataDir = dir }
	r := start(t, inDir)
	for r.get(t, r.Issuer()+"/readyz", "").StatusCode != http.StatusOK { // the first keys take a moment
		continue
	}
	keys := r.keyIDs(t)
	secretsFile := filepath.Join(dir, "lab-secrets.json")
	text, err := os.ReadFile(secretsFile)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(secretsFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	var secrets map[string]string
	if err := json.Unmarshal(text, &secrets); err != nil {
		t.Fatal(err)
	}
	for _, client := range []string{"bff", "frontenddriven", "api"} {
		if len(secrets[client]) != 43 { // 256 bits in base64url
			t.Errorf("the secret of %s has %d characters", client, len(secrets[client]))
		}
		if !r.authenticates(t, client, secrets[client]) {
			t.Errorf("the provider does not know %s by its secret", client)
		}
		if r.authenticates(t, client, "x"+secrets[client]) {
			t.Errorf("the provider takes another secret for %s", client)
		}
	}
	r.stop()

	again := start(t, inDir)
	if diff := cmp.Diff(keys, again.keyIDs(t)); diff != "" {
		t.Errorf("the keys changed:\n%s", diff)
	}
	if got, err := os.ReadFile(secretsFile); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the secrets changed: %v", err)
	}
	if !again.authenticates(t, "bff", secrets["bff"]) {
		t.Error("the provider forgot the secret")
	}
}

// keyIDs are the key IDs that the provider publishes, sorted.
func (r *running) keyIDs(t *testing.T) []string {
	t.Helper()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(r.get(t, r.Issuer()+"/jwks", "").body), &set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	return ids
}

// authenticates reports whether the provider accepts the client's secret: it
// then looks at the token, which it does not know.
func (r *running) authenticates(t *testing.T, client, secret string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.Issuer()+"/introspect", strings.NewReader("token=unknown"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(client, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(t, req).StatusCode != http.StatusUnauthorized
}

func TestSecondLabOnTheSameData(t *testing.T) {
	dir := t.TempDir()
	r := start(t, func(c *lab.Config) { c.DataDir = dir })
	ln := listen(t)
	began := time.Now()
	_, err := lab.New(t.Context(), lab.Config{Listener: ln, DataDir: dir})
	if !errors.Is(err, storage.ErrInUse) {
		t.Errorf("error %v, want %v", err, storage.ErrInUse)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
	assertOpen(t, ln)
	if got := r.get(t, r.HomeURL(), ""); got.StatusCode != http.StatusOK {
		t.Errorf("the first lab answers %d", got.StatusCode)
	}
}

// A directory in the place of a file makes that party's start fail. What was
// opened before must be closed: the next start finds nothing locked.
func TestFailureClosesWhatWasOpened(t *testing.T) {
	for _, file := range []string{"provider.db", "lab-secrets.json", "bff.db", "frontenddriven.db", "api.db"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			obstacle := filepath.Join(dir, file)
			if err := os.Mkdir(obstacle, 0o700); err != nil {
				t.Fatal(err)
			}
			ln := listen(t)
			cfg := lab.Config{Listener: ln, Layout: lab.Ports, AnyPorts: true, DataDir: dir, NoSync: true}
			if l, err := lab.New(t.Context(), cfg); err == nil {
				_ = l.Close()
				t.Fatal("no error")
			}
			assertOpen(t, ln)
			if err := os.Remove(obstacle); err != nil {
				t.Fatal(err)
			}
			l, err := lab.New(t.Context(), cfg)
			if err != nil {
				t.Fatalf("the next start: %v", err)
			}
			for range 2 {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestBrokenSecretsAreNotQuoted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lab-secrets.json"), []byte(`{"bff": x-secret-x}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := lab.New(t.Context(), lab.Config{Listener: listen(t), DataDir: dir, NoSync: true})
	if err == nil || !strings.Contains(err.Error(), "lab-secrets.json is not valid JSON") || strings.Contains(err.Error(), "x-sec") {
		t.Errorf("error %v", err)
	}
}

// The body of a request arrives only after the lab was told to stop: the
// request is answered nevertheless, and no new one is taken.
func TestStopLetsRequestsEnd(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			l, err := lab.New(t.Context(), lab.Config{Listener: listen(t), Layout: layout, AnyPorts: true, DataDir: t.TempDir(), NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- l.Serve(ctx) }()

			addr := "127.0.0.1:" + port(t, l.Issuer())
			conn := dial(t, addr)
			host := strings.TrimPrefix(l.Issuer(), "http://")
			send(t, conn, "POST /token HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\nExpect: 100-continue\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\n")
			continued := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
			if _, err := io.ReadFull(conn, continued); err != nil { // sent when the handler reads the body
				t.Fatal(err)
			}
			cancel()
			for refused := false; !refused; {
				var dialer net.Dialer
				probe, err := dialer.DialContext(t.Context(), "tcp", addr)
				if refused = err != nil; !refused {
					_ = probe.Close()
				}
			}
			send(t, conn, "grant_type=x")
			rest, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(rest), `"error"`) {
				t.Errorf("the request under way got %q, %v", rest, err)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func TestServeReportsADeadListener(t *testing.T) {
	ln := listen(t)
	l, err := lab.New(t.Context(), lab.Config{Listener: ln, DataDir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	_ = ln.Close()
	if err := l.Serve(t.Context()); err == nil {
		t.Error("no error")
	}
}
