package backchannel_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
)

func TestRequests(t *testing.T) {
	form := func(values ...string) func(string) string {
		return func(token string) string {
			return strings.ReplaceAll(strings.Join(values, "&"), "TOKEN", token)
		}
	}
	contentType := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Type", value) }
	}
	for _, tt := range []struct {
		name   string
		body   func(token string) string
		change func(*http.Request)
		status int
		want   string
	}{
		{"nothing", form(), nil, 400, "no logout_token"},
		{"empty", form("logout_token="), nil, 400, "no logout_token"},
		{"another name", form("token=TOKEN"), nil, 400, "no logout_token"},
		{"two", form("logout_token=TOKEN", "logout_token=TOKEN"), nil, 400, "more than one"},
		{"in the URL", form(), func(r *http.Request) { r.URL.RawQuery = "logout_token=x" }, 400, "no logout_token"},
		{"JSON", form("logout_token=TOKEN"), contentType("application/json"), 400, "no form"},
		{"multipart", form("logout_token=TOKEN"), contentType("multipart/form-data; boundary=x"), 400, "no form"},
		{"no type", form("logout_token=TOKEN"), contentType(""), 400, "no form"},
		{"escape that is none", form("logout_token=TOKEN%zz"), nil, 400, "no form"},
		{"too large", form("logout_token=TOKEN", "x="+strings.Repeat("x", 64<<10)), nil, 400, "64 KiB"},
		{"GET", form(), func(r *http.Request) { r.Method = http.MethodGet }, 405, "posted"},
		{"PUT", form("logout_token=TOKEN"), func(r *http.Request) { r.Method = http.MethodPut }, 405, "posted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			change := tt.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := b.send(tt.body(b.token(nil)), change)
			b.wantRefused(w, tt.status, "invalid_request", tt.want)
			if allow := w.Header().Get("Allow"); (allow == "POST") != (tt.status == 405) {
				t.Errorf("Allow %q", allow)
			}
		})
	}
	t.Run("other values are ignored", func(t *testing.T) {
		b := newBench(t)
		b.wantDone(b.send("x=1&logout_token="+b.token(nil), contentType("application/x-www-form-urlencoded; charset=utf-8")))
	})
}

// TestWhoIsSignedOut: by session, by user, or by both.
func TestWhoIsSignedOut(t *testing.T) {
	signIns := map[string]backchannel.SignIn{
		"alice s-1": alice,
		"alice s-2": {SID: "s-2", Subject: "alice", Began: alice.Began},
		"alice":     {Subject: "alice", Began: alice.Began},
		"alice new": {SID: "s-3", Subject: "alice", Began: time.Now().Add(time.Minute)},
		"bob s-1":   {SID: "s-1", Subject: "bob", Began: alice.Began},
		"bob s-4":   {SID: "s-4", Subject: "bob", Began: alice.Began},
	}
	for _, tt := range []struct {
		name   string
		change claims
		want   []string
	}{
		{"session and user", nil, []string{"alice s-1"}},
		{"session", claims{"sub": nil}, []string{"alice s-1", "bob s-1"}},
		{"user", claims{"sid": nil}, []string{"alice", "alice s-1", "alice s-2"}},
		{"an unknown session", claims{"sid": "s-9"}, nil},
		{"an unknown user", claims{"sub": "carol", "sid": nil}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []backchannel.Logout
			b := newBench(t, func(c *backchannel.Config) {
				c.Dropped = func(_ context.Context, l backchannel.Logout) error { told = append(told, l); return nil }
			})
			b.wantDone(b.tell(b.token(tt.change)))
			// The next process finds the same.
			if err := b.db.Close(); err != nil {
				t.Fatal(err)
			}
			b.open()
			var got, concerned []string
			for name, s := range signIns {
				if b.ended(s) {
					got = append(got, name)
				}
				if len(told) == 1 && told[0].Concerns(s) && name != "alice new" { // which is not there yet
					concerned = append(concerned, name)
				}
			}
			slices.Sort(got)
			slices.Sort(concerned)
			if !slices.Equal(got, tt.want) || !slices.Equal(concerned, tt.want) {
				t.Errorf("signed out: %q, dropped: %q, want %q", got, concerned, tt.want)
			}
		})
	}
}

