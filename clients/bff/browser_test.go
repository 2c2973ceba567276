package bff_test

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// openBrowser starts Chromium, which knows no hosts but the lab's. A
// machine without a browser fails the test: skipping would leave it unchecked.
func openBrowser(t *testing.T, l *lab) context.Context {
	t.Helper()
	path := os.Getenv("OIDCLAB_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		found, _ := exec.LookPath(name)
		path = cmp.Or(path, found)
	}
	if path == "" {
		t.Fatal("no browser: install chromium, or name one in OIDCLAB_CHROMIUM")
	}
	l.net["bff.lab.localhost"] = l.bff
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.net[r.Host].ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP *.lab.localhost "+strings.TrimPrefix(server.URL, "http://")+", MAP * ~NOTFOUND"))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// on is the page in a state, without an error.
func on(state string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitReady(chromedp.CSS(`body[data-state="` + state + `"]:not([data-error])`))
}

func click(id string) chromedp.Action[chromedp.Void] { return chromedp.Click(chromedp.ID(id)) }

func seen(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

func wantText(t *testing.T, ctx context.Context, expression, want string) { //nolint:revive // t comes first in test helpers
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("%s is %q (%v), want %q in it", expression, got, err, want)
	}
}

func TestPageInABrowser(t *testing.T) {
	l := newLab(t)
	ctx := openBrowser(t, l)
	steps := []struct {
		name    string
		actions []chromedp.Action[chromedp.Void]
	}{
		{"open", []chromedp.Action[chromedp.Void]{chromedp.Navigate(baseURL), on("signed-out")}},
		{"sign in", []chromedp.Action[chromedp.Void]{click("signin"), on("signed-in"), seen("#holdings table"), seen("#steps li:nth-child(7)")}},
		{"call the API", []chromedp.Action[chromedp.Void]{click("call-api"), seen(`#api-result[data-status="200"]`)}},
		{"add a note", []chromedp.Action[chromedp.Void]{chromedp.SendKeys(chromedp.ID("note"), "a note"), click("add-note"), seen(`#api-result[data-status="200"]`)}},
		{"renew", []chromedp.Action[chromedp.Void]{click("renew"), seen(`body[data-renewals="1"]`)}},
		{"reload", []chromedp.Action[chromedp.Void]{chromedp.Reload(), on("signed-in")}},
	}
	for _, step := range steps {
		if err := chromedp.Do(ctx, step.actions...); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	wantText(t, ctx, `document.querySelector("#who").textContent`, "Alice Liddell (alice)")
	wantText(t, ctx, `"cookies: " + document.cookie + "."`, "cookies: .")
	wantText(t, ctx, `location.href + "."`, baseURL+"/.")

	// Signing out leads through the provider and back.
	if err := chromedp.Do(ctx, click("signout"), on("signed-out"), seen("#notice")); err != nil {
		t.Fatal(err)
	}
	wantText(t, ctx, `document.querySelector("#notice").textContent`, "here and at the provider")
}

func TestPageTellsOfErrors(t *testing.T) {
	l := newLab(t)
	ctx := openBrowser(t, l)

	// The session is missing right after a login: the browser kept no cookie.
	if err := chromedp.Do(ctx, chromedp.Navigate(baseURL+"/#login=done"), seen("#error")); err != nil {
		t.Fatal(err)
	}
	wantText(t, ctx, `document.querySelector("#error").textContent`, "--tls")

	// A refused callback is a page of its own.
	if err := chromedp.Do(ctx, chromedp.Navigate(baseURL+"/callback?state=x&code=y"), seen(`body[data-error="login_not_begun_here"] #error`)); err != nil {
		t.Fatal(err)
	}

	// The provider ends the grant: the page says so, and that nobody is signed in.
	if err := chromedp.Do(ctx, click("start"), on("signed-out"), click("signin"), on("signed-in")); err != nil {
		t.Fatal(err)
	}
	l.op.forgetRefresh()
	if err := chromedp.Do(ctx, click("renew"), seen(`body[data-state="signed-out"] #error`)); err != nil {
		t.Fatal(err)
	}
	wantText(t, ctx, `document.querySelector("#error").textContent`, "invalid_grant")
}
