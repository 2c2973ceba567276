package bff_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// openBrowser opens a tab that knows no hosts but the lab's.
func openBrowser(t *testing.T, l *lab) *browsertest.Tab {
	t.Helper()
	l.net["bff.lab.localhost"] = l.bff
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, ok := l.net[r.Host]
		if !ok {
			http.Error(w, "no such host", http.StatusBadGateway)
			return
		}
		host.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return browsertest.Open(t, browsertest.Through(server.URL))
}

// waitFor waits for the page in a state, without an error.
func waitFor(tab *browsertest.Tab, state string) {
	tab.Wait(`body[data-state="` + state + `"]:not([data-error])`)
}

func TestPageInABrowser(t *testing.T) {
	l := newLab(t)
	tab := openBrowser(t, l)
	tab.Navigate(baseURL)
	waitFor(tab, "signed-out")
	tab.Click("#signin")
	waitFor(tab, "signed-in")
	tab.Wait("#holdings table")
	tab.Wait("#steps li:nth-child(7)")
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)
	tab.Fill("#note", "a note")
	tab.Click("#add-note")
	tab.Wait(`#api-result[data-status="200"]`)
	tab.Click("#renew")
	tab.Wait(`body[data-renewals="1"]`)
	tab.Reload()
	waitFor(tab, "signed-in")
	for expression, want := range map[string]string{
		`document.querySelector("#who").textContent`: "Alice Liddell (alice)",
		"document.cookie": "",
		"location.href":   baseURL + "/",
	} {
		if got := browsertest.Eval[string](tab, expression); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}

	// Signing out leads through the provider and back.
	tab.Click("#signout")
	waitFor(tab, "signed-out")
	tab.WaitText("#notice", "here and at the provider")
}

func TestPageTellsOfErrors(t *testing.T) {
	l := newLab(t)
	tab := openBrowser(t, l)

	// The session is missing right after a login: the browser kept no cookie.
	tab.Navigate(baseURL + "/#login=done")
	tab.WaitText("#error", "--tls")

	// A refused callback is a page of its own.
	tab.Navigate(baseURL + "/callback?state=x&code=y")
	tab.Wait(`body[data-error="login_not_begun_here"] #error`)

	// The provider ends the grant: the page says so, and that nobody is signed in.
	tab.Click("#start")
	waitFor(tab, "signed-out")
	tab.Click("#signin")
	waitFor(tab, "signed-in")
	l.op.forgetRefresh()
	tab.Click("#renew")
	tab.Wait(`body[data-state="signed-out"] #error`)
	tab.WaitText("#error", "invalid_grant")
}
