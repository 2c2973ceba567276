package browsertest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// serve answers every request with a page that may be kept in the cache, and
// counts them.
func serve(t *testing.T) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			return
		}
		requests.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = fmt.Fprintf(w, "<!doctype html><body>the page of %s<input value=before></body>", r.Host)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

const kept = `[document.cookie, localStorage.mine ?? ""].join()`

func TestProfilesShareNothing(t *testing.T) {
	url, requests := serve(t)
	tab := browsertest.Open(t)
	tab.Navigate(url)
	browsertest.Eval[string](tab, `document.cookie = localStorage.mine = "mine=1"`)

	second := tab.Another()
	second.Navigate(url)
	if got := browsertest.Eval[string](second, kept); got != "mine=1,mine=1" || requests.Load() != 1 {
		t.Errorf("a second tab of the profile has %q after %d requests", got, requests.Load())
	}
	if tab.Cookies()["127.0.0.1 mine"] == nil {
		t.Errorf("cookies %v", tab.Cookies())
	}

	other := browsertest.Open(t)
	other.Navigate(url)
	if got := browsertest.Eval[string](other, kept); got != "," || requests.Load() != 2 || len(other.Cookies()) != 0 {
		t.Errorf("another profile has %q and %v after %d requests", got, other.Cookies(), requests.Load())
	}
}

func TestThrough(t *testing.T) {
	proxy, _ := serve(t)
	tab := browsertest.Open(t, browsertest.Through(proxy))
	for _, host := range []string{"op.lab.localhost", "op.example", "127.0.0.1:8080"} {
		tab.Navigate("http://" + host + "/")
		tab.WaitText("body", "the page of "+host)
	}
}

func TestFillReplaces(t *testing.T) {
	url, _ := serve(t)
	tab := browsertest.Open(t)
	tab.Navigate(url)
	for _, text := range []string{"first", "Second 2", ""} {
		tab.Fill("input", text)
		if got := browsertest.Eval[string](tab, `document.querySelector("input").value`); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

// failed is a test that has failed, and keeps what it logs.
type failed struct {
	testing.TB

	cleanups []func()
	logged   string
}

func (f *failed) Failed() bool       { return true }
func (f *failed) Cleanup(end func()) { f.cleanups = append(f.cleanups, end) }
func (f *failed) Log(args ...any)    { f.logged += fmt.Sprintln(args...) }

func TestFailureSaysWhereTheTabIs(t *testing.T) {
	url, _ := serve(t)
	tab := browsertest.Open(t)
	tab.Navigate(url + "/callback?code=secret")
	f := &failed{TB: t}
	tab.For(f)
	for _, end := range f.cleanups {
		end()
	}
	if !strings.Contains(f.logged, url+"/callback {}\nthe page of ") || strings.Contains(f.logged, "secret") {
		t.Errorf("logged %q", f.logged)
	}
}

// A browser that crashes takes one test with it, not the rest.
func TestCrash(t *testing.T) {
	tab := browsertest.Open(t)
	tab.Do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, _ = chromedp.CallBrowser(ctx, browser.Crash, cdp.Empty{})
		<-ctx.Done()
		return nil
	}))
	url, _ := serve(t)
	tab = browsertest.Open(t)
	tab.Navigate(url)
	tab.WaitText("body", "the page of ")
}
