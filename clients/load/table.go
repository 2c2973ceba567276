package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	if err := r.writeLimits(w); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "operation\tat once\tdone\terrors\tper second\tp50\tp95\tp99\tmax\t\n")
	for _, x := range r.Results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.0f\t%s\t%s\t%s\t%s\t\n", x.Operation, x.Concurrency, x.Done, x.Failed, x.Rate,
			millis(x.P50), millis(x.P95), millis(x.P99), millis(x.Max))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintf(table, "of one\tserver CPU\tin RSA signatures\tunder load\tclient CPU\texchanges\tof the HTTP limit\tper commit\tserver memory\t\n")
	for _, x := range r.Results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.1f\t%.0f%%\t%.2f\t%s\t\n", x.Operation, millis(x.ServerCPU), ratio(x.Ratios.RSASignatures), ratio(x.Ratios.UnderLoad),
			millis(x.ClientCPU), x.Exchanges, 100*x.Ratios.HTTPLimit, x.Ratios.PerCommit, mebibytes(x.ServerMemory))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return r.writeProblems(w)
}

func (r *Report) writeLimits(w io.Writer) error {
	fmt.Fprintf(w, "This machine, in this run:\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  RSA-2048 signature\t%s\tone core\n", millis(r.Limits.RSA))
	fmt.Fprintf(table, "  ES256 signature\t%s\tone core\n", millis(r.Limits.ECDSA))
	fmt.Fprintf(table, "  synced commit\t%s\ttwo writes, each of which waits for the disk, in %s\n", millis(r.Limits.Commit), r.Limits.Dir)
	for _, n := range slices.Sorted(maps.Keys(r.Limits.Exchanges)) {
		fmt.Fprintf(table, "  HTTP limit\t%.0f/s\t%d exchanges at once with a trivial handler in this process\n", r.Limits.Exchanges[n], n)
	}
	if r.ServerMemory > 0 {
		fmt.Fprintf(table, "  server memory\t%s\tbefore the run\n", mebibytes(r.ServerMemory))
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// writeProblems tells what failed, what was not offered, and what was cut short.
func (r *Report) writeProblems(w io.Writer) error {
	for _, x := range r.Results {
		if x.GaveUp {
			why := "because nothing succeeded any more"
			if x.Done == 0 {
				why = "because nothing succeeded"
			}
			fmt.Fprintf(w, "\n%s: ended after %s, %s\n", x.Operation, x.Elapsed.Round(time.Millisecond), why)
		}
		for _, f := range x.Failures {
			fmt.Fprintf(w, "\n%s: %d × %s\n", x.Operation, f.Count, printable(f.Kind))
			if f.First != "" {
				fmt.Fprintf(w, "  the first: %s\n", printable(f.First))
			}
		}
	}
	for _, operation := range Operations() {
		if why, ok := r.Skipped[operation]; ok {
			fmt.Fprintf(w, "\n%s: not measured: %s\n", operation, why)
		}
	}
	return nil
}

// printable quotes what could move the terminal's cursor: it comes from outside.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return strconv.QuoteToGraphic(s)
	}
	return s
}

// millis has three digits, so that a signature and a flow fit one column.
func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + " ms"
}

func ratio(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r)
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
