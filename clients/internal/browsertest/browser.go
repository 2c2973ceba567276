package browsertest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// shared is the browser of a package whose tests Main runs.
var shared struct {
	sync.Mutex
	allowed bool
	browser *browser // nil before its first use
	trusted []*x509.Certificate
}

// Main runs the tests of a package with one browser for all of them:
//
//	func TestMain(m *testing.M) { browsertest.Main(m) }
//
// The browser believes servers that send one of the trusted certificates in
// their chain, whatever else is wrong with that chain.
func Main(m *testing.M, trusted ...*x509.Certificate) {
	shared.allowed, shared.trusted = true, trusted
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
	started, err := start(Find(tb), shared.trusted)
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

// start starts the browser at a path, to believe the trusted certificates. Its own profile, which no test uses, is a
// folder that chromedp makes and removes.
func start(path string, trusted []*x509.Certificate) (*browser, error) {
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
	if len(trusted) != 0 {
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", keyHashes(trusted)))
	}
	ctx, kill := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx) // kill ends it, too
	b := &browser{ctx: ctx, kill: kill, temp: temp}
	if err := chromedp.Do(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// keyHashes names certificates by their keys, as Chromium's command line does.
func keyHashes(certificates []*x509.Certificate) string {
	var list []string
	for _, c := range certificates {
		hash := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		list = append(list, base64.StdEncoding.EncodeToString(hash[:]))
	}
	return strings.Join(list, ",")
}

// runs tells whether the browser has neither crashed nor ended.
func (b *browser) runs() bool { return b.ctx.Err() == nil }

// stop ends the browser, and waits until nothing is left of it.
func (b *browser) stop() error {
	b.kill()
	return os.RemoveAll(b.temp)
}
