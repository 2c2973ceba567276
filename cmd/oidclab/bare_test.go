package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/load"
)

// BenchmarkBesideBare runs each operation against the provider and against a server that
// checks nothing (testdata/bare), in turn, so that a busy hour slows both. What it costs
// beyond that server is what it does; nothing in Go, on net/http and bbolt, costs less.
// Each round takes some seconds. The metrics are medians.
func BenchmarkBesideBare(b *testing.B) {
	program, bare := build(b, "."), build(b, "testdata/bare")
	for _, run := range []struct {
		name, client, alg string
		operation         load.Operation
	}{
		{"flows/RS256", "bench", "RS256", load.Flows},
		{"flows/ES256", "bench-es256", "ES256", load.Flows},
		{"refresh/ES256", "bench-es256", "ES256", load.Refresh},
		{"client-credentials", "bench-es256", "ES256", load.ClientCredentials},
		{"introspection", "bench-es256", "ES256", load.Introspection},
	} {
		b.Run(run.name, func(b *testing.B) {
			var all []besideBare
			for b.Loop() {
				all = append(all, besideBare{
					ours: underLoad(b, run.client, run.operation, program, func(addr, dir string) []string {
						return []string{"serve", "--listen", addr, "--config", "../../testdata/bench.yaml", "--data", dir, "--log-level", "error"}
					}),
					bare: underLoad(b, run.client, run.operation, bare, func(addr, dir string) []string { return []string{addr, dir, run.alg} }),
				})
			}
			b.ReportMetric(0, "ns/op") // says nothing
			b.ReportMetric(median(all, func(m besideBare) float64 { return float64(m.ours.ServerCPU) / float64(m.bare.ServerCPU) }), "server-CPU/bare")
			b.ReportMetric(median(all, func(m besideBare) float64 { return m.ours.Rate / m.bare.Rate }), "rate/bare")
			b.ReportMetric(median(all, func(m besideBare) float64 { return float64(m.ours.P99) / float64(m.bare.P99) }), "p99/bare")
			b.ReportMetric(median(all, func(m besideBare) float64 { return m.ours.Ratios.UnderLoad }), "RSA-signatures")
			b.ReportMetric(median(all, func(m besideBare) float64 { return m.bare.Ratios.UnderLoad }), "RSA-signatures-bare")
		})
	}
}

// besideBare is one round.
type besideBare struct{ ours, bare *load.Result }

// underLoad starts a server and measures one operation.
func underLoad(b *testing.B, client string, operation load.Operation, program string, args func(addr, dir string) []string) *load.Result {
	b.Helper()
	dir := b.TempDir()
	s := start(b, program, func(addr string) []string { return args(addr, dir) })
	defer s.stop(b)
	s.answers(b)
	report, err := load.Run(b.Context(), load.Config{
		Issuer: s.url, ClientID: client, ClientSecret: "bench-secret-bench-secret-bench-secret", AuthMethod: load.AuthBasic,
		RedirectURI: "http://localhost:3000/callback", Username: "alice", Password: "alice", Scopes: []string{"openid", "offline_access"},
		Operations: []load.Operation{operation}, Concurrency: 16, TokenConcurrency: 64, Warmup: time.Second, Duration: 3 * time.Second,
		Processors: max(1, runtime.NumCPU()/2), Dir: dir, ServerPID: s.command.Process.Pid,
	})
	if err != nil {
		b.Fatal(err)
	}
	if report.Failed() > 0 {
		b.Fatalf("%d failed: %+v", report.Failed(), report.Results[0].Failures)
	}
	return report.Results[0]
}
