package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// fleetConfig is the configuration of all replicas. The hash is that of "alice"
// at a test cost.
const fleetConfig = `
clients:
- client_id: spa
  token_endpoint_auth_method: none
  redirect_uris: [` + providertest.RedirectURI + `]
  post_logout_redirect_uris: [` + providertest.PostLogoutRedirectURI + `]
  grant_types: [authorization_code, refresh_token]
  id_token_signed_response_alg: ES256
  audience: ["https://api.example"]
  skip_consent: true
- client_id: consenting
  token_endpoint_auth_method: none
  redirect_uris: [` + providertest.RedirectURI + `]
  post_logout_redirect_uris: [` + providertest.PostLogoutRedirectURI + `]
  grant_types: [authorization_code, refresh_token]
  id_token_signed_response_alg: ES256
  audience: ["https://api.example"]
- client_id: machine
  client_secret: machine-secret-machine-secret-machine-secret
  token_endpoint_auth_method: client_secret_basic
  grant_types: [client_credentials]
  resource_server: https://api.example
users:
- username: alice
  password_hash: $argon2id$v=19$m=8,t=1,p=1$b2lkY2xhYi1iZW5jaC0wMQ$VSFyy7Kno3AHNIyTOnoMD7cYiB0yS4KZRjUDXFpeYqE
  claims: {sub: alice-1}
`

// fleet are replicas of the provider: processes of their own, one database, and
// a proxy before them that gives each request to the next.
type fleet struct {
	*testing.T
	issuer   string
	replicas []*replica
	next     atomic.Int64

	mu sync.Mutex
	// served has the replicas that a path came to.
	served map[string]map[*replica]bool
}

type replica struct {
	line    readyLine
	process *os.Process
	proxy   *httputil.ReverseProxy
	dead    atomic.Bool
	ended   chan struct{}
	errors  bytes.Buffer // to be read when it has ended
}

// startFleet starts the replicas, all at once.
func startFleet(t *testing.T, size int) *fleet {
	t.Helper()
	f := &fleet{T: t, served: map[string]map[*replica]bool{}}
	database := postgrestest.URL(t)
	proxy := httptest.NewServer(f)
	t.Cleanup(proxy.Close)
	f.issuer = proxy.URL
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(fleetConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := make([]chan readyLine, size)
	for i := range ready {
		ready[i] = make(chan readyLine, 1)
		f.replicas = append(f.replicas, f.start(database, config, ready[i]))
	}
	for i, r := range f.replicas {
		select {
		case r.line = <-ready[i]:
		case <-r.ended:
			t.Fatalf("replica %d ended: %s", i, &r.errors)
		}
		to := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(r.line.Port))}
		r.proxy = &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); p.Out.Host = p.In.Host },
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				r.dead.Store(true)
				w.WriteHeader(http.StatusBadGateway)
			},
		}
	}
	return f
}

// start starts one replica, which ends with the test.
func (f *fleet) start(database, config string, ready chan<- readyLine) *replica {
	f.Helper()
	r := &replica{ended: make(chan struct{})}
	cmd := exec.CommandContext(context.WithoutCancel(f.Context()), "oidclab", "serve", "--listen", "127.0.0.1:0",
		"--issuer", f.issuer, "--config", config, "--control", "127.0.0.1:0", "--ready-json", "--log-level", "error")
	cmd.Env = append(os.Environ(), "OIDCLAB_STORE="+database)
	output, err := cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	cmd.Stderr = &r.errors
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	r.process = cmd.Process
	go func() {
		defer close(r.ended)
		var line readyLine
		if json.NewDecoder(output).Decode(&line) == nil {
			ready <- line
		}
		_, _ = io.Copy(io.Discard, output)
		_ = cmd.Wait()
	}()
	f.Cleanup(func() {
		_ = r.process.Signal(syscall.SIGINT)
		<-r.ended
		if f.Failed() && r.errors.Len() > 0 {
			f.Logf("a replica: %s", &r.errors)
		}
	})
	return r
}

// ServeHTTP gives each request to the next replica that lives.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for range f.replicas {
		chosen := f.replicas[int(f.next.Add(1))%len(f.replicas)]
		if chosen.dead.Load() {
			continue
		}
		f.mu.Lock()
		if f.served[r.URL.Path] == nil {
			f.served[r.URL.Path] = map[*replica]bool{}
		}
		f.served[r.URL.Path][chosen] = true
		f.mu.Unlock()
		chosen.proxy.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// kill ends a replica as a crash does.
func (r *replica) kill() {
	_ = r.process.Kill()
	<-r.ended
}

// reply is what the provider answered.
type reply struct {
	status int
	body   map[string]any
	raw    string
	target *url.URL // of a redirect
}

func (a reply) text(member string) string {
	s, _ := a.body[member].(string)
	return s
}

// send sends a form to the provider, or gets a page if there is none. It may be
// called from any goroutine.
func (f *fleet) send(client *http.Client, path string, form url.Values, header http.Header) (a reply, err error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, f.issuer+path, body)
	if err != nil {
		return a, err
	}
	maps.Copy(req.Header, header)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.status, a.raw = resp.StatusCode, string(raw)
	_ = json.Unmarshal(raw, &a.body) // a page is no JSON
	a.target, _ = resp.Location()
	return a, nil
}

// must sends a form or gets a page, and wants a status.
func (f *fleet) must(want int, path string, form url.Values, header http.Header) reply {
	f.Helper()
	a, err := f.send(http.DefaultClient, path, form, header)
	if err != nil || a.status != want {
		f.Fatalf("%s: %d %s, %v; want %d", path, a.status, a.raw, err, want)
	}
	return a
}

// published are the "kid"s in the JWKS of one replica.
func (f *fleet) published(i int) map[string]bool {
	f.Helper()
	var set struct {
		Keys []struct{ Kid string }
	}
	f.direct(http.MethodGet, "http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(f.replicas[i].line.Port))+"/jwks", "", &set)
	kids := map[string]bool{}
	for _, key := range set.Keys {
		kids[key.Kid] = true
	}
	return kids
}

// rotate rotates the keys at the control plane of one replica.
func (f *fleet) rotate(i int, command string) {
	f.Helper()
	var answer keysAnswer
	f.direct(http.MethodPost, f.replicas[i].line.Control+"/keys/rotate", command, &answer)
	if !answer.Changed {
		f.Errorf("rotation at replica %d: nothing changed", i)
	}
}

// direct asks one replica, past the proxy.
func (f *fleet) direct(method, target, body string, answer any) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, target, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(raw, answer) != nil {
		f.Fatalf("%s: %d %s, %v", target, resp.StatusCode, raw, err)
	}
}

// inStead is a client with a browser's cookies, which follows no redirect and
// fails no test.
func (f *fleet) inStead(browser *providertest.Browser) *http.Client {
	f.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.Fatal(err)
	}
	issuer, err := url.Parse(f.issuer)
	if err != nil {
		f.Fatal(err)
	}
	jar.SetCookies(issuer, browser.Cookies(f.issuer))
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
