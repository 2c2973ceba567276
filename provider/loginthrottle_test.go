package provider_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// The tests of this file are about those who guess passwords.

// guarded is a provider in a bubble, at whose login page many people are. Their
// passwords, but bob's, cost nothing.
type guarded struct {
	*inProcess
	form url.Values // the login page's
	csrf string
}

func newGuarded(t *testing.T, change func(*provider.Config)) *guarded {
	t.Helper()
	bob := provider.SeedUsers()[1]
	config := provider.Config{FixedKeys: fixedKeys(), Users: []provider.User{testCostUser(), bob}}
	if change != nil {
		change(&config)
	}
	op := serving(t, config)
	form := op.atLoginForm(t, "", "")
	return &guarded{op, form, op.cookies["op_csrf"]}
}

// guess is a password that comes from an address, with a browser's cookies.
type guess struct {
	addr, username, password string
	cookies                  map[string]string
}

// try sends it.
func (g *guarded) try(t *testing.T, l guess) *httptest.ResponseRecorder {
	t.Helper()
	form := maps.Clone(g.form)
	form.Set("username", l.username)
	form.Set("password", l.password)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://op.localhost/login", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.RemoteAddr = l.addr
	req.AddCookie(&http.Cookie{Name: "op_csrf", Value: g.csrf})
	for name, value := range l.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	g.handler.ServeHTTP(rec, req)
	return rec
}

// want checks the status of one try.
func (g *guarded) want(t *testing.T, status int, l guess) *httptest.ResponseRecorder {
	t.Helper()
	rec := g.try(t, l)
	if rec.Code != status {
		t.Errorf("%s as %s with %s: %d, want %d", l.addr, l.username, l.password, rec.Code, status)
	}
	return rec
}

// wrong tries a wrong password so many times and returns the statuses.
func (g *guarded) wrong(t *testing.T, addr, username string, times int) map[int]int {
	t.Helper()
	statuses := map[int]int{}
	for range times {
		statuses[g.try(t, guess{addr, username, "wrong", nil}).Code]++
	}
	return statuses
}

// signIn is a browser in which a user has signed in.
func (g *guarded) signIn(t *testing.T, addr, username, password string) map[string]string {
	t.Helper()
	cookies := map[string]string{}
	for _, cookie := range g.want(t, http.StatusSeeOther, guess{addr, username, password, nil}).Result().Cookies() {
		if cookie.Name == "op_known_browser" {
			cookies[cookie.Name] = cookie.Value
		}
	}
	if len(cookies) != 1 {
		t.Error("the browser got no cookie")
	}
	return cookies
}

const visitorA, visitorB = "192.0.2.1:1", "192.0.2.2:1"

// TestWrongPasswords: after some mistakes one has to wait, and is told for how long.
func TestWrongPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		if got := g.wrong(t, visitorA, "alice", 9); got[http.StatusUnauthorized] != 9 {
			t.Fatalf("statuses %v", got)
		}
		if rec := g.want(t, http.StatusUnauthorized, guess{visitorB, "alice", "wrong", nil}); rec.Header().Get("Retry-After") != "" {
			t.Errorf("who may try again at once is told when: %v", rec.Header())
		}
		g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil}) // after a few mistakes
		if got := g.wrong(t, visitorA, "alice", 3); got[http.StatusUnauthorized] != 1 || got[http.StatusTooManyRequests] != 2 {
			t.Fatalf("statuses %v", got)
		}
		rec := g.want(t, http.StatusTooManyRequests, guess{visitorA, "alice", "alice", nil}) // nor is the right one looked at
		if rec.Header().Get("Retry-After") != "60" || !strings.Contains(rec.Body.String(), "Try again in 60 seconds.") {
			t.Errorf("when? %v\n%s", rec.Header(), rec.Body)
		}
		if form := inputs(t, rec.Body.String()); form.Get("username") != "alice" || form.Get("request") != g.form.Get("request") {
			t.Errorf("the page has %v", form)
		}
		g.want(t, http.StatusSeeOther, guess{visitorB, "alice", "alice", nil}) // others are not stopped
		time.Sleep(59 * time.Second)
		rec = g.want(t, http.StatusTooManyRequests, guess{visitorA, "alice", "alice", nil})
		if rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), "Try again in one second.") {
			t.Errorf("when? %v", rec.Header())
		}
		time.Sleep(time.Second)
		g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil})
		if got := g.wrong(t, visitorA, "alice", 5); got[http.StatusUnauthorized] != 1 {
			t.Errorf("a minute later: %v", got)
		}
	})
}

