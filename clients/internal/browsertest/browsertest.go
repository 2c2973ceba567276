// Package browsertest drives a real Chromium in tests. A machine without one
// fails the test: skipping would leave the pages unchecked.
package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take before a test fails. Nothing waits for
// it: every wait is for a condition.
const patience = 30 * time.Second

// Tab is one tab of a browser with a profile of its own.
type Tab struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // a tab is a context in chromedp
}

// Find returns the path of the browser: $OIDCLAB_CHROMIUM, or the first that
// is installed.
func Find(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OIDCLAB_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no browser: install chromium, or name one in OIDCLAB_CHROMIUM")
	return ""
}

// Open starts a browser with an empty profile until the test ends. It reaches
// loopback only.
func Open(t testing.TB, more ...chromedp.ExecAllocatorOption) *Tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Find(t)),
		chromedp.NoSandbox, // a root user, as in containers, has none
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closeTab()
		stop()
	})
	return &Tab{t: t, ctx: ctx}
}

// Another opens a second tab of the same profile.
func (tab *Tab) Another() *Tab {
	tab.t.Helper()
	ctx, closeTab := chromedp.NewContext(tab.ctx)
	tab.t.Cleanup(closeTab)
	return &Tab{t: tab.t, ctx: ctx}
}

// For returns the tab for use in another test, a subtest say.
func (tab *Tab) For(t testing.TB) *Tab { return &Tab{t: t, ctx: tab.ctx} }

// Do runs actions in order.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := tab.try(actions...); err != nil {
		tab.t.Fatalf("%v\nat %s", err, tab.whereabouts())
	}
}

func (tab *Tab) try(actions ...chromedp.Action[chromedp.Void]) error {
	// Not a timeout on the first use of the tab: chromedp would tie the
	// browser's life to it.
	if err := chromedp.Do(tab.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, actions...)
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

// Navigate opens a URL.
func (tab *Tab) Navigate(url string) { tab.t.Helper(); tab.Do(chromedp.Navigate(url)) }

// Reload loads the page again.
func (tab *Tab) Reload() { tab.t.Helper(); tab.Do(chromedp.Reload()) }

// Click waits for an element and clicks it.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// Fill replaces the text of an input.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Wait waits until an element is visible.
func (tab *Tab) Wait(selector string) {
	tab.t.Helper()
	tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// WaitURL waits until the page's URL begins so.
func (tab *Tab) WaitURL(prefix string) {
	tab.t.Helper()
	tab.until("the URL is "+prefix, func() bool {
		url, err := eval[string](tab, "location.href")
		return err == nil && strings.HasPrefix(url, prefix)
	})
}

// Text returns what an element shows.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	tab.Wait(selector)
	return Eval[string](tab, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// WaitText waits until an element shows all of the words.
func (tab *Tab) WaitText(selector string, words ...string) {
	tab.t.Helper()
	show := fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)
	tab.until(fmt.Sprintf("%s shows %q", selector, words), func() bool {
		text, err := eval[string](tab, show)
		return err == nil && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
	})
}

// until looks at a condition until it holds. A look may fail while a page is
// being left.
func (tab *Tab) until(what string, holds func() bool) {
	tab.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	tab.t.Fatalf("waited until %s, but at %s", what, tab.whereabouts())
}

// URL returns the page's URL.
func (tab *Tab) URL() string { tab.t.Helper(); return Eval[string](tab, "location.href") }

// Eval runs an expression in the page, awaits its promise and returns its value.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := eval[T](tab, expression)
	if err != nil {
		tab.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func eval[T any](tab *Tab, expression string) (value T, err error) {
	if err := chromedp.Do(tab.ctx); err != nil { // as in try
		return value, err
	}
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	// As JSON: what crosses between the page and the test is plain data.
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		"(async () => JSON.stringify(await ("+expression+")) ?? 'null')()", chromedp.EvalAwaitPromise))
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal([]byte(raw), &value)
}

// Cookies returns the profile's cookies by "host name".
func (tab *Tab) Cookies() map[string]*network.Cookie {
	tab.t.Helper()
	result, err := chromedp.CallBrowser(tab.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		tab.t.Fatal(err)
	}
	cookies := map[string]*network.Cookie{}
	for _, cookie := range result.Cookies {
		cookies[cookie.Domain+" "+cookie.Name] = cookie
	}
	return cookies
}

// Look sets the width of the window and the colour scheme.
func (tab *Tab) Look(width int64, dark bool) {
	tab.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	tab.Do(chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, params)
		return err
	}))
}

// Screenshot writes what the window shows as a PNG.
func (tab *Tab) Screenshot(path string) {
	tab.t.Helper()
	picture, err := chromedp.Run(tab.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o750)
	}
	if err == nil {
		err = os.WriteFile(path, picture, 0o600)
	}
	if err != nil {
		tab.t.Fatal(err)
	}
}