// TestSignInUnderWay: a sign-in that is complete only after the logout token is
// over if it names the session, and a new one of the user's is not.
func TestSignInUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		logout claims
		signIn backchannel.SignIn
		want   bool
	}{
		{"the session", nil, backchannel.SignIn{SID: "s-1", Subject: "alice"}, true},
		{"another session", nil, backchannel.SignIn{SID: "s-2", Subject: "alice"}, false},
		{"every session of the user", claims{"sid": nil}, backchannel.SignIn{SID: "s-2", Subject: "alice"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.wantDone(b.tell(b.token(tt.logout)))
			tt.signIn.Began = time.Now().Add(time.Second)
			if got := b.ended(tt.signIn); got != tt.want {
				t.Errorf("ended: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestReplay: a token serves once, until it has expired anyway.
func TestReplay(t *testing.T) {
	b := newBench(t)
	token := b.token(claims{"sid": "s-2"})
	b.wantDone(b.tell(token))
	b.wantRefused(b.tell(token), http.StatusBadRequest, "invalid_request", "before")
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.wantRefused(b.tell(token), http.StatusBadRequest, "invalid_request", "before")
	b.wantDone(b.tell(b.token(claims{"sid": "s-2"}))) // the provider tries again
}

// TestTimes: a token is remembered for as long as it is accepted, and a logout
// for as long as a sign-in of before could go on.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := backchannel.SignIn{SID: "s-2", Subject: "alice", Began: time.Now()}
		token := b.token(claims{"sid": "s-2"})
		b.wantDone(b.tell(token))
		time.Sleep(2*time.Minute + 59*time.Second)
		b.wantRefused(b.tell(token), http.StatusBadRequest, "invalid_request", "before")
		time.Sleep(2 * time.Second)
		b.wantRefused(b.tell(token), http.StatusBadRequest, "invalid_request", "expired")
		time.Sleep(7*time.Hour + 56*time.Minute)
		if !b.ended(s) {
			t.Error("the logout is forgotten before the sign-in would have ended")
		}
		time.Sleep(time.Hour)
		if b.ended(s) {
			t.Error("the logout is remembered for longer than any sign-in lasts")
		}
	})
}

func TestParallel(t *testing.T) {
	var dropped atomic.Int32
	b := newBench(t, func(c *backchannel.Config) {
		c.Logger = nil
		c.Dropped = func(context.Context, backchannel.Logout) error { dropped.Add(1); return nil }
	})
	token := b.token(nil)
	var done, refused atomic.Int32
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			switch w := b.tell(token); w.Code {
			case http.StatusOK:
				done.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			default:
				t.Errorf("status %d", w.Code)
			}
		})
	}
	all.Wait()
	if done.Load() != 1 || refused.Load() != 63 || dropped.Load() != 1 {
		t.Errorf("%d done, %d refused, dropped %d times", done.Load(), refused.Load(), dropped.Load())
	}
}

// TestFailures: what fails is said to have failed, and the same token may come
// again.
func TestFailures(t *testing.T) {
	t.Run("the provider's keys", func(t *testing.T) {
		down := true
		b := newBench(t, func(c *backchannel.Config) {
			keys := c.Keys
			c.Keys = func(ctx context.Context) (oidc.KeySet, error) {
				if down {
					return nil, errors.New("connection refused")
				}
				return keys(ctx)
			}
		})
		token := b.token(nil)
		b.wantRefused(b.tell(token), http.StatusBadRequest, "server_error", "keys cannot be fetched")
		down = false
		b.wantDone(b.tell(token))
	})
	t.Run("dropping", func(t *testing.T) {
		fail := errors.New("disk full")
		b := newBench(t, func(c *backchannel.Config) {
			c.Dropped = func(context.Context, backchannel.Logout) error { return fail }
		})
		token := b.token(nil)
		if w := b.tell(token); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "server_error") || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		fail = nil
		b.wantDone(b.tell(token))
	})
	t.Run("the store", func(t *testing.T) {
		b := newBench(t)
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
		w := b.send(url.Values{"logout_token": {b.token(nil)}}.Encode())
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "server_error") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if _, err := b.Ended(alice); err == nil {
			t.Error("a sign-in stands although nobody could look")
		}
	})
}

// A provider that hangs up has still told: the logout is not left halfway.
func TestHungUp(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.wantDone(b.send("logout_token="+b.token(nil), func(r *http.Request) { *r = *r.WithContext(ctx) }))
	if !b.ended(alice) {
		t.Error("the sign-in goes on")
	}
}
