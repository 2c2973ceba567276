package provider_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// The crash test: a provider in another process (crashchild_test.go) is killed at
// random points while it works for many, again and again on the same file. Each
// time another one is started on the file, and everything that the first one
// acknowledged has to hold.

// family is what came of one code, as far as its holder was told.
type family struct {
	code string
	// redeeming and refreshing say that it was asked for, and no answer seen.
	redeeming, refreshing bool
	access                []string // access tokens
	refresh               string   // the latest refresh token
	dead                  bool     // something of it was used again on purpose
}

// crash is the state of the test.
type crash struct {
	t        *testing.T
	path     string
	random   *rand.Rand
	families []*family
	byToken  map[string]*family // by code and latest refresh token
	fresh    int                // families before this one were there in earlier rounds
	problems []string
	// complaints are what a child said that is not of the protocol.
	complaints []string
	checked    map[string]int
}

func TestCrash(t *testing.T) {
	if os.Getenv(crashPath) != "" {
		crashChild(t)
		return
	}
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	c := newCrash(t)
	for range rounds {
		c.round("")
		if len(c.problems) > 0 {
			break
		}
	}
	c.reopen(func(op *inProcess) {
		for _, f := range c.families {
			c.verify(op, f, true)
		}
	})
	t.Logf("%d rounds, %d codes; checked: %v", rounds, len(c.families), c.checked)
	for _, problem := range c.problems {
		t.Error(problem)
	}
	for _, what := range []string{"access tokens", "refreshed", "replays refused", "unanswered codes", "unredeemed codes"} {
		if c.checked[what] == 0 {
			t.Errorf("nothing was checked of: %s", what)
		}
	}
}

// TestCrashTestCanFail: a store that answers before it has written does not pass.
func TestCrashTestCanFail(t *testing.T) {
	c := newCrash(t)
	for round := 0; len(c.problems) == 0; round++ {
		if round == 5 {
			t.Fatal("a store that loses what it acknowledged passes")
		}
		c.round(crashHasty)
	}
	t.Logf("%d problems, such as: %s", len(c.problems), c.problems[0])
}

