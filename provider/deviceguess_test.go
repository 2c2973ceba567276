package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// The tests of this file are about those who guess user codes: RFC 8628 §5.1.

// guessing is a provider in a bubble; guess tries a code from an address.
type guessing struct{ *inProcess }

func newGuessing(t *testing.T) guessing {
	t.Helper()
	return guessing{serving(t, provider.Config{Clients: deviceClients(), FixedKeys: fixedKeys()})}
}

func (g guessing) guess(t *testing.T, addr, code string) int {
	t.Helper()
	rec := g.do(t, http.MethodPost, "/device", url.Values{"user_code": {code}}, func(r *http.Request) { r.RemoteAddr = addr })
	if rec.Code == http.StatusTooManyRequests && rec.Header().Get("Retry-After") == "" {
		t.Error("too many, and for how long?")
	}
	return rec.Code
}

// wrong tries wrong codes and returns the statuses.
func (g guessing) wrong(t *testing.T, addr string, times int) map[int]int {
	t.Helper()
	statuses := map[int]int{}
	for range times {
		statuses[g.guess(t, addr, "BCDF-GHJK")]++
	}
	return statuses
}

// TestDeviceGuesses: who has tried some wrong codes has to wait, with the right
// one, too.
func TestDeviceGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuessing(t)
		begun := g.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient}.values(), nil)
		const addr = "192.0.2.1:1"
		if got := g.wrong(t, addr, 30); got[http.StatusBadRequest] != 20 || got[http.StatusTooManyRequests] != 10 {
			t.Errorf("statuses: %v", got)
		}
		if got := g.guess(t, addr, begun.text("user_code")); got != http.StatusTooManyRequests {
			t.Errorf("the right code at once: %d", got)
		}
		time.Sleep(2 * time.Second)
		if got := g.guess(t, addr, "BCDF-GHJK"); got != http.StatusBadRequest {
			t.Errorf("after a while: %d", got)
		}
		if got := g.guess(t, addr, begun.text("user_code")); got != http.StatusSeeOther {
			t.Errorf("the right code after a while: %d", got)
		}
	})
}

// TestRightCodesAreNoGuesses: whoever connects many devices is not stopped, nor
// stops the others of the network. Wrong codes among them count.
func TestRightCodesAreNoGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuessing(t)
		const addr = "192.0.2.1:1"
		right := func(times int) {
			t.Helper()
			for range times {
				begun := g.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient}.values(), nil)
				if got := g.guess(t, addr, begun.text("user_code")); got != http.StatusSeeOther {
					t.Fatalf("a right code: %d", got)
				}
			}
		}
		right(100)
		if got := g.wrong(t, addr, 19)[http.StatusBadRequest]; got != 19 {
			t.Errorf("%d wrong codes were tried", got)
		}
		right(100)
		if got := g.wrong(t, addr, 5)[http.StatusBadRequest]; got != 1 {
			t.Errorf("then %d", got)
		}
		// Of all together, only the wrong ones count, too.
		for i := range 180 {
			g.guess(t, fmt.Sprintf("198.51.100.%d:1", i), "BCDF-GHJK")
		}
		if got := g.guess(t, "203.0.113.1:1", "BCDF-GHJK"); got != http.StatusTooManyRequests {
			t.Errorf("beyond what all together may: %d", got)
		}
	})
}

// TestDeviceGuessesOfAStranger stop nobody else.
func TestDeviceGuessesOfAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuessing(t)
		begun := g.answer(t, http.MethodPost, "/device_authorization", params{"client_id": deviceClient}.values(), nil)
		g.wrong(t, "192.0.2.1:1", 1000)
		g.wrong(t, "[2001:db8:0:1::1]:1", 1000)
		for addr, want := range map[string]int{
			"192.0.2.1:2": http.StatusTooManyRequests, "[2001:db8:0:1::2]:1": http.StatusTooManyRequests, // the strangers, come anew
			"192.0.2.2:1": http.StatusSeeOther, "[2001:db8:0:2::1]:1": http.StatusSeeOther,
		} {
			if got := g.guess(t, addr, begun.text("user_code")); got != want {
				t.Errorf("%s: %d, want %d", addr, got, want)
			}
		}
	})
}

// TestDeviceGuessesOfMany: who has many addresses is bounded as well.
func TestDeviceGuessesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuessing(t)
		each := func() int {
			tried := 0
			for i := range 400 {
				tried += g.wrong(t, fmt.Sprintf("[2001:db8:0:%x::1]:1", i), 1)[http.StatusBadRequest]
			}
			return tried
		}
		for _, want := range []int{200, 20, 20} {
			if got := each(); got != want {
				t.Errorf("%d codes were tried, want %d", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestDeviceCodeFromAnotherSite: no other page has its visitors guess, and what it
// sends does not count as theirs.
func TestDeviceCodeFromAnotherSite(t *testing.T) {
	op := startWithDevice(t)
	begun := beginDevice(t, op, "openid")
	send := func(site string) answer {
		return postForm(t, op.URL()+"/device", params{"user_code": begun.text("user_code")}, func(r *http.Request) {
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
		})
	}
	for _, site := range []string{"cross-site", "same-site", "none"} {
		for range 25 {
			if got := send(site); got.Status != http.StatusForbidden || got.Header.Get("Location") != "" {
				t.Fatalf("%s: %d", site, got.Status)
			}
		}
	}
	for _, site := range []string{"same-origin", ""} {
		if got := send(site); got.Status != http.StatusSeeOther {
			t.Errorf("%q: %d", site, got.Status)
		}
	}
	// A link from elsewhere, such as verification_uri_complete, leads to the form.
	req := formRequest(t.Context(), t, begun.text("verification_uri_complete"), nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	req.Method = http.MethodGet
	if a := do(t, req); a.Status != http.StatusOK || !strings.Contains(a.Raw, begun.text("user_code")) {
		t.Errorf("a link from elsewhere: %d", a.Status)
	}
}
