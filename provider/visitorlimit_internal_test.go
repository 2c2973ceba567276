package provider

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

func visit(l *visitorLimit, addr string) bool { return l.allow(&http.Request{RemoteAddr: addr}) }

// TestVisitorNetwork: who is one visitor, and who is another.
func TestVisitorNetwork(t *testing.T) {
	for _, tt := range []struct{ addr, same, other string }{
		{"192.0.2.1:1", "192.0.2.1:65535", "192.0.2.2:1"},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1"},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff:ffff:ffff:ffff]:2", "[2001:db8:0:2::1]:1"},
		{"[fe80::1%eth0]:1", "[fe80::2%eth1]:1", "[fe80:0:0:1::1]:1"},
		{"", "@", "127.0.0.1:1"},
	} {
		network := visitorNetwork(tt.addr)
		if got := visitorNetwork(tt.same); got != network {
			t.Errorf("%s is %s, %s is %s", tt.addr, network, tt.same, got)
		}
		if got := visitorNetwork(tt.other); got == network {
			t.Errorf("%s and %s are %s", tt.addr, tt.other, got)
		}
	}
}

// TestVisitorLimit: each has a bucket that fills again, and takes from what all
// have together only what it may.
func TestVisitorLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := newVisitorLimit(1, 2, rate.NewLimiter(1, 5))
		try := func(visitor string, times, want int) {
			t.Helper()
			allowed := 0
			for range times {
				if visit(limit, visitor+":1") {
					allowed++
				}
			}
			if allowed != want {
				t.Errorf("%s: %d of %d, want %d", visitor, allowed, times, want)
			}
		}
		try("192.0.2.1", 100, 2)
		try("192.0.2.2", 100, 2)
		try("192.0.2.3", 100, 1) // five in all
		try("192.0.2.4", 100, 0)
		time.Sleep(time.Second)
		try("192.0.2.1", 100, 1)
		try("192.0.2.5", 100, 0)
		time.Sleep(time.Minute)
		try("192.0.2.1", 100, 2)
	})
}

// TestVisitorLimitOwesNothing: who was refused, however often and by however many
// at once, waits no longer than others.
func TestVisitorLimitOwesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		limit func() *visitorLimit
		want  int // a second later
	}{
		"of a visitor": {func() *visitorLimit { return newVisitorLimit(3, 5, rate.NewLimiter(1000, 1000)) }, 3},
		"of all":       {func() *visitorLimit { return newVisitorLimit(1000, 1000, rate.NewLimiter(3, 5)) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const addr = "192.0.2.1:1"
				limit := tt.limit()
				var flood sync.WaitGroup
				for i := range 16 {
					flood.Go(func() {
						for range 5000 {
							if giveBack, ok := limit.take(&http.Request{RemoteAddr: addr}); ok && i%2 == 0 {
								giveBack()
							}
						}
					})
				}
				flood.Wait()
				rest := func() (n int) {
					for visit(limit, addr) {
						n++
					}
					return n
				}
				if got := rest(); got > 5 {
					t.Errorf("%d are left of five", got)
				}
				time.Sleep(time.Second)
				if got := rest(); got != tt.want {
					t.Errorf("%d a second later, want %d", got, tt.want)
				}
				time.Sleep(time.Minute)
				if got := rest(); got != 5 {
					t.Errorf("%d a minute later, want 5", got)
				}
			})
		})
	}
}

// TestVisitorLimitGivesBack: what did not count is there again at once, for the visitor and
// for all.
func TestVisitorLimitGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which no time passes
		limit := newVisitorLimit(1, 2, rate.NewLimiter(1, 2))
		const addr, other = "192.0.2.1:1", "192.0.2.2:1"
		for range 10 {
			giveBack, ok := limit.take(&http.Request{RemoteAddr: addr})
			if !ok {
				t.Fatal("refused, though all was given back")
			}
			giveBack()
		}
		for range 2 {
			if !visit(limit, other) {
				t.Error("another is refused, though all was given back")
			}
		}
		if visit(limit, addr) {
			t.Error("more is there than there was")
		}
	})
}

// TestVisitorLimitIsBounded: whatever many visitors come, so many are remembered,
// and those who come on.
func TestVisitorLimitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which no time passes
		limit := newVisitorLimit(1, 1, nil)
		const faithful, early = "192.0.2.1:1", "192.0.2.2:1"
		for _, visitor := range []string{early, faithful} {
			if !visit(limit, visitor) {
				t.Fatalf("%s may not begin", visitor)
			}
		}
		for i := range 3 * maxBuckets {
			if i%1000 == 0 && visit(limit, faithful) {
				t.Fatalf("forgotten after %d", i)
			}
			visit(limit, fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xffff))
		}
		if len(limit.visitors.kept) != maxBuckets || limit.visitors.seen.Len() != maxBuckets {
			t.Errorf("%d and %d are remembered", len(limit.visitors.kept), limit.visitors.seen.Len())
		}
		if !visit(limit, early) {
			t.Error("who came first and never again is remembered")
		}
	})
}
