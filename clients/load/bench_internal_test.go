package load

import (
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// BenchmarkOperations is one worker against our provider in the same process: what
// both use together, but without waiting for a disk.
func BenchmarkOperations(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		op, wire, cfg := benchProvider(b, alg)
		for _, operation := range Operations() {
			if alg == "RS256" && (operation == ClientCredentials || operation == Introspection) {
				continue // they sign nothing
			}
			b.Run(string(operation)+"/"+alg, func(b *testing.B) {
				w := newWorker(cfg, op, wire)
				b.ReportAllocs()
				for b.Loop() {
					err := w.prepare(operation)
					if err == nil {
						err = w.once(operation)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func benchProvider(b *testing.B, alg string) (*remote, *wire, *Config) {
	b.Helper()
	const redirectURI = "http://rp.localhost:1/callback"
	op := providertest.Start(b, &providertest.Options{
		Clients: []provider.Client{{
			ID: "bench", Secret: providertest.ConfidentialSecret, RedirectURIs: []string{redirectURI}, AccessTokenFormat: "opaque", SkipConsent: true,
			GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}, IDTokenSignedResponseAlg: alg,
		}},
		Users: []provider.User{{
			Username: "alice", Claims: map[string]any{"sub": "alice-1"}, // a test cost: see testdata/bench.yaml
			PasswordHash: "$argon2id$v=19$m=8,t=1,p=1$b2lkY2xhYi1iZW5jaC0wMQ$VSFyy7Kno3AHNIyTOnoMD7cYiB0yS4KZRjUDXFpeYqE",
		}},
	})
	if err := op.Provider.Ready(b.Context()); err != nil { // keys are not what is measured
		b.Fatal(err)
	}
	cfg := &Config{
		Issuer: op.URL(), ClientID: "bench", ClientSecret: providertest.ConfidentialSecret, AuthMethod: AuthBasic, RedirectURI: redirectURI,
		Username: "alice", Password: "alice", Scopes: []string{"openid", "offline_access"}, Concurrency: 1, Duration: time.Second,
	}
	if err := cfg.check(); err != nil {
		b.Fatal(err)
	}
	wire := newWire(cfg)
	b.Cleanup(wire.close)
	found, err := discover(b.Context(), wire, cfg)
	if err != nil {
		b.Fatal(err)
	}
	return found, wire, cfg
}
