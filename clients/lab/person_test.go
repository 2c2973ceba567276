package lab_test

import "github.com/oidclab/oidclab/clients/internal/browsertest"

// browserClient is one of the four clients with a page, and what is its own.
type browserClient struct {
	name  string
	renew string // the button that renews
}

var browserClients = []browserClient{
	{"implicit", "#renew"},
	{"pkce", "#renew"},
	{"bff", "#renew"},
	{"frontenddriven", "#renew"},
}

// signIn goes from a client's page through login and consent, and back.
func (r *running) signIn(tab *browsertest.Tab, client, username string) {
	tab.Navigate(r.Origin(client) + "/")
	tab.Wait(`body[data-state="signed-out"] #signin`)
	tab.Click("#signin")
	r.login(tab, username, username)
	tab.WaitURL(r.Issuer() + "/consent")
	tab.Click("#allow")
	tab.WaitURL(r.Origin(client))
	tab.Wait(`body[data-state="signed-in"]`)
}

// login fills in the provider's login page.
func (r *running) login(tab *browsertest.Tab, username, password string) {
	tab.WaitURL(r.Issuer() + "/login")
	tab.Fill("#username", username)
	tab.Fill("#password", password)
	tab.Click("#submit")
}
