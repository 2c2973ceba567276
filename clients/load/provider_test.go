package load_test

import (
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/load"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// atProvider fits the default confidential client of a provider of the tests.
func atProvider(op *providertest.Server) load.Config {
	return load.Config{
		Issuer: op.URL(), ClientID: providertest.ConfidentialClient, ClientSecret: providertest.ConfidentialSecret, AuthMethod: load.AuthBasic,
		RedirectURI: providertest.RedirectURI, Username: "alice", Password: "alice", Scopes: []string{"openid", "offline_access"},
		Duration: 100 * time.Millisecond, Flows: 6, Concurrency: 2, Warmup: 50 * time.Millisecond, LimitTime: time.Millisecond,
	}
}

func TestAllAtProvider(t *testing.T) {
	report := run(t, atProvider(providertest.Start(t, nil)))
	if len(report.Results) != 4 || len(report.Skipped) != 0 {
		t.Fatalf("%d results, skipped %q", len(report.Results), report.Skipped)
	}
	for _, result := range report.Results {
		if result.Done == 0 || result.Failed != 0 || result.Rate <= 0 || result.P50 <= 0 || result.P99 < result.P50 || result.Max < result.P99 {
			t.Errorf("got %+v", result)
		}
	}
	if flows := report.Results[0]; flows.Done != 6 {
		t.Errorf("%d flows", flows.Done)
	}
	if report.Failed() != 0 || report.Done() < 9 || report.Stopped {
		t.Errorf("%d done, %d failed, stopped %t", report.Done(), report.Failed(), report.Stopped)
	}
}

// TestPublicClientAtProvider authenticates by nothing.
func TestPublicClientAtProvider(t *testing.T) {
	cfg := atProvider(providertest.Start(t, nil))
	cfg.ClientID, cfg.ClientSecret, cfg.AuthMethod = providertest.PublicClient, "", load.AuthNone
	cfg.Operations = []load.Operation{load.Flows, load.Refresh}
	for _, result := range run(t, cfg).Results {
		if result.Done == 0 || result.Failed != 0 {
			t.Errorf("got %+v", result)
		}
	}
}

func TestProviderRefuses(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Users: []provider.User{{Username: "carol", Password: "carol", Claims: map[string]any{"sub": "c"}}}})
	tests := []struct {
		kind   string
		first  string // how it begins
		change func(*load.Config)
	}{
		{"login refused", "is the password right? The form is there again with status 401; it says: The username or the password is wrong.", func(c *load.Config) { c.Password = "wrong" }},
		{"status 401 at token (code): invalid_client", "The client secret is wrong.", func(c *load.Config) { c.ClientSecret = "wrong" }},
		{"status 401 at token (code): invalid_client", "The client did not authenticate by the method that it registered.", func(c *load.Config) { c.AuthMethod = load.AuthPost }},
		{"status 400 at GET /authorize: invalid_request", "redirect_uri is not one that the client registered.", func(c *load.Config) { c.RedirectURI = "https://evil.example/" }},
	}
	for _, test := range tests {
		cfg := atProvider(op)
		cfg.Username, cfg.Password, cfg.Operations, cfg.Warmup = "carol", "carol", []load.Operation{load.Flows}, 0
		test.change(&cfg)
		flows := run(t, cfg).Results[0]
		if flows.Done != 0 || len(flows.Failures) != 1 || flows.Failures[0].Kind != test.kind || flows.Failures[0].Count != 6 {
			t.Fatalf("want %s, got %d done and %+v", test.kind, flows.Done, flows.Failures)
		}
		if first := flows.Failures[0].First; !strings.HasPrefix(first, test.first) {
			t.Errorf("%s: the first %q", test.kind, first)
		}
	}
	op.SetDown(true)
	if _, err := load.Run(t.Context(), atProvider(op)); err == nil {
		t.Error("a provider that is down is measured")
	}
}
