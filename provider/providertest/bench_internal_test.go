package providertest

import (
	"cmp"
	"net/http"
	"slices"
	"testing"
	"time"
)

// fixture ends what it started when it is told to, not with the benchmark.
type fixture struct {
	testing.TB
	cleanups []func()
}

func (f *fixture) Cleanup(end func()) { f.cleanups = append(f.cleanups, end) }

func (f *fixture) end() {
	for _, end := range slices.Backward(f.cleanups) {
		end()
	}
}

// BenchmarkStart measures a fixture from Start to its first answered discovery: the
// first one of a process, for which there are no keys yet, and those that follow. The
// metrics are medians.
func BenchmarkStart(b *testing.B) {
	for _, first := range []bool{true, false} {
		name := map[bool]string{true: "first", false: "next"}[first]
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				if first {
					lender.Lock()
					lender.free = nil
					lender.Unlock()
				}
				f := &fixture{TB: b}
				begun := time.Now()
				s := Start(f, nil)
				resp, err := http.Get(s.URL() + "/.well-known/openid-configuration")
				times = append(times, time.Since(begun))
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
				http.DefaultClient.CloseIdleConnections()
				f.end()
			}
			slices.SortFunc(times, cmp.Compare[time.Duration])
			b.ReportMetric(float64(times[len(times)/2])/float64(time.Millisecond), "ms-to-discovery")
		})
	}
}
