package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/oidclab/oidclab/storage"
)

// How many wrong passwords may be tried: at once after a pause, and how long it
// takes until there may be one more. Right ones do not count.
//
// The tightest bound is that of one visitor for one account, where a person makes
// some mistakes. A stranger with many addresses gets no more than a hundred for an
// account at once (NIST SP 800-63B §3.2.2 asks for no more), and 2,880 a day; who
// tries many accounts from one address has 8,640 a day for all of them.
const (
	guessesOfBoth, bothEvery       = 10, time.Minute
	guessesOfAccount, accountEvery = 100, 30 * time.Second
	guessesOfVisitor, visitorEvery = 50, 10 * time.Second
)

// loginThrottle bounds how often wrong passwords are tried.
//
// It must not lock out the honest user while somebody else tries: a browser in which
// the user signed in before shows that by its cookie (knownbrowser.go), and only its
// own mistakes count against it, wherever it is. All that the user needs is
// one browser, and it may be in the same office as the attacker.
//
// An account is the name that was typed, whether anybody has it or not: the answers
// tell nothing of that. Each kind of bucket has a bounded number; to have the one of
// an account forgotten, somebody has to be wrong for 4,096 others, and each of
// these passwords is hashed.
//
// Each provider counts by itself, as in stranger.go.
type loginThrottle struct {
	mu       sync.Mutex
	visitors *buckets[netip.Prefix]
	accounts *buckets[storage.Digest]
	both     *buckets[visitorAndAccount]
	browsers *buckets[string]
}

type visitorAndAccount struct {
	visitor netip.Prefix
	account storage.Digest
}

// newLoginThrottle returns nil if there is none.
func newLoginThrottle(cfg *Config) *loginThrottle {
	if cfg.InsecureUnlimitedLoginAttempts {
		return nil
	}
	return &loginThrottle{
		visitors: newBuckets[netip.Prefix](rate.Every(visitorEvery), guessesOfVisitor),
		accounts: newBuckets[storage.Digest](rate.Every(accountEvery), guessesOfAccount),
		both:     newBuckets[visitorAndAccount](rate.Every(bothEvery), guessesOfBoth),
		browsers: newBuckets[string](rate.Every(bothEvery), guessesOfBoth),
	}
}

// warning says on the login page that there is no throttle; "": there is one.
func (t *loginThrottle) warning() string {
	if t != nil {
		return ""
	}
	return "passwords can be guessed here without an end (insecure_unlimited_login_attempts)."
}

// loginAttempt is somebody who says to be a user.
type loginAttempt struct {
	username, password string
	visitor            netip.Addr
	browser            string // in which the user signed in before; "": another
}

func (p *Provider) loginAttempt(r *http.Request, username, password string) *loginAttempt {
	return &loginAttempt{username, password, peerOf(r.RemoteAddr), p.knownBrowser(r, username)}
}

// wait is how long the next attempt of this kind has to wait.
func (t *loginThrottle) wait(a *loginAttempt) time.Duration {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if a.browser != "" {
		return t.browsers.wait(a.browser, now)
	}
	account, network := storage.DigestOf(a.username), networkOf(a.visitor)
	wait := max(t.both.wait(visitorAndAccount{network, account}, now), t.accounts.wait(account, now))
	if countsForAll(a.visitor) {
		wait = max(wait, t.visitors.wait(network, now))
	}
	return wait
}

// wrong counts an attempt. Nothing is remembered of others, so that it costs a
// password to have something forgotten.
func (t *loginThrottle) wrong(a *loginAttempt) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if a.browser != "" {
		t.browsers.owe(a.browser, now)
		return
	}
	account, network := storage.DigestOf(a.username), networkOf(a.visitor)
	t.both.owe(visitorAndAccount{network, account}, now)
	t.accounts.owe(account, now)
	if countsForAll(a.visitor) {
		t.visitors.owe(network, now)
	}
}

// countsForAll reports whether a visitor is bounded for all accounts together. On
// this machine there are tests, with many users, and proxies, behind which everybody
// is one visitor.
func countsForAll(visitor netip.Addr) bool { return !visitor.IsLoopback() }

// tooManyGuesses says how long to wait.
type tooManyGuesses struct{ wait time.Duration }

func (e *tooManyGuesses) Error() string { return "too many wrong passwords were tried" }

// seconds to wait, rounded up.
func (e *tooManyGuesses) seconds() int { return int((e.wait + time.Second - 1) / time.Second) }

// inWords is the same for a person.
func (e *tooManyGuesses) inWords() string {
	switch seconds := e.seconds(); {
	case seconds == 1:
		return "one second"
	case seconds <= 120:
		return fmt.Sprintf("%d seconds", seconds)
	default:
		return fmt.Sprintf("%d minutes", (seconds+59)/60)
	}
}

// refuseLogin answers a login whose password was not looked at, or was wrong: with
// the form, so that nothing but the password has to be typed again.
func (p *Provider) refuseLogin(w http.ResponseWriter, r *http.Request, in *interaction, err error) {
	var tooMany *tooManyGuesses
	status, retryAfter, text := http.StatusUnauthorized, 0, "The username or the password is wrong."
	switch {
	case errors.As(err, &tooMany): // RFC 6585 §4
		status, retryAfter = http.StatusTooManyRequests, tooMany.seconds()
		text = "Too many wrong passwords were tried. Try again in " + tooMany.inWords() + "."
	case errors.Is(err, errPasswordGateFull): // RFC 9110 §15.6.4
		status, retryAfter = http.StatusServiceUnavailable, 3
		text = "Too many people sign in at the moment, so the provider did not look at the password. Try again in a few seconds."
	case !errors.Is(err, errWrongPassword):
		p.pageError(w, r, err)
		return
	}
	p.log.InfoContext(r.Context(), "login refused", "client", in.a.client.ID, "status", status, "cause", err)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	p.showLogin(w, r, in, status, text)
}
