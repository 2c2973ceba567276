// Package webtest has what tests of the clients' pages need: a real browser,
// and a small issuer that can be told to misbehave.
package webtest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// FindBrowser returns the path of a Chromium. A machine without one fails the
// test: skipping would leave unchecked what the test is for.
func FindBrowser(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("OIDCLAB_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatal("no browser: install chromium, or name one in OIDCLAB_CHROMIUM")
	return ""
}

// Tab is one tab of a browser of its own, which ends with the test. (chromedp's
// handle of a tab is a context.)
type Tab struct{ ctx context.Context }

// Open starts a browser and opens an address.
func Open(tb testing.TB, url string) *Tab {
	tb.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(FindBrowser(tb)), chromedp.NoSandbox, chromedp.UserDataDir(tb.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(tb.Context(), options...)
	tb.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(allocator)
	tb.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // starts it without a time limit, which would end it
		tb.Fatal(err)
	}
	tab := &Tab{ctx}
	tab.Do(tb, chromedp.Navigate(url))
	return tab
}

// Do runs actions, and fails the test with what the page shows when they do not
// come to an end.
func (tab *Tab) Do(tb testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tb.Fatalf("%v; the page shows:\n%s", err, Evaluate[string](tb, tab, "location.href + '\\n' + document.body.innerText"))
	}
}

// Navigate opens an address.
func (tab *Tab) Navigate(tb testing.TB, url string) {
	tb.Helper()
	tab.Do(tb, chromedp.Navigate(url))
}

// Click presses what the selector finds.
func (tab *Tab) Click(tb testing.TB, selector string) {
	tb.Helper()
	tab.Do(tb, chromedp.Click(chromedp.CSS(selector)))
}

// Wait waits until the page has what the selector finds.
func (tab *Tab) Wait(tb testing.TB, selector string) {
	tb.Helper()
	tab.Do(tb, chromedp.WaitReady(chromedp.CSS(selector)))
}

// Evaluate runs an expression in the page, awaits its promise and decodes its
// value.
func Evaluate[T any](tb testing.TB, tab *Tab, expression string) T {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.Fatalf("%s: %v", expression, err)
	}
	return value
}
