package lab_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider"
)

// running is a lab that serves, and a client that reaches its hosts and
// follows no redirect.
type running struct {
	*lab.Lab
	stop   func() // ends Serve and closes the lab; t.Cleanup calls it if the test does not
	client *http.Client
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var config net.ListenConfig
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// start runs a lab on a port of the system's choice.
func start(t *testing.T, configure func(*lab.Config)) *running {
	t.Helper()
	cfg := lab.Config{Listener: listen(t), DataDir: t.TempDir(), NoSync: true, Provider: provider.Config{Explain: true}}
	if configure != nil {
		configure(&cfg)
	}
	l, err := lab.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	transport := loopback.Transport()
	if cfg.RootCAs != nil {
		transport = loopback.Trusting(cfg.RootCAs())
	}
	r := &running{Lab: l, client: &http.Client{
		Transport:     transport,
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// get sends GET to the URL, with another Host if host is not empty.
func (r *running) get(t *testing.T, target, host string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	return r.do(t, req)
}

func (r *running) do(t *testing.T, req *http.Request) answer {
	t.Helper()
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// issuer is the issuer that the provider's metadata names.
func (a answer) issuer(t *testing.T) string {
	t.Helper()
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal([]byte(a.body), &metadata); err != nil {
		t.Fatalf("metadata: status %d, %v", a.StatusCode, err)
	}
	return metadata.Issuer
}

const discovery = "/.well-known/openid-configuration"

func port(t *testing.T, origin string) string {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func TestPartiesAnswer(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			r := start(t, func(c *lab.Config) { c.Layout, c.AnyPorts = layout, true })
			if got := r.get(t, r.Issuer()+discovery, "").issuer(t); got != r.Issuer() {
				t.Errorf("issuer %q, want %q", got, r.Issuer())
			}
			marks := map[string]string{
				"home": "One login, five architectures", "implicit": "Implicit", "pkce": "PKCE",
				"bff": "BFF", "frontenddriven": "Frontend-driven", "api": "Resource server",
			}
			seen := map[string]bool{}
			for _, p := range r.Parties() {
				if seen[p.Origin] {
					t.Errorf("two parties at %s", p.Origin)
				}
				seen[p.Origin] = true
				got := r.get(t, p.Origin+"/", "")
				if mark, ok := marks[p.Name]; ok && (got.StatusCode != http.StatusOK || !strings.Contains(got.body, mark)) {
					t.Errorf("%s at %s: status %d, %q not in its page", p.Name, p.Origin, got.StatusCode, mark)
				}
			}
			if len(seen) != 8 {
				t.Errorf("%d parties, want 8", len(seen))
			}
			got := r.get(t, r.Origin("api")+"/api/me", "")
			if got.StatusCode != http.StatusUnauthorized {
				t.Errorf("the API without a token: status %d", got.StatusCode)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	tests := []struct {
		name string
		edit func(*lab.Config)
		want string
	}{
		{"no listener", func(c *lab.Config) { c.Listener = nil }, "Listener and DataDir must be set"},
		{"no directory", func(c *lab.Config) { c.DataDir = "" }, "Listener and DataDir must be set"},
		{"layout", func(c *lab.Config) { c.Layout = "rows" }, `layout "rows" is neither "hosts" nor "ports"`},
		{"host and ports", func(c *lab.Config) { c.Layout, c.OPHost = lab.Ports, "op.idp.localhost" }, "no host of its own"},
		{"not localhost", func(c *lab.Config) { c.OPHost = "op.example.com" }, `"op.example.com" is no lower-case name below localhost`},
		{"with a port", func(c *lab.Config) { c.OPHost = "op.localhost:80" }, "no lower-case name"},
		{"with a path", func(c *lab.Config) { c.OPHost = "op.localhost/x.localhost" }, "no lower-case name"},
		{"capitals", func(c *lab.Config) { c.OPHost = "OP.localhost" }, "no lower-case name"},
		{"empty label", func(c *lab.Config) { c.OPHost = "op..localhost" }, "no lower-case name"},
		{"another party's", func(c *lab.Config) { c.OPHost = "bff.lab.localhost" }, "is the host of bff"},
		{"the home page's", func(c *lab.Config) { c.OPHost = "lab.localhost" }, "is the host of home"},
		{"directory is not there", func(c *lab.Config) { c.DataDir += "/nowhere" }, "nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := lab.Config{Listener: listen(t), DataDir: t.TempDir(), NoSync: true}
			tt.edit(&cfg)
			l, err := lab.New(t.Context(), cfg)
			if err == nil {
				_ = l.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
		})
	}
}

func TestProviderOnAnotherSite(t *testing.T) {
	r := start(t, func(c *lab.Config) { c.OPHost = "op.idp.localhost" })
	if want := "http://op.idp.localhost:" + port(t, r.HomeURL()); r.Issuer() != want {
		t.Errorf("issuer %q, want %q", r.Issuer(), want)
	}
	if got := r.get(t, r.Issuer()+discovery, "").issuer(t); got != r.Issuer() {
		t.Errorf("metadata of issuer %q", got)
	}
	if page := r.get(t, r.HomeURL(), "").body; !strings.Contains(page, "third-party cookie") {
		t.Error("the home page does not say what the other site does to silent renewal")
	}
}

// The parties reach each other also where the lab listens on one address that
// localhost does not mean first.
func TestOtherLoopbackAddress(t *testing.T) {
	for _, address := range []string{"[::1]:0", "127.0.0.2:0"} {
		t.Run(address, func(t *testing.T) {
			var config net.ListenConfig
			ln, err := config.Listen(t.Context(), "tcp", address)
			if err != nil {
				t.Skipf("this machine has no such address: %v", err) // IPv6 is off in many containers
			}
			r := start(t, func(c *lab.Config) { c.Listener = ln })
			r.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, ln.Addr().String())
			}
			got := r.get(t, r.Origin("bff")+"/login", "") // needs the provider's metadata
			if location := got.Header.Get("Location"); !strings.HasPrefix(location, r.Issuer()+"/authorize?") {
				t.Errorf("status %d to %q", got.StatusCode, location)
			}
		})
	}
}
