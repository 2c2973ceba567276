package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/oidclab/oidclab/clients/internal/web"
)

// findBrowser returns the Chromium that runs the modules' tests. A machine
// without one fails the test: skipping would leave the checks unchecked.
func findBrowser(t *testing.T) string {
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

// openPage serves a page whose only script is the given module, under the real
// content security policy, and opens it in a browser.
func openPage(t *testing.T, module string, more http.Handler) context.Context {
	t.Helper()
	pages := web.Site{Files: fstest.MapFS{
		"index.html": {Data: []byte(`<!doctype html><html lang="en" data-party="frontend"><title>test</title>` +
			`<link rel="icon" href="data:,"><script type="module" src="/page.js"></script>` +
			`<body data-state="loading"><a id="home">home</a><p id="who"></p><div id="error" hidden></div><div id="notice" hidden></div>` +
			`<button id="press">press</button><div id="holdings"></div><div id="id-token"></div><div id="api-result"></div><ol id="steps"></ol></body></html>`)},
		"page.js": {Data: []byte(module + "\ndocument.body.dataset.ready = 'yes';\n")},
	}}.Handler()
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	if more != nil {
		mux.Handle("/fake/", more)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL), chromedp.WaitReady(chromedp.CSS("body[data-ready]"))); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// evaluate runs an expression, awaits its promise and decodes its value.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T { //nolint:revive // t comes first in test helpers
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}
