package load

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what was measured. Times are nanoseconds in JSON.
type Report struct {
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Limits   Limits    `json:"limits"`
	Results  []*Result `json:"results"`
}

// Result is what was measured of one operation.
type Result struct {
	Operation   Operation     `json:"operation"`
	Concurrency int           `json:"concurrency"`
	Elapsed     time.Duration `json:"elapsed_ns"`
	Done        int64         `json:"done"`
	Failed      int64         `json:"failed"`
	Rate        float64       `json:"rate"` // of those done, per second
	P50         time.Duration `json:"p50_ns"`
	P95         time.Duration `json:"p95_ns"`
	P99         time.Duration `json:"p99_ns"`
	Max         time.Duration `json:"max_ns"`
	// CPU time of one operation, failed ones included.
	ServerCPU time.Duration `json:"server_cpu_ns,omitempty"`
	ClientCPU time.Duration `json:"client_cpu_ns,omitempty"`
	// ServerMemory is what the server holds at the end, in bytes.
	ServerMemory int64          `json:"server_resident_bytes,omitempty"`
	Failures     []FailureCount `json:"failures,omitempty"`
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
	slices.SortFunc(r.Failures, func(a, b FailureCount) int { return int(b.Count - a.Count) })
	return r
}

// cpu notes what server and client used for all operations.
func (r *Result) cpu(server, client usage) {
	n := time.Duration(r.Done + r.Failed)
	if n == 0 {
		return
	}
	if server.known {
		r.ServerCPU, r.ServerMemory = server.cpu/n, server.resident
	}
	if client.known {
		r.ClientCPU = client.cpu / n
	}
}

func (r *Report) finish() {}

// Failed is how many operations failed.
func (r *Report) Failed() (n int64) {
	for _, result := range r.Results {
		n += result.Failed
	}
	return n
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "This machine, in this run: an RSA-2048 signature %s, an ES256 signature %s, on one core.\n\n",
		millis(r.Limits.RSA), millis(r.Limits.ECDSA))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "operation\tat once\tdone\terrors\tper second\tp50\tp95\tp99\tmax\tserver CPU\tin RSA signatures\tclient CPU\tserver memory\t\n")
	for _, x := range r.Results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", x.Operation, x.Concurrency, x.Done, x.Failed, x.Rate,
			millis(x.P50), millis(x.P95), millis(x.P99), millis(x.Max), millis(x.ServerCPU), ratio(x.ServerCPU, r.Limits.RSA), millis(x.ClientCPU), mebibytes(x.ServerMemory))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, x := range r.Results {
		for _, f := range x.Failures {
			fmt.Fprintf(w, "\n%s: %d × %s", x.Operation, f.Count, f.Kind)
			if f.First != "" {
				fmt.Fprintf(w, "\n  the first: %s", f.First)
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}

func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

func ratio(a, b time.Duration) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