func newCrash(t *testing.T) *crash {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &crash{
		t: t, path: filepath.Join(t.TempDir(), "provider.db"), random: rand.New(rand.NewPCG(seed, 0)),
		byToken: map[string]*family{}, checked: map[string]int{},
	}
	store := c.open()
	providertest.LendKeys(t, store) // to make them takes longer than a round
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crash) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// open opens the store here, where nobody is killed: the child's is durable.
func (c *crash) open() storage.Store {
	c.t.Helper()
	store, err := bolt.Open(c.path, &bolt.Options{NoSync: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return store
}

// round lets a child work, kills it, and verifies what it acknowledged.
func (c *crash) round(store string) {
	c.t.Helper()
	c.fresh = len(c.families)
	c.work(store)

	// 1. The file is in order, as bbolt sees it and as we do.
	file, err := bolt.Inspect(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, problem := range file.Check() {
		c.problem("the file: %v", problem)
	}
	if err := file.Close(); err != nil {
		c.t.Fatal(err)
	}

	// 2. A provider on it knows everything of this round, and some of before.
	c.reopen(func(op *inProcess) {
		for _, f := range c.families[c.fresh:] {
			c.verify(op, f, c.random.IntN(2) == 0)
		}
		for range min(10, c.fresh) {
			c.verify(op, c.families[c.random.IntN(c.fresh)], false)
		}
	})
}

// work runs a child until it has said so much, kills it, and notes what it said.
func (c *crash) work(store string) {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), exe, "-test.run=^TestCrash$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), crashPath+"="+c.path, crashStore+"="+store)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	stop, lines := 1+c.random.IntN(160), 0
	for in := bufio.NewReader(out); ; lines++ { // after the kill too: what was said is said
		line, err := in.ReadString('\n')
		if err != nil {
			break // a line without its end was not said
		}
		c.heard(strings.Fields(line))
		if lines == stop {
			if err := cmd.Process.Kill(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || lines < stop {
		c.t.Fatalf("the child ended by itself after %d lines: %v\n%s", lines, err, strings.Join(c.complaints, "\n"))
	}
}

// heard notes one line of the child's.
func (c *crash) heard(line []string) {
	c.t.Helper()
	switch {
	case len(line) == 2 && line[0] == "code":
		f := &family{code: line[1]}
		c.families = append(c.families, f)
		c.byToken[f.code] = f
	case len(line) == 2 && line[0] == "redeeming":
		c.byToken[line[1]].redeeming = true
	case len(line) == 4 && line[0] == "redeemed":
		f := c.byToken[line[1]]
		f.redeeming = false
		c.issued(f, line[2], line[3])
	case len(line) == 2 && line[0] == "refreshing":
		c.byToken[line[1]].refreshing = true
	case len(line) == 4 && line[0] == "refreshed":
		f := c.byToken[line[1]]
		f.refreshing = false
		c.issued(f, line[2], line[3])
	default:
		c.complaints = append(c.complaints, strings.Join(line, " "))
	}
}

func (c *crash) issued(f *family, access, refresh string) {
	f.access, f.refresh = append(f.access, access), refresh
	c.byToken[refresh] = f
}

// reopen starts a provider on the file.
func (c *crash) reopen(verify func(op *inProcess)) {
	c.t.Helper()
	store := c.open()
	op := serving(c.t, crashConfig(store))
	if err := op.provider().Ready(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	verify(op)
	if err := op.provider().Close(); err != nil {
		c.t.Error(err)
	}
	if err := store.Close(); err != nil {
		c.t.Error(err)
	}
}

// verify tests what must hold of a family. spend also uses again what was used,
// which ends it.
func (c *crash) verify(op *inProcess, f *family, spend bool) {
	c.t.Helper()
	if f.dead {
		return
	}
	// 1. Every access token is valid, unless a rotation that nobody has seen
	//    may be what is told next.
	for _, token := range f.access {
		c.checked["access tokens"]++
		if status := op.userinfo(c.t, token); status != http.StatusOK {
			c.problem("an access token that was acknowledged: %d", status)
		}
	}
	switch {
	// 2. A code whose answer nobody saw can be redeemed once at most, one that was
	//    not yet sent exactly once.
	case len(f.access) == 0:
		c.redeemOnce(op, f)
	// 3. So can a refresh token.
	case f.refreshing:
		c.checked["unanswered refreshes"]++
		if a := op.token(c.t, refreshRequest(f.refresh)); a.Status == http.StatusOK {
			c.refused(op, refreshRequest(f.refresh), "a refresh token after its use")
		} else {
			wantError(c.t, a, http.StatusBadRequest, "invalid_grant")
		}
		f.dead = true
	// 4. One that was acknowledged can be used.
	default:
		c.checked["refreshed"]++
		a := op.token(c.t, refreshRequest(f.refresh))
		if a.Status != http.StatusOK {
			c.problem("a refresh token that was acknowledged: %d %s", a.Status, a.Raw)
			f.dead = true
			return
		}
		c.issued(f, a.text("access_token"), a.text("refresh_token"))
	}
	// 5. A code that was redeemed cannot be redeemed again.
	if spend && !f.dead {
		c.refused(op, redeem(f.code), "a code that was redeemed")
		f.dead = true
	}
}

// redeemOnce redeems a code twice.
func (c *crash) redeemOnce(op *inProcess, f *family) {
	c.t.Helper()
	f.dead = true
	a := op.token(c.t, redeem(f.code))
	switch {
	case f.redeeming:
		c.checked["unanswered codes"]++
	default:
		c.checked["unredeemed codes"]++
		if a.Status != http.StatusOK {
			c.problem("a code that was acknowledged, and not redeemed: %d %s", a.Status, a.Raw)
		}
	}
	if a.Status == http.StatusOK && op.userinfo(c.t, a.text("access_token")) != http.StatusOK {
		c.problem("the access token of a code that was redeemed after the crash does not hold")
	}
	c.refused(op, redeem(f.code), "a code after its redemption")
}

// refused tests that a request is refused because it comes again.
func (c *crash) refused(op *inProcess, p params, what string) {
	c.t.Helper()
	c.checked["replays refused"]++
	if a := op.token(c.t, p); a.Status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
		c.problem("%s: %d %s", what, a.Status, a.Raw)
	}
}

// crashConfig is the configuration of both: nothing expires meanwhile, and nothing
// takes long.
func crashConfig(store storage.Store) provider.Config {
	clients := fastClients().Clients
	clients[0].SkipConsent = true
	return provider.Config{
		Store: store, Clients: clients,
		Users:     []provider.User{{Username: "alice", PasswordHash: cheapPassword, Claims: map[string]any{"sub": "alice"}}},
		Lifetimes: provider.Lifetimes{Code: provider.Duration(10 * time.Minute), AccessToken: provider.Duration(time.Hour)},
	}
}
