package lab_test

import (
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// TestWholeLifeOfASignIn does at each client what a person would: sign in, call
// the API, add a note, renew, reload, sign out, and look whether the session
// at the provider is gone.
func TestWholeLifeOfASignIn(t *testing.T) {
	l := start(t, nil)
	for _, client := range browserClients {
		t.Run(client.name, func(t *testing.T) {
			tab := browsertest.Open(t)
			l.signIn(tab, client.name, "alice")
			tab.WaitText("#who", "Alice Liddell", "alice")
			tab.WaitText("#id-token", l.Issuer(), client.name)
			tab.Wait("#steps li:nth-child(3)")
			tab.Wait("#holdings table")

			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)
			tab.Fill("#note", "written by "+client.name)
			tab.Click("#add-note")
			tab.WaitText("#api-result", "written by "+client.name)

			tab.Click(client.renew)
			tab.Wait(`body[data-renewals="1"]`)
			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)

			tab.Reload()
			tab.Wait(`body[data-state="signed-in"]`)
			tab.WaitText("#who", "Alice Liddell")
			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)

			tab.Click("#signout")
			tab.WaitURL(l.Origin(client.name))
			tab.Wait(`body[data-state="signed-out"]`)
			l.wantNoSession(tab)
		})
	}
}

// wantNoSession checks that the provider asks for the password again.
func (r *running) wantNoSession(tab *browsertest.Tab) {
	tab.Reload()
	tab.Wait(`body[data-state="signed-out"]`)
	tab.Click("#signin")
	tab.WaitURL(r.Issuer() + "/login")
	tab.Wait("#password")
}
