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
func FindBrowser(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OIDCLAB_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no browser: install chromium, or name one in OIDCLAB_CHROMIUM")
	return ""
}

// Tab is one tab of a browser of its own, which ends with the test.
type Tab struct{ ctx context.Context } //nolint:containedctx // chromedp's handle of a tab is a context

// Open starts a browser and opens an address.
func Open(t testing.TB, url string) *Tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(FindBrowser(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // starts it without a time limit, which would end it
		t.Fatal(err)
	}
	tab := &Tab{ctx}
	tab.Do(t, chromedp.Navigate(url))
	return tab
}

// Do runs actions, and fails the test with what the page shows when they do not
// come to an end.
func (tab *Tab) Do(t testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("%v; the page shows:\n%s", err, Evaluate[string](t, tab, "location.href + '\\n' + document.body.innerText"))
	}
}

// Navigate opens an address.
func (tab *Tab) Navigate(t testing.TB, url string) {
	t.Helper()
	tab.Do(t, chromedp.Navigate(url))
}

// Click presses what the selector finds.
func (tab *Tab) Click(t testing.TB, selector string) {
	t.Helper()
	tab.Do(t, chromedp.Click(chromedp.CSS(selector)))
}

// Wait waits until the page has what the selector finds.
func (tab *Tab) Wait(t testing.TB, selector string) {
	t.Helper()
	tab.Do(t, chromedp.WaitReady(chromedp.CSS(selector)))
}

// Evaluate runs an expression in the page, awaits its promise and decodes its
// value.
func Evaluate[T any](t testing.TB, tab *Tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}
