package lab_test

import (
	"path/filepath"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// TestPicturesOfEveryPage looks at every page in a narrow and a wide window,
// light and dark: nothing may have to be scrolled sideways, every page names
// its party and leads back to the lab's home. With -update it takes the
// README's pictures.
func TestPicturesOfEveryPage(t *testing.T) {
	l := start(t, nil)
	tab := browsertest.Open(t)
	look := func(page string) {
		t.Helper()
		tab.Wait("header.bar .party")
		for _, width := range []int64{360, 1600} {
			for _, dark := range []bool{false, true} {
				tab.Look(width, dark)
				if over := browsertest.Eval[int](tab, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("%s is %d px too wide for a window of %d", page, over, width)
				}
			}
		}
		if page != "home" && browsertest.Eval[string](tab, `document.querySelector("#home")?.href ?? ""`) != l.HomeURL() {
			t.Errorf("%s has no way back to the lab's home", page)
		}
	}
	picture := func(name string, dark bool) {
		t.Helper()
		if *update {
			tab.Look(1200, dark)
			tab.Screenshot(filepath.Join("..", "..", "testdata", "pictures", name+".png"))
		}
	}

	tab.Navigate(l.HomeURL())
	look("home")
	picture("home", false)
	tab.Navigate(l.Issuer() + "/")
	look("provider")
	tab.Navigate(l.Issuer() + "/authorize?client_id=nobody")
	look("error")
	tab.Navigate(l.Issuer() + "/nothing")
	look("not found")
	for _, party := range []string{"api", "frontenddriven-backend"} {
		tab.Navigate(l.Origin(party) + "/")
		look(party)
	}
	for _, client := range browserClients {
		tab.Navigate(l.Origin(client.name) + "/")
		tab.Click(`body[data-state="signed-out"] #signin`)
		if client == browserClients[0] {
			tab.WaitURL(l.Issuer() + "/login")
			look("login")
			l.login(tab, "alice", "alice")
		}
		tab.WaitURL(l.Issuer() + "/consent")
		look("consent")
		tab.Click("#allow")
		tab.WaitURL(l.Origin(client.name))
		tab.Click(`body[data-state="signed-in"] #call-api`)
		tab.Wait(`#api-result[data-status="200"]`)
		look(client.name)
		if client.name == "frontenddriven" {
			picture(client.name, false)
		}
	}
	tab.Navigate(l.Issuer() + "/logout")
	look("logout")
	tab.Click("#logout-yes")
	tab.WaitText("main", "signed out")
	look("signed out")
}
