package load

import (
	"cmp"
	"slices"
	"time"
)

// Report is what was measured. Times are in nanoseconds in JSON.
type Report struct {
	Issuer   string  `json:"issuer"`
	ClientID string  `json:"client_id"`
	Limits   *Limits `json:"limits"`
	// ServerMemory is what the server held before the run, in bytes; zero if unknown.
	ServerMemory int64     `json:"server_resident_bytes,omitempty"`
	Results      []*Result `json:"results"`
	// Skipped are the operations that the provider does not offer, and why.
	Skipped map[Operation]string `json:"skipped,omitempty"`
	// Stopped says that the run was ended before its time.
	Stopped bool `json:"stopped"`
}

// Result is what was measured of one operation.
type Result struct {
	Operation   Operation     `json:"operation"`
	Concurrency int           `json:"concurrency"`
	Elapsed     time.Duration `json:"elapsed_ns"`
	Done        int64         `json:"done"`
	Failed      int64         `json:"failed"`
	Rate        float64       `json:"per_second"` // of those done
	P50         time.Duration `json:"p50_ns"`
	P95         time.Duration `json:"p95_ns"`
	P99         time.Duration `json:"p99_ns"`
	Max         time.Duration `json:"max_ns"`
	// GaveUp says that it ended before its time, because nothing succeeded any more.
	GaveUp bool `json:"gave_up,omitempty"`
	// Exchanges are how many HTTP exchanges one operation took.
	Exchanges float64 `json:"exchanges"`
	// ServerCPU and ClientCPU are the CPU time of one operation; zero if unknown.
	ServerCPU time.Duration `json:"server_cpu_ns,omitempty"`
	ClientCPU time.Duration `json:"client_cpu_ns,omitempty"`
	// ServerMemory is what the server holds at the end, in bytes; zero if unknown.
	ServerMemory int64 `json:"server_resident_bytes,omitempty"`
	// RSA is the CPU time of an RSA-2048 signature beside this load; zero if unknown.
	RSA    time.Duration `json:"rsa_2048_signature_under_load_ns,omitempty"`
	Ratios Ratios        `json:"ratios"`
	// Failures are those that came most often first.
	Failures []FailureCount `json:"failures,omitempty"`
}

// Ratios compare a result with the limits. Zero means that one of the two is
// unknown.
type Ratios struct {
	// RSASignatures is the server's CPU time of one operation in RSA-2048
	// signatures of the machine at rest, UnderLoad in those beside the load.
	RSASignatures float64 `json:"server_cpu_in_rsa_2048_signatures,omitempty"`
	UnderLoad     float64 `json:"server_cpu_in_rsa_2048_signatures_under_load,omitempty"`
	// HTTPLimit is the share of the exchanges that a trivial handler would have
	// answered.
	HTTPLimit float64 `json:"share_of_http_limit"`
	// PerCommit is how many operations were done in the time of one synced commit.
	// Where each needs one, more than 1 means that commits are shared.
	PerCommit float64 `json:"per_synced_commit"`
}

func newResult(operation Operation, concurrency int, elapsed time.Duration, t *tally) *Result {
	h := &t.latencies
	r := &Result{
		Operation: operation, Concurrency: concurrency, Elapsed: elapsed,
		Done: h.count, Failed: t.failed, Rate: float64(h.count) / elapsed.Seconds(),
		P50: h.quantile(0.50), P95: h.quantile(0.95), P99: h.quantile(0.99), Max: h.max,
	}
	for _, c := range t.failures {
		r.Failures = append(r.Failures, *c)
	}
	slices.SortFunc(r.Failures, func(a, b FailureCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return r
}

// perOperation notes what all of them used together. Failed ones count, too.
func (r *Result) perOperation(server, client usage, exchanges int64) {
	n := r.Done + r.Failed
	if n == 0 {
		return
	}
	r.Exchanges = float64(exchanges) / float64(n)
	if server.known {
		r.ServerCPU, r.ServerMemory = server.cpu/time.Duration(n), server.resident
	}
	if client.known {
		r.ClientCPU = client.cpu / time.Duration(n)
	}
}

// compare fills in the ratios to the limits.
func (r *Result) compare(l *Limits) {
	if l.RSA > 0 {
		r.Ratios.RSASignatures = float64(r.ServerCPU) / float64(l.RSA)
	}
	if r.RSA > 0 {
		r.Ratios.UnderLoad = float64(r.ServerCPU) / float64(r.RSA)
	}
	if limit := l.Exchanges[r.Concurrency]; limit > 0 {
		r.Ratios.HTTPLimit = r.Rate * r.Exchanges / limit
	}
	r.Ratios.PerCommit = r.Rate * l.Commit.Seconds()
}

// Done and Failed are how many operations succeeded and failed.
func (r *Report) Done() (n int64) {
	for _, result := range r.Results {
		n += result.Done
	}
	return n
}

// Failed is how many operations failed.
func (r *Report) Failed() (n int64) {
	for _, result := range r.Results {
		n += result.Failed
	}
	return n
}
