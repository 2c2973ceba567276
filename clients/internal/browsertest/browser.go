package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// shared is the browser of a package whose tests Main runs.
var shared struct {
	sync.Mutex
	allowed bool
	browser *browser // nil before its first use
}

// Main runs the tests of a package with one browser for all of them:
//
//	func TestMain(m *testing.M) { browsertest.Main(m) }
func Main(m *testing.M) {
	shared.allowed = true
	m.Run() // whose result becomes the process's (package testing, Main)
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "ending the browser:", err)
	}
}

// theBrowser returns the shared browser, or one until the test ends.
func theBrowser(tb testing.TB) *browser {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.browser != nil && shared.browser.runs() {
		return shared.browser
	}
	if err := stopShared(); err != nil { // it crashed
		tb.Fatal(err)
	}
	started, err := start(Find(tb))
	if err != nil {
		tb.Fatal(err)
	}
	if shared.allowed {
		shared.browser = started
		return started
	}
	tb.Cleanup(func() {
		if err := started.stop(); err != nil {
			tb.Error(err)
		}
	})
	return started
}

func stopShared() error {
	if shared.browser == nil {
		return nil
	}
	defer func() { shared.browser = nil }()
	return shared.browser.stop()
}

// Find returns the path of the browser: $OIDCLAB_CHROMIUM, or the first that
// is installed.
func Find(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("OIDCLAB_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatal("no browser: install chromium, or name one in OIDCLAB_CHROMIUM")
	return ""
}

// browser is a process of Chromium.
type browser struct {
	ctx  context.Context //nolint:containedctx // a browser is a context in chromedp
	kill func()
	temp string // its folder for temporary files, of which it leaves some
}

// start starts the browser at a path. Its own profile, which no test uses, is a
// folder that chromedp makes and removes.
func start(path string) (*browser, error) {
	temp, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // a root user, as in containers, has none
		chromedp.Env("TMPDIR="+temp),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"),
	)
	ctx, kill := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx) // kill ends it, too
	b := &browser{ctx: ctx, kill: kill, temp: temp}
	if err := chromedp.Do(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// runs tells whether the browser has neither crashed nor ended.
func (b *browser) runs() bool { return b.ctx.Err() == nil }

// stop ends the browser, and waits until nothing is left of it.
func (b *browser) stop() error {
	b.kill()
	return os.RemoveAll(b.temp)
}
