package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// loginBurst is how many log in at once.
const loginBurst = 64

// BenchmarkTokensUnderLogins measures what a token request waits for while 64 people
// log in all the time, each with a password that is hashed at its real cost: with the
// gate, and, to compare, with a gate that lets all of them through. The ratios are to
// the same requests without anybody who logs in, measured just before.
func BenchmarkTokensUnderLogins(b *testing.B) {
	var alone latencies
	for _, bb := range []struct {
		name   string
		logins int
		change func(provider.PasswordGate)
	}{
		{"no logins", 0, nil},
		{"logins", loginBurst, nil},
		{"logins without the gate", loginBurst, func(gate provider.PasswordGate) { gate.Bound(loginBurst, 0) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			op := newBenchProvider(b, provider.User{Username: "alice", PasswordHash: provider.HashPassword("alice"), Claims: map[string]any{"sub": "alice"}})
			if bb.change != nil {
				bb.change(op.handler.(*provider.Provider).PasswordGate())
			}
			stop := op.keepLoggingIn(bb.logins)
			measured := op.tokenLatencies()
			done := stop()
			b.ReportMetric(float64(measured.p50.Microseconds()), "p50-µs")
			b.ReportMetric(float64(measured.p99.Microseconds()), "p99-µs")
			b.ReportMetric(done, "logins/s")
			if bb.logins == 0 {
				alone = measured
				return
			}
			b.ReportMetric(float64(measured.p50)/float64(alone.p50), "p50-ratio")
			b.ReportMetric(float64(measured.p99)/float64(alone.p99), "p99-ratio")
		})
	}
}

type latencies struct{ p50, p99 time.Duration }

// tokenLatencies sends b.N token requests, one after the other.
func (op *benchProvider) tokenLatencies() latencies {
	all := make([]time.Duration, 0, op.b.N)
	op.b.ResetTimer()
	for range op.b.N {
		begun := time.Now()
		op.token("machine", "grant_type=client_credentials")
		all = append(all, time.Since(begun))
	}
	op.b.StopTimer()
	slices.Sort(all)
	return latencies{all[len(all)/2], all[len(all)*99/100]}
}

// keepLoggingIn has so many people log in again and again, until stop is called,
// which returns how many did so in a second. It returns when the first is through.
func (op *benchProvider) keepLoggingIn(people int) (stop func() float64) {
	var through atomic.Int64
	var ended atomic.Bool
	var all sync.WaitGroup
	first := make(chan struct{}, max(1, people))
	for range people {
		form, cookie := op.loginForm("ES256")
		all.Go(func() {
			for !ended.Load() {
				rec := op.send(http.MethodPost, "/login", form.Encode(), cookie, "")
				if rec.Code != http.StatusSeeOther {
					op.b.Errorf("login: %d", rec.Code)
					return
				}
				if through.Add(1) == 1 {
					first <- struct{}{}
				}
			}
		})
	}
	if people > 0 {
		<-first
	}
	begun, before := time.Now(), through.Load()
	return func() float64 {
		rate := float64(through.Load()-before) / time.Since(begun).Seconds()
		ended.Store(true)
		all.Wait()
		return rate
	}
}

// loginForm opens the login page and returns its filled-in form, and the cookie.
func (op *benchProvider) loginForm(client string) (form url.Values, cookie string) {
	request := codeRequest().with(params{"client_id": client}).values().Encode()
	location := op.send(http.MethodGet, "/authorize?"+request, "", "", "").Header().Get("Location")
	page := op.send(http.MethodGet, location, "", "", "")
	form = url.Values{"username": {"alice"}, "password": {"alice"}}
	for _, name := range []string{"request", "csrf"} {
		_, after, _ := strings.Cut(page.Body.String(), `name="`+name+`" value="`)
		value, _, _ := strings.Cut(after, `"`)
		form.Set(name, value)
	}
	cookie, _, _ = strings.Cut(page.Header().Get("Set-Cookie"), ";")
	return form, cookie
}