// TestRightPasswordsNeverWait: however many come, one after the other or at once.
func TestRightPasswordsNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		for range 150 {
			g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil})
		}
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() { g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil}) })
		}
		all.Wait()
		if got := g.wrong(t, visitorA, "alice", 12); got[http.StatusUnauthorized] != 10 {
			t.Errorf("wrong ones after them: %v", got)
		}
	})
}

// TestWrongPasswordsAtOnce: those who wait for their turn are bounded, too.
func TestWrongPasswordsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		g.provider().PasswordGate().Bound(1, 100)
		leave := g.provider().PasswordGate().Occupy()
		var all sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for range 64 {
			all.Go(func() {
				status := g.try(t, guess{visitorA, "alice", "wrong", nil}).Code
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if statuses[http.StatusUnauthorized] != 10 || statuses[http.StatusTooManyRequests] != 54 {
			t.Errorf("statuses %v", statuses)
		}
	})
}

// TestGuessesOfManyVisitors for one account are bounded, and do not lock its user out:
// neither from a browser in which they signed in before, wherever it is, nor others.
func TestGuessesOfManyVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		mine := g.signIn(t, visitorA, "alice", "alice")
		statuses := map[int]int{}
		for i := range 300 {
			statuses[g.try(t, guess{fmt.Sprintf("[2001:db8:0:%x::1]:1", i), "alice", "wrong", nil}).Code]++
		}
		if statuses[http.StatusUnauthorized] != 100 || statuses[http.StatusTooManyRequests] != 200 {
			t.Errorf("statuses %v", statuses)
		}
		g.want(t, http.StatusTooManyRequests, guess{visitorB, "alice", "alice", nil})
		for _, addr := range []string{visitorA, visitorB, "[2001:db8::1]:1"} {
			g.want(t, http.StatusSeeOther, guess{addr, "alice", "alice", mine})
		}
		g.want(t, http.StatusSeeOther, guess{visitorB, "bob", "bob", nil})
		time.Sleep(30 * time.Second)
		g.want(t, http.StatusSeeOther, guess{visitorB, "alice", "alice", nil})
	})
}

// TestGuessesInOneOffice: nor do those of somebody behind the same address.
func TestGuessesInOneOffice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		mine := g.signIn(t, visitorA, "alice", "alice")
		g.wrong(t, visitorA, "alice", 20)
		g.want(t, http.StatusTooManyRequests, guess{visitorA, "alice", "alice", nil})
		g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", mine})
	})
}

// TestGuessesInAKnownBrowser are bounded by themselves.
func TestGuessesInAKnownBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		mine := g.signIn(t, visitorA, "alice", "alice")
		for i := range 12 {
			want := http.StatusUnauthorized
			if i >= 10 {
				want = http.StatusTooManyRequests
			}
			g.want(t, want, guess{fmt.Sprintf("192.0.2.%d:1", i), "alice", "wrong", mine})
		}
		g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil})
	})
}

// TestForgedBrowsers: only the cookie of an own sign-in, as it is, makes a browser
// known.
func TestForgedBrowsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, other := newGuarded(t, nil), newGuarded(t, nil)
		mine := g.signIn(t, visitorB, "alice", "alice")["op_known_browser"]
		foreign := other.signIn(t, visitorB, "alice", "alice")["op_known_browser"]
		bobs := g.signIn(t, visitorB, "bob", "bob")["op_known_browser"]
		last := "A"
		if strings.HasSuffix(mine, last) {
			last = "B"
		}
		g.wrong(t, visitorA, "alice", 10)
		for name, tt := range map[string]struct {
			cookie string
			want   int
		}{
			"none":                         {"", 429},
			"of another user":              {bobs, 429},
			"of another provider":          {foreign, 429},
			"another number":               {"AAAAAAAAAAAAAAAA" + mine[16:], 429},
			"another seal":                 {mine[:len(mine)-1] + last, 429},
			"cut":                          {mine[:len(mine)-1], 429},
			"longer":                       {mine + "A", 429},
			"no entry at all":              {"...", 429},
			"beyond those that are kept":   {strings.Repeat(foreign+".", 4) + mine, 429},
			"control":                      {mine, 303},
			"control, with others":         {bobs + "." + mine, 303},
			"control, with what is no one": {"x.." + mine, 303},
		} {
			if got := g.try(t, guess{visitorA, "alice", "alice", map[string]string{"op_known_browser": tt.cookie}}); got.Code != tt.want {
				t.Errorf("%s: %d, want %d", name, got.Code, tt.want)
			}
		}
	})
}

