package load_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/load"
)

func example() *load.Report {
	return &load.Report{
		Issuer: "http://localhost:8080", ClientID: "bench", ServerMemory: 30 << 20,
		Limits: &load.Limits{
			RSA: 850 * time.Microsecond, ECDSA: 30 * time.Microsecond, Commit: 350 * time.Microsecond, Dir: "/data",
			Exchanges: map[int]float64{64: 20000, 16: 10000},
		},
		Results: []*load.Result{{
			Operation: load.Flows, Concurrency: 16, Done: 9000, Failed: 2, Rate: 900,
			P50: 15 * time.Millisecond, P95: 20 * time.Millisecond, P99: 30 * time.Millisecond, Max: 123 * time.Millisecond,
			Exchanges: 4, ServerCPU: 1020 * time.Microsecond, ClientCPU: 300 * time.Microsecond, ServerMemory: 40 << 20,
			Ratios:   load.Ratios{RSASignatures: 1.2, UnderLoad: 1.1, HTTPLimit: 0.36, PerCommit: 0.315},
			Failures: []load.FailureCount{{Kind: "status 503 at token (code)", Count: 1}, {Kind: "no form at GET /\x1b[2J", Count: 1, First: `a "page"`}, {Kind: "no form at GET /\x9b2J", Count: 1}},
		}},
		Skipped: map[load.Operation]string{load.Introspection: "the metadata has no introspection_endpoint"},
	}
}

const table = `This machine, in this run:

  RSA-2048 signature  0.85 ms  one core
  ES256 signature     0.03 ms  one core
  synced commit       0.35 ms  two writes, each of which waits for the disk, in /data
  HTTP limit          10000/s  16 exchanges at once with a trivial handler in this process
  HTTP limit          20000/s  64 exchanges at once with a trivial handler in this process
  server memory       30 MiB   before the run

  operation  at once  done  errors  per second    p50    p95    p99     max
      flows       16  9000       2         900  15 ms  20 ms  30 ms  123 ms

  of one  server CPU  in RSA signatures  under load  client CPU  exchanges  of the HTTP limit  per commit  server memory
   flows     1.02 ms               1.20        1.10      0.3 ms        4.0                36%        0.32         40 MiB

flows: 1 × status 503 at token (code)

flows: 1 × "no form at GET /\x1b[2J"
  the first: a "page"

flows: 1 × "no form at GET /\x9b2J"

introspection: not measured: the metadata has no introspection_endpoint
`

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := example().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSON(t *testing.T) {
	data, err := json.Marshal(example())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"per_second":900`, `"p99_ns":30000000`, `"server_cpu_in_rsa_2048_signatures":1.2`, `"rsa_2048_signature_ns":850000`,
		`"http_exchanges_per_second":{"16":10000,"64":20000}`, `{"kind":"status 503 at token (code)","count":1}`, `"stopped":false`,
	} {
		if !strings.Contains(string(data), part) {
			t.Errorf("no %s in %s", part, data)
		}
	}
}
