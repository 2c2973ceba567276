package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/clients/native"
	"github.com/oidclab/oidclab/provider/localtls"
)

// overTLS makes a lab speak https, certified by the local CA.
func overTLS(t *testing.T) func(*lab.Config) {
	t.Helper()
	return func(c *lab.Config) {
		cert, err := localCA.Issue(append(lab.HostNames(c.Layout, c.OPHost), "localhost", "127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		// The CA goes along, because browsertest's browser looks for it there.
		cert.Certificate = append(cert.Certificate, localCA.Certificate.Raw)
		c.TLS, c.RootCAs = localtls.ServerConfig(cert), authorities
	}
}

// authorities are the local CA alone.
func authorities() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(localCA.Certificate)
	return pool
}

// TestWholeLifeOverTLS is TestWholeLifeOfASignIn over https, where the
// provider's cookies have the protection that plain http cannot give them.
func TestWholeLifeOverTLS(t *testing.T) {
	l := start(t, overTLS(t))
	if !strings.HasPrefix(l.Issuer(), "https://op.lab.localhost:") {
		t.Fatalf("issuer %s", l.Issuer())
	}
	for _, client := range append(browserClients, browserClient{"pkce", "#renew-silent"}) {
		t.Run(client.name+client.renew, func(t *testing.T) {
			tab := browsertest.Open(t)
			username := "alice"
			if client.renew != "#renew" {
				username = "bob" // whom this client has not asked for consent yet
			}
			l.signIn(tab, client.name, username)
			tab.WaitText("#who", username)
			tab.WaitText("#id-token", l.Issuer(), client.name)
			checkHostCookies(t, tab, client.name)

			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)
			tab.Click(client.renew)
			tab.Wait(`body[data-renewals="1"]`)
			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)

			tab.Click("#signout")
			tab.WaitURL(l.Origin(client.name))
			tab.Wait(`body[data-state="signed-out"]`)
			l.wantNoSession(tab)
		})
	}
}

// checkHostCookies: the provider's session and the BFF's are bound to their
// host, and nothing is sent over plain http.
func checkHostCookies(t *testing.T, tab *browsertest.Tab, client string) {
	t.Helper()
	want := map[string]network.CookieSameSite{"op.lab.localhost __Host-op_session": network.CookieSameSiteNone}
	if client == "bff" {
		want["bff.lab.localhost __Host-bff"] = network.CookieSameSiteStrict
	}
	cookies := tab.Cookies()
	for name, sameSite := range want {
		if c := cookies[name]; c == nil || !c.Secure || !c.HTTPOnly || c.Path != "/" || c.SameSite != sameSite {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for name, c := range cookies {
		if !c.Secure || !strings.Contains(name, " __Host-") {
			t.Errorf("%s lacks the protection that https can give", name)
		}
	}
}

// TestCommandLineOverTLS: the program believes whom it is told to, directly and
// through the backend, and nobody else.
func TestCommandLineOverTLS(t *testing.T) {
	l := start(t, overTLS(t))
	for name, config := range map[string]native.Config{
		"direct": {Issuer: l.Issuer()}, "via": {Via: l.Origin("frontenddriven-backend")},
	} {
		t.Run(name, func(t *testing.T) {
			visit := make(chan string, 1)
			config.Open = func(_ context.Context, url string) error { visit <- url; return nil }
			config.RootCAs = x509.NewCertPool()
			_, err := native.Login(t.Context(), config)
			if err == nil || !strings.Contains(err.Error(), "unknown authority") {
				t.Errorf("with no authority: %v", err)
			}
			config.RootCAs = authorities()
			done := make(chan error, 1)
			go func() {
				result, err := native.Login(t.Context(), config)
				if err == nil && result.Name() != "Alice Liddell" {
					t.Errorf("signed in as %q", result.Name())
				}
				done <- err
			}()
			tab := browsertest.Open(t)
			select {
			case url := <-visit:
				tab.Navigate(url)
			case err := <-done:
				t.Fatal(err)
			}
			l.login(tab, "alice", "alice")
			tab.Click("#allow")
			tab.WaitURL("http://127.0.0.1:")
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTLSAtEveryListener: no party speaks an old version, a weak suite or plain
// http, in either layout.
func TestTLSAtEveryListener(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			r := start(t, func(c *lab.Config) {
				c.Layout, c.AnyPorts = layout, true
				overTLS(t)(c)
			})
			for _, p := range r.Parties() {
				host, isTLS := strings.CutPrefix(p.Origin, "https://")
				if !isTLS {
					t.Errorf("%s is at %s", p.Name, p.Origin)
				}
				got := r.get(t, p.Origin+"/", "")
				if got.TLS == nil || got.TLS.Version != tls.VersionTLS13 || got.ProtoMajor != 2 {
					t.Errorf("%s: %s, %+v", p.Name, got.Proto, got.TLS)
				}
				// It would outlive the lab, and the next one may speak http.
				if hsts := got.Header.Get("Strict-Transport-Security"); hsts != "" {
					t.Errorf("%s: Strict-Transport-Security %q", p.Name, hsts)
				}
				plain := r.get(t, "http://"+host+"/", "")
				if plain.StatusCode != http.StatusBadRequest || !strings.Contains(plain.body, "sent an HTTP request to an HTTPS server") {
					t.Errorf("%s over http: %d %s", p.Name, plain.StatusCode, plain.body)
				}
				name, _, _ := strings.Cut(host, ":")
				for what, config := range map[string]*tls.Config{
					"TLS 1.1":      {MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11},
					"CBC":          {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
					"":             {MaxVersion: tls.VersionTLS12},
					"another name": {ServerName: "another.localhost"},
				} {
					if config.ServerName == "" {
						config.ServerName = name
					}
					config.RootCAs = authorities()
					conn := tls.Client(dial(t, "127.0.0.1:"+port(t, p.Origin)), config)
					if err := conn.HandshakeContext(t.Context()); (err == nil) != (what == "") {
						t.Errorf("%s with %q: %v", p.Name, what, err)
					}
				}
			}
			if metadata := r.get(t, r.Issuer()+discovery, ""); metadata.issuer(t) != r.Issuer() || strings.Contains(metadata.body, "http://") {
				t.Errorf("metadata: %s", metadata.body)
			}
			if page := r.get(t, r.HomeURL(), "").body; strings.Contains(page, "http://") {
				t.Error("the home page speaks of http")
			}
		})
	}
}

// TestBelievesOnlyItsAuthorities: the parties' own calls check certificates.
func TestBelievesOnlyItsAuthorities(t *testing.T) {
	for name, tt := range map[string]struct {
		roots func() *x509.CertPool
		good  bool
	}{
		"nobody":        {x509.NewCertPool, false},
		"the certifier": {authorities, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *lab.Config) {
				overTLS(t)(c)
				c.RootCAs = tt.roots
			})
			r.client.Transport = loopback.Trusting(authorities()) // the test itself does
			got := r.get(t, r.Origin("bff")+"/login", "")         // it asks for the provider's metadata
			if good := got.StatusCode < 500; good != tt.good {
				t.Errorf("status %d to %q", got.StatusCode, got.Header.Get("Location"))
			}
		})
	}
}