// TestSharedBrowser: some people may share one, and each is known. It keeps its
// number, and with it what its user has to wait.
func TestSharedBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var users []provider.User
		for i := range 6 {
			users = append(users, provider.User{Username: fmt.Sprint("user", i), PasswordHash: testCostHash, Claims: map[string]any{"sub": fmt.Sprint(i)}})
		}
		g := newGuarded(t, func(c *provider.Config) { c.Users = users })
		cookies := map[string]string{}
		signIn := func(user string) {
			t.Helper()
			for _, cookie := range g.want(t, http.StatusSeeOther, guess{visitorA, user, "alice", cookies}).Result().Cookies() {
				if cookie.Name == "op_known_browser" {
					cookies[cookie.Name] = cookie.Value
					if !cookie.HttpOnly || cookie.MaxAge != 90*24*60*60 || cookie.Path != "/" || cookie.SameSite != http.SameSiteLaxMode {
						t.Errorf("cookie %v", cookie)
					}
				}
			}
		}
		for _, user := range users {
			signIn(user.Username)
		}
		before := cookies["op_known_browser"]
		signIn("user5")
		if cookies["op_known_browser"] != before {
			t.Error("the same user has another number")
		}
		for i, user := range users { // somebody else guesses
			g.wrong(t, visitorA, user.Username, 10)
			want := http.StatusTooManyRequests
			if i >= 2 { // the last four
				want = http.StatusSeeOther
			}
			g.want(t, want, guess{visitorA, user.Username, "alice", cookies})
		}
	})
}

// TestGuessesForManyAccounts from one address are bounded, and those from this machine
// by account only.
func TestGuessesForManyAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		for _, tt := range []struct {
			addr     string
			lookedAt int
		}{{visitorA, 50}, {"127.0.0.1:1", 60}} {
			lookedAt := 0
			for i := range 60 {
				lookedAt += g.wrong(t, tt.addr, fmt.Sprint("somebody", i), 1)[http.StatusUnauthorized]
			}
			if lookedAt != tt.lookedAt {
				t.Errorf("%s: %d were looked at, want %d", tt.addr, lookedAt, tt.lookedAt)
			}
		}
		g.want(t, http.StatusTooManyRequests, guess{visitorA, "alice", "alice", nil})
		g.want(t, http.StatusSeeOther, guess{visitorB, "alice", "alice", nil})
		time.Sleep(10 * time.Second)
		g.want(t, http.StatusSeeOther, guess{visitorA, "alice", "alice", nil})
	})
}

// TestThrottleTellsNoUsernames: who waits learns not whether the account is there.
func TestThrottleTellsNoUsernames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		for i := range 15 {
			known, unknown := g.try(t, guess{visitorA, "alice", "wrong", nil}), g.try(t, guess{visitorA, "alicf", "wrong", nil})
			same := strings.ReplaceAll(known.Body.String(), "alice", "NAME") == strings.ReplaceAll(unknown.Body.String(), "alicf", "NAME")
			if known.Code != unknown.Code || !same || fmt.Sprint(known.Header()) != fmt.Sprint(unknown.Header()) {
				t.Errorf("try %d: %d %v, of nobody %d %v", i, known.Code, known.Header(), unknown.Code, unknown.Header())
			}
		}
	})
}

// TestRetryAfterIsTrue: whoever comes when they were told is let in.
func TestRetryAfterIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		for range 40 {
			rec := g.try(t, guess{visitorA, "alice", "wrong", nil})
			if rec.Code != http.StatusTooManyRequests {
				continue
			}
			seconds, err := strconv.Atoi(rec.Header().Get("Retry-After"))
			if err != nil || seconds < 1 || seconds > 60 {
				t.Fatalf("Retry-After %q", rec.Header().Get("Retry-After"))
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			g.want(t, http.StatusUnauthorized, guess{visitorA, "alice", "wrong", nil})
			time.Sleep(7 * time.Second)
		}
	})
}

// TestUnlimitedLoginAttempts: the switch is named at the start and on the page.
func TestUnlimitedLoginAttempts(t *testing.T) {
	const name = "insecure_unlimited_login_attempts"
	for _, on := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			g := newGuarded(t, func(c *provider.Config) {
				c.InsecureUnlimitedLoginAttempts = on
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			if strings.Contains(log.String(), name) != on {
				t.Errorf("%t: at the start: %s", on, log.String())
			}
			if got := g.wrong(t, visitorA, "alice", 150)[http.StatusUnauthorized]; (got == 150) != on {
				t.Errorf("%t: %d were looked at", on, got)
			}
			if page := g.try(t, guess{visitorA, "alice", "wrong", nil}).Body.String(); strings.Contains(page, name) != on {
				t.Errorf("%t: the page:\n%s", on, page)
			}
		})
	}
}
