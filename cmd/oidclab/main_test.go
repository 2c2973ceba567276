package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

// TestMain makes this test binary the program itself, and the system's browser.
func TestMain(m *testing.M) {
	opener := map[string]string{"darwin": "open", "windows": "rundll32"}[runtime.GOOS]
	if opener == "" {
		opener = "xdg-open"
	}
	testscript.Main(m, map[string]func(){
		"oidclab": func() { os.Exit(run()) },
		opener:    func() { os.Exit(openBrowser()) },
	})
}

// openBrowser is the system's browser of the scripts: it leaves the URL for
// their command "visit".
func openBrowser() int {
	if err := writeAtomically(os.Getenv("VISIT"), []byte(os.Args[len(os.Args)-1])); err != nil {
		return 1
	}
	return 0
}

// TestScripts runs testdata/script against the real main.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("VISIT", filepath.Join(env.WorkDir, "url"))
			bench, err := filepath.Abs("../../testdata/bench.yaml")
			env.Setenv("BENCH_CONFIG", bench)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":  waitForReady,
			"opened": opened,
			"visit":  visit,
			"enter":  enter,
			"await":  await,
			"term":   terminate,
			"mode":   checkMode,
			"occupy": occupy,
			"answer": answer,
			"fetch":  fetch,
			"damage": damage,

			"database": database,

			"certify":   certify,
			"handshake": handshake,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, errors.New("unknown condition " + cond)
		},
	})
}

// poll reads a file as soon as it is there.
func poll(ts *testscript.TestScript, path string) []byte {
	return pollFor(ts, path, func([]byte) bool { return true })
}

// pollFor reads a file as soon as it is there and complete.
func pollFor(ts *testscript.TestScript, path string, complete func([]byte) bool) []byte {
	path = ts.MkAbs(path)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if data, err := os.ReadFile(path); err == nil && complete(data) {
			return data
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s does not appear, or is not complete", path)
		}
	}
}

// waitForReady: "ready FILE" waits until the ready file is there, and sets from
// it ISSUER, PORT, PID, CA, CONTROL, and of a lab each party's origin: PARTY_bff.
func waitForReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready FILE")
	}
	data := poll(ts, args[0])
	var line readyLine
	if err := json.Unmarshal(data, &line); err != nil || strings.Count(string(data), "\n") != 1 {
		ts.Fatalf("%s: %q, %v", args[0], data, err)
	}
	ts.Setenv("ISSUER", line.Issuer)
	ts.Setenv("PORT", strconv.Itoa(line.Port))
	ts.Setenv("PID", strconv.Itoa(line.PID))
	ts.Setenv("CONTROL", line.Control)
	ts.Setenv("CA", line.CA)
	for name, origin := range line.Parties {
		ts.Setenv("PARTY_"+strings.ReplaceAll(name, "-", "_"), origin)
	}
}

// opened: "opened" waits until a URL was opened in the browser.
func opened(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: opened")
	}
	poll(ts, ts.Getenv("VISIT"))
}

// visit: "visit USER PASSWORD" waits for a URL to be opened in the browser,
// signs in there, allows what is asked, and prints the title of the last page.
// "! visit" denies it.
func visit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] visit USER PASSWORD")
	}
	target := string(poll(ts, ts.Getenv("VISIT")))
	browser := providertest.NewBrowser(scriptTB{ts: ts}).Trust(authority(ts))
	page := browser.Get(target)
	if page.Callback == nil {
		page = browser.Submit(page, "submit", map[string]string{"username": args[0], "password": args[1]})
	}
	if page.Callback == nil {
		button := "allow"
		if neg {
			button = "deny"
		}
		page = browser.Submit(page, button, nil)
	}
	if page.Callback == nil {
		ts.Fatalf("no callback but %d at %s: %s", page.Status, page.URL, page.Body)
	}
	resp, err := http.Get(page.Callback.String())
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, title, _ := strings.Cut(string(body), "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	_, err = io.WriteString(ts.Stdout(), title+"\n")
	ts.Check(err)
}

// await: "await FILE REGEXP" waits until a line of the file matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	pollFor(ts, args[0], regexp.MustCompile("(?m)"+args[1]).Match)
}

// enter: "enter FILE USER PASSWORD" waits until FILE says where a device is
// connected, and types in its code there. "! enter" refuses the device.
func enter(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] enter FILE USER PASSWORD")
	}
	shown := regexp.MustCompile(`(?s)visit in any browser\n\n  (\S+)\n\nand type in the code\n\n  (\S+)\n`)
	said := shown.FindSubmatch(pollFor(ts, args[0], shown.Match))
	browser := providertest.NewBrowser(scriptTB{ts: ts}).Trust(authority(ts))
	page := browser.Submit(browser.Get(string(said[1])), "submit", map[string]string{"user_code": string(said[2])})
	page = browser.Submit(page, "submit", map[string]string{"username": args[1], "password": args[2]})
	button := "allow"
	if neg {
		button = "deny"
	}
	if page = browser.Submit(page, button, nil); page.Status != http.StatusOK {
		ts.Fatalf("%d at %s: %s", page.Status, page.URL, page.Body)
	}
}

// scriptTB lets the fixtures of Go tests fail a script.
type scriptTB struct {
	testing.TB // panics for what is not below
	ts         *testscript.TestScript
}

func (s scriptTB) Helper()                           {}
func (s scriptTB) Cleanup(f func())                  { s.ts.Defer(f) }
func (s scriptTB) Context() context.Context          { return context.Background() }
func (s scriptTB) Fatal(args ...any)                 { s.ts.Fatalf("%v", args) }
func (s scriptTB) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }

// database: "database" sets POSTGRES to the URL of an empty one, which has the
// password "not-for-logs" unless another one is needed.
func database(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: database")
	}
	u, err := url.Parse(postgrestest.URL(scriptTB{ts: ts}))
	ts.Check(err)
	if _, needed := u.User.Password(); !needed {
		u.User = url.UserPassword(u.User.Username(), "not-for-logs")
	}
	ts.Setenv("POSTGRES", u.String())
}

// terminate: "term" sends SIGTERM to PID, which "kill" cannot.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: term")
	}
	pid, err := strconv.Atoi(ts.Getenv("PID"))
	ts.Check(err)
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Signal(syscall.SIGTERM))
}

// checkMode: "mode 0600 FILE".
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode MODE FILE")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		ts.Fatalf("%s: mode %v", args[1], got)
	}
}

// occupy: "occupy" listens on a free port and sets ADDR to it.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: occupy")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	ts.Setenv("ADDR", ln.Addr().String())
}

// damage: "damage FILE" wipes the pages of a store's file, but for the two that it
// begins with.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage FILE")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	clear(content[min(len(content), 2*os.Getpagesize()):])
	ts.Check(os.WriteFile(path, content, 0o600))
}

// answer: "answer STATUS" serves that status to every request and sets ISSUER.
func answer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answer STATUS")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })}
	go server.Serve(ln) //nolint:errcheck // ends with the script
	ts.Defer(func() { server.Close() })
	ts.Setenv("ISSUER", "http://"+ln.Addr().String())
}

// fetch: "fetch URL" gets a page that is there, and has its text as the output.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] fetch URL")
	}
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if found := resp.StatusCode == http.StatusOK; found == neg {
		ts.Fatalf("%s: status %d", args[0], resp.StatusCode)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}
