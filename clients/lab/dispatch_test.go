package lab_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/lab"
)

func TestThisMachineLeadsHome(t *testing.T) {
	r := start(t, nil)
	p := port(t, r.HomeURL())
	for _, host := range []string{"localhost:" + p, "127.0.0.1:" + p, "[::1]:" + p, "LOCALHOST:" + p} {
		got := r.get(t, r.HomeURL()+"some/page", host)
		if got.StatusCode != http.StatusFound || got.Header.Get("Location") != r.HomeURL() {
			t.Errorf("%s: status %d to %q, want a redirect to %s", host, got.StatusCode, got.Header.Get("Location"), r.HomeURL())
		}
		if got := r.get(t, r.HomeURL()+"healthz", host); got.StatusCode != http.StatusOK {
			t.Errorf("%s/healthz: status %d", host, got.StatusCode)
		}
	}
}

func TestUnknownHost(t *testing.T) {
	r := start(t, nil)
	p := port(t, r.HomeURL())
	for _, host := range []string{
		"evil.localhost:" + p, "evil.example:" + p, "xop.lab.localhost:" + p, "op.lab.localhost.evil.example:" + p,
		"op.lab.localhost", "op.lab.localhost:1", "localhost", "localhost:1", "10.0.0.1:" + p, "op.lab.localhost.:" + p,
	} {
		got := r.get(t, r.Issuer()+discovery, host)
		if got.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: status %d, want 421", host, got.StatusCode)
		}
		if !strings.Contains(got.body, r.HomeURL()[:len(r.HomeURL())-1]+"\n") || !strings.Contains(got.body, r.Issuer()+"\n") {
			t.Errorf("%s: the page does not say which names exist:\n%s", host, got.body)
		}
	}
}

func TestForgedHostDoesNotReachTheIssuer(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			r := start(t, func(c *lab.Config) { c.Layout, c.AnyPorts = layout, true })
			want := r.get(t, r.Issuer()+discovery, "").body
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.Issuer()+discovery, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = strings.ToUpper(req.URL.Host)
			if layout == lab.Ports { // where no name is looked at
				req.Host = "evil.example"
			}
			req.Header.Set("X-Forwarded-Host", "evil.example")
			req.Header.Set("X-Forwarded-Proto", "https")
			req.Header.Set("Forwarded", "host=evil.example;proto=https")
			if got := r.do(t, req).body; got != want {
				t.Errorf("metadata differ by the request's headers:\n%s", got)
			}
		})
	}
}
