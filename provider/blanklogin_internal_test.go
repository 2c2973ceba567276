package provider

import (
	"bytes"
	"fmt"
	"testing"
)

// TestBlankLogin: a page that is put together from a blank one is the page that the
// template makes, whatever stands in it.
func TestBlankLogin(t *testing.T) {
	pages, err := newPages("/op", "http://home.example/")
	if err != nil {
		t.Fatal(err)
	}
	tricky := loginPage{
		clientView: clientView{ClientName: `value="{request}" & value="{csrf}" <b>`, LogoURI: "https://client.example/logo?a=1&b=2"},
		Action:     "/op/login", FormTarget: "https://client.example", Warning: "{csrf}", Reauthenticate: true, DemoUsers: []string{"alice"},
	}
	for name, view := range map[string]loginPage{
		"plain": {Action: "/op/login"}, "tricky": tricky, "typed": {Username: "alice", Error: "wrong"},
	} {
		for _, fields := range [][2]string{{"sealed-1", "token-1"}, {"sealed-2", "token-2"}, {`"><script>`, "&amp;"}} {
			view.Request, view.CSRF = fields[0], fields[1]
			got, want := pages.loginPage(view), pages.execute("login", view)
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", name, fields[0], got, want)
			}
		}
	}
	for i := range 3 * maxBlankLogins {
		pages.loginPage(loginPage{clientView: clientView{ClientName: fmt.Sprint(i)}})
	}
	if n := len(pages.blankLogins.pages); n > maxBlankLogins {
		t.Errorf("%d blank pages are kept, want at most %d", n, maxBlankLogins)
	}
}
