package provider

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// TestThrottleForgetsNothingForFree: whoever asks without a password that was hashed
// pushes nothing out, and however many are wrong, so much is remembered.
func TestThrottleForgetsNothingForFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which no time passes
		throttle := newLoginThrottle(&Config{})
		attempt := func(i int, browser string) *loginAttempt {
			addr := netip.AddrFrom16([16]byte{0: 0x20, 4: byte(i >> 16), 5: byte(i >> 8), 6: byte(i)})
			return &loginAttempt{username: fmt.Sprint("user", i), visitor: addr, browser: browser}
		}
		kept := func() [4]int {
			return [4]int{len(throttle.visitors.kept), len(throttle.accounts.kept), len(throttle.both.kept), len(throttle.browsers.kept)}
		}
		for i := range 100 {
			throttle.wait(attempt(i, ""))
			throttle.wait(attempt(i, fmt.Sprint(i)))
		}
		if got := kept(); got != [4]int{} {
			t.Errorf("after no wrong password: %v", got)
		}
		for i := range 2 * maxBuckets {
			throttle.wrong(attempt(i, ""))
			throttle.wrong(attempt(i, fmt.Sprint(i)))
		}
		if got := kept(); got != [4]int{maxBuckets, maxBuckets, maxBuckets, maxBuckets} {
			t.Errorf("after many: %v", got)
		}
	})
}

// TestKnownBrowsersCountAlone: what is wrong in a browser that the user knows counts against
// it alone, and nothing counts against it that was wrong elsewhere.
func TestKnownBrowsersCountAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elsewhere := &loginAttempt{username: "alice", visitor: netip.MustParseAddr("192.0.2.1")}
		known, other := *elsewhere, *elsewhere
		known.browser, other.browser = "known", "other"
		for _, wrong := range []*loginAttempt{elsewhere, &known} {
			throttle := newLoginThrottle(&Config{})
			for range guessesOfAccount {
				throttle.wrong(wrong)
			}
			for _, next := range []*loginAttempt{elsewhere, &known, &other} {
				if wait := throttle.wait(next); (wait > 0) != (next == wrong) {
					t.Errorf("after wrong ones in the browser %q, one in %q waits %s", wrong.browser, next.browser, wait)
				}
			}
		}
	})
}

// TestDebts: who was wrong more often than one may be, all at once, waits for each time.
func TestDebts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuckets[string](rate.Every(time.Minute), 2)
		for n, want := range []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute} {
			b.owe("key", time.Now())
			if got := b.wait("key", time.Now()).Round(time.Second); got != want {
				t.Errorf("after %d: %s, want %s", n+1, got, want)
			}
		}
	})
}

// TestWaitInWords: never less than it is.
func TestWaitInWords(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		1: "one second", time.Second: "one second", time.Second + 1: "2 seconds", time.Minute: "60 seconds",
		2 * time.Minute: "120 seconds", 2*time.Minute + 1: "3 minutes", time.Hour: "60 minutes",
	} {
		if got := (&tooManyGuesses{wait}).inWords(); got != want {
			t.Errorf("%s: %q, want %q", wait, got, want)
		}
	}
}
