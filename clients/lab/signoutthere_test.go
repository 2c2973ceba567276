package lab_test

import (
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/lab"
)

// signInAgain signs in at one more client with the provider's session.
func (r *running) signInAgain(tab *browsertest.Tab, client string) {
	tab.Navigate(r.Origin(client) + "/")
	tab.Wait(`body[data-state="signed-out"] #signin`)
	tab.Click("#signin")
	tab.WaitURL(r.Issuer() + "/consent")
	tab.Click("#allow")
	tab.WaitURL(r.Origin(client))
	tab.Wait(`body[data-state="signed-in"]`)
}

// signOutThere signs out at the provider's own page.
func (r *running) signOutThere(tab *browsertest.Tab) {
	tab.Navigate(r.Issuer() + "/logout")
	tab.Click("#logout-yes")
	tab.WaitText("h1", "You are signed out")
}

// TestSignOutAtTheProvider: whoever signs out at the provider is signed out at
// its clients, and another browser's session goes on.
func TestSignOutAtTheProvider(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			l := start(t, func(c *lab.Config) { c.Layout, c.AnyPorts = layout, true })
			tab, other := browsertest.Open(t), browsertest.Open(t)
			l.signIn(tab, "bff", "alice")
			l.signInAgain(tab, "frontenddriven")
			l.signIn(other, "bff", "bob")
			l.signOutThere(tab)

			tab.Navigate(l.Origin("bff") + "/")
			tab.WaitText("#error", "You were signed out at the provider")
			tab.Wait(`body[data-state="signed-out"]`)
			tab.Reload() // it is said once
			tab.Wait(`body[data-state="signed-out"]:not([data-error])`)

			tab.Navigate(l.Origin("frontenddriven") + "/")
			tab.Click("#renew")
			tab.WaitText("#error", "You were signed out at the provider")
			tab.Wait(`body[data-state="signed-out"]`)

			other.Click("#call-api")
			other.Wait(`#api-result[data-status="200"]`)
			other.Reload()
			other.Wait(`body[data-state="signed-in"]`)
		})
	}
}

// TestSessionIsWatched: the public client's page, which no server tells of
// anything, notices by itself what happens at the provider.
func TestSessionIsWatched(t *testing.T) {
	l := start(t, nil)
	tab := browsertest.Open(t)
	l.signIn(tab, "pkce", "alice")
	tab.WaitText("#watch", "whether you are still signed in")
	tab.Click("#renew") // which leaves the session as it is
	tab.Wait(`body[data-renewals="1"]`)

	// In another tab of the browser, at the provider.
	there := tab.Another()
	l.signOutThere(there)
	tab.WaitText("#notice", "You signed out at the provider")
	tab.Wait(`body[data-state="signed-out"]`)
	tab.WaitText("#holdings", "Nothing")
	l.wantNoSession(tab)
}

// TestSessionOnAnotherSite: where the browser keeps the provider's cookie from
// its frames, the page says so, and signs nobody out.
func TestSessionOnAnotherSite(t *testing.T) {
	l := start(t, func(c *lab.Config) { c.OPHost = "op.idp.localhost" })
	tab := browsertest.Open(t)
	l.signIn(tab, "pkce", "alice")
	tab.WaitText("#watch", "cannot watch your session", "login_required")
	tab.WaitText("#steps", "Redeemed the code", "said that the session has changed")
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)
	tab.Wait(`body[data-state="signed-in"]`)
}
