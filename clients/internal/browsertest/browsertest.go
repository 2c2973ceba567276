// Package browsertest drives a real Chromium in tests. A machine without one
// fails the test: skipping would leave the pages unchecked.
//
// Each test has a profile of its own: cookies, storage and cache. The tests of a
// package whose TestMain calls [Main] share one process; elsewhere each has its
// own. A test that fails says where its tabs were.
package browsertest

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take before a test fails. Nothing waits for
// it: every wait is for a condition.
const patience = 30 * time.Second

// Tab is one tab of a browser.
type Tab struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // a tab is a context in chromedp
}

// Open opens a tab of an empty profile until the test ends. It reaches loopback
// only.
func Open(tb testing.TB, options ...chromedp.CreateBrowserContextOption) *Tab {
	tb.Helper()
	return newTab(tb, theBrowser(tb).ctx, chromedp.WithNewBrowserContext(options...))
}

// Through makes a profile send all that it loads, of whichever host, to a proxy.
func Through(proxy string) chromedp.CreateBrowserContextOption {
	return func(params *target.CreateBrowserContextParams) {
		params.ProxyServer = proxy
		params.ProxyBypassList = "<-loopback>" // that is: nothing, not even loopback, goes past it
	}
}

// Another opens a second tab of the same profile.
func (tab *Tab) Another() *Tab {
	tab.t.Helper()
	return newTab(tab.t, tab.ctx)
}

func newTab(tb testing.TB, parent context.Context, options ...chromedp.ContextOption) *Tab { //nolint:revive // the test comes first in test helpers
	tb.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	tb.Cleanup(closeTab)
	// Without a time limit: a tab ends with the context of its first use.
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatal(err)
	}
	return (&Tab{ctx: ctx}).For(tb)
}

// For returns the tab for use in another test, a subtest say.
func (tab *Tab) For(tb testing.TB) *Tab {
	tb.Helper()
	tab = &Tab{t: tb, ctx: tab.ctx}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log("the tab is at", tab.whereabouts())
		}
	})
	return tab
}

// whereabouts describes the page for a failed test.
func (tab *Tab) whereabouts() string {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`location.origin + location.pathname + " " + JSON.stringify(document.body.dataset) + "\n" + document.body.innerText.slice(0, 3000)`))
	if err != nil {
		return "a page that does not answer: " + err.Error()
	}
	return at
}
