package lab_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/lab"
)

// eachClient runs a test at every client with a page, in a browser of its own
// that stands at the provider's login page.
func eachClient(t *testing.T, test func(t *testing.T, l *running, tab *browsertest.Tab, client string)) {
	t.Helper()
	l := start(t, nil)
	for _, client := range browserClients {
		t.Run(client.name, func(t *testing.T) {
			tab := browsertest.Open(t)
			tab.Navigate(l.Origin(client.name) + "/")
			tab.Click(`body[data-state="signed-out"] #signin`)
			tab.WaitURL(l.Issuer() + "/login")
			test(t, l, tab, client.name)
		})
	}
}

func TestWrongPassword(t *testing.T) {
	eachClient(t, func(_ *testing.T, l *running, tab *browsertest.Tab, client string) {
		l.login(tab, "alice", "wrong")
		tab.WaitText("[role=alert]", "The username or the password is wrong.")
		tab.WaitURL(l.Issuer() + "/login")
		// The page still leads on: nothing was lost.
		l.login(tab, "alice", "alice")
		tab.Click("#allow")
		tab.WaitURL(l.Origin(client))
		tab.Wait(`body[data-state="signed-in"]`)
	})
}

func TestDeniedConsent(t *testing.T) {
	eachClient(t, func(_ *testing.T, l *running, tab *browsertest.Tab, client string) {
		l.login(tab, "alice", "alice")
		tab.Click("#deny")
		tab.WaitURL(l.Origin(client))
		tab.WaitText("#error", "access_denied")
		l.wantSignedOut(tab, client)
	})
}

// TestTamperedState changes the state on its way back to the client: the client
// must not use the response (RFC 6749 §10.12).
func TestTamperedState(t *testing.T) {
	eachClient(t, func(t *testing.T, l *running, tab *browsertest.Tab, client string) {
		t.Helper()
		callback := l.callback(t, tab, client)
		tab.Navigate(strings.Replace(callback, "&state=", "&state=x", 1))
		tab.WaitText("#error", "state")
		l.wantSignedOut(tab, client)
	})
}

// TestReplayedCallback opens the URL of a finished sign-in again, in the same
// browser and in another one.
func TestReplayedCallback(t *testing.T) {
	eachClient(t, func(t *testing.T, l *running, tab *browsertest.Tab, client string) {
		t.Helper()
		callback := l.callback(t, tab, client)
		tab.Navigate(callback)
		tab.Wait(`body[data-state="signed-in"]`)
		other := browsertest.Open(t)
		for _, again := range []*browsertest.Tab{tab, other} {
			again.Navigate("about:blank") // so that a fragment is a new page, too
			again.Navigate(callback)
			if client == "bff" && again == other {
				again.WaitText("#error", "This browser did not begin this login")
			} else {
				again.WaitText("#error", "state")
			}
		}
		l.wantSignedOut(other, client)
	})
}

// wantSignedOut checks that the client's page knows nobody after a refusal.
func (r *running) wantSignedOut(tab *browsertest.Tab, client string) {
	tab.Navigate(r.Origin(client) + "/")
	tab.Wait(`body[data-state="signed-out"] #signin`)
}

// callback signs alice in and returns the URL of the authorization response,
// which the client has not seen: its page is kept from loading it.
func (r *running) callback(t *testing.T, tab *browsertest.Tab, client string) string {
	t.Helper()
	target := tab.Intercept(r.Origin(client)+"/callback", func() {
		r.login(tab, "alice", "alice")
		tab.Click("#allow")
	})
	if u, err := url.Parse(target); err != nil || u.Path != "/callback" {
		t.Fatalf("intercepted %q", target)
	}
	return target
}

// TestThirdPartyCookies: with the provider on another site, a frame gets no
// cookie of its, and the pages say so. Over http the cookie is SameSite=Lax;
// over https it may go to other sites, but the browser of these tests, whose
// profiles are private ones, blocks it there.
func TestThirdPartyCookies(t *testing.T) {
	otherSite := func(c *lab.Config) { c.OPHost = "op.idp.localhost" }
	t.Run("http", func(t *testing.T) { noCookieInFrames(t, start(t, otherSite)) })
	t.Run("https", func(t *testing.T) {
		noCookieInFrames(t, start(t, func(c *lab.Config) { otherSite(c); overTLS(t)(c) }))
	})
}

func noCookieInFrames(t *testing.T, l *running) {
	t.Helper()
	for _, tt := range []struct{ client, button string }{{"implicit", "#renew"}, {"pkce", "#renew-silent"}} {
		t.Run(tt.client, func(t *testing.T) {
			tab := browsertest.Open(t)
			l.signIn(tab, tt.client, "bob")
			tab.Click(tt.button)
			tab.WaitText("#error", "login_required", "third-party cookie")
		})
	}
}
