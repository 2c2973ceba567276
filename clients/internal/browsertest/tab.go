package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Do runs actions in order.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	tab.do("acting", actions...)
}

// do is Do that tells what failed.
func (tab *Tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.t.Fatalf("%s: %v", what, err)
	}
}

// Navigate opens a URL.
func (tab *Tab) Navigate(url string) { tab.t.Helper(); tab.do("opening "+url, chromedp.Navigate(url)) }

// Reload loads the page again.
func (tab *Tab) Reload() { tab.t.Helper(); tab.do("reloading", chromedp.Reload()) }

// Click waits for an element and clicks it.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	css := chromedp.CSS(selector)
	tab.do("clicking "+selector, chromedp.WaitVisible(css), chromedp.Click(css))
}

// Fill replaces the text of an input. (chromedp.Clear leaves what was typed, and
// chromedp.SendKeys reads the element while an event may change it.)
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Wait(selector)
	Eval[bool](tab, fmt.Sprintf("((input) => { input.focus(); input.select(); return true })(document.querySelector(%q))", selector))
	tab.do("filling "+selector, chromedp.KeyEvent(kb.Backspace+text))
}

// Wait waits until an element is visible.
func (tab *Tab) Wait(selector string) {
	tab.t.Helper()
	tab.do("waiting for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
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
	tab.t.Fatalf("waited in vain until %s", what)
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
	result, err := chromedp.CallBrowser(tab.ctx, storage.GetCookies, storage.GetCookiesParams{
		BrowserContextID: chromedp.FromContext(tab.ctx).BrowserContextID,
	})
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
