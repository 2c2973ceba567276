package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

func TestPageLogin(t *testing.T) {
	view := loginPage{
		Action: "/login", Request: "sealed", CSRF: "token", clientView: clientView{ClientName: "Notes"},
		FormTarget: "https://notes.example:8443/callback?x=1", DemoUsers: []string{"alice", "bob"},
	}
	page := show(t, "", func(p *pages, w http.ResponseWriter) { p.login(w, http.StatusOK, view) })
	want := url.Values{"request": {"sealed"}, "csrf": {"token"}, "username": {""}, "password": {""}}
	if diff := cmp.Diff(want, page.fields(t)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	form := page.tags("form")[0]
	if attr(form, "method") != "post" || attr(form, "action") != "/login" {
		t.Errorf("form is %q %q", attr(form, "method"), attr(form, "action"))
	}
	for id, autocomplete := range map[string]string{"username": "username", "password": "current-password"} {
		if got := attr(page.byID(t, id), "autocomplete"); got != autocomplete {
			t.Errorf("autocomplete of %s is %q", id, got)
		}
	}
	if got := text(page.byID(t, "submit")); got != "Sign in" {
		t.Errorf("#submit says %q", got)
	}
	for _, sentence := range []string{
		"Sign in to continue to Notes", "Lab users: alice, bob; the password is the name.",
		"Afterwards your browser returns to https://notes.example:8443.",
	} {
		if !strings.Contains(text(page.root), sentence) {
			t.Errorf("the page does not say %q but %q", sentence, text(page.root))
		}
	}
	for _, id := range []string{"error", "client-logo", "client-policy", "client-tos", "client-home", "client-start"} {
		if page.byID(t, id) != nil {
			t.Errorf("there is a #%s", id)
		}
	}
	if _, focused := lookup(page.byID(t, "username"), "autofocus"); !focused {
		t.Error("the cursor does not stand in the empty username")
	}
}

func TestPageLoginWithoutDemoUsersNamesNone(t *testing.T) {
	page := show(t, "", func(p *pages, w http.ResponseWriter) { p.login(w, http.StatusOK, loginPage{}) })
	if strings.Contains(text(page.root), "Lab users") {
		t.Error("the page names users")
	}
}

func TestPageLoginAfterFailure(t *testing.T) {
	view := loginPage{Username: "alice", Error: "The username or the password is wrong.", clientView: clientView{ClientName: "Notes"}, Reauthenticate: true}
	page := show(t, "", func(p *pages, w http.ResponseWriter) { p.login(w, http.StatusUnauthorized, view) })
	if page.Code != http.StatusUnauthorized {
		t.Errorf("status %d", page.Code)
	}
	problem := page.byID(t, "error")
	if problem == nil || attr(problem, "role") != "alert" || text(problem) != view.Error {
		t.Fatal("the error is not announced")
	}
	for _, id := range []string{"username", "password"} {
		input := page.byID(t, id)
		if attr(input, "aria-describedby") != "error" || attr(input, "aria-invalid") != "true" {
			t.Errorf("#%s is not tied to the error", id)
		}
	}
	if got := attr(page.byID(t, "username"), "value"); got != "alice" {
		t.Errorf("username is %q", got)
	}
	if _, focused := lookup(page.byID(t, "password"), "autofocus"); !focused {
		t.Error("the cursor does not stand in the password")
	}
	if _, filled := lookup(page.byID(t, "password"), "value"); filled {
		t.Error("the password is filled in")
	}
	if !strings.Contains(text(page.root), "Notes asks you to sign in again.") {
		t.Error("the page does not say why it asks again")
	}
}

func TestPageShowsTheClientsLinks(t *testing.T) {
	const site = "https://client.example/"
	links := func(scheme string) clientView {
		return clientView{LogoURI: scheme + "logo", PolicyURI: scheme + "policy", TOSURI: scheme + "tos", ClientURI: scheme + "home", StartURL: scheme + "start"}
	}
	sends := map[string]func(*pages, http.ResponseWriter, string){
		"login": func(p *pages, w http.ResponseWriter, scheme string) {
			p.login(w, http.StatusOK, loginPage{clientView: links(scheme)})
		},
		"consent": func(p *pages, w http.ResponseWriter, scheme string) {
			p.consent(w, consentPage{clientView: links(scheme)})
		},
		"device": func(p *pages, w http.ResponseWriter, scheme string) {
			p.deviceConsent(w, deviceConsentPage{clientView: links(scheme)})
		},
	}
	for name, send := range sends {
		t.Run(name, func(t *testing.T) {
			page := show(t, "", func(p *pages, w http.ResponseWriter) { send(p, w, site) })
			logo := page.byID(t, "client-logo")
			if logo == nil || logo.Data != "img" || attr(logo, "src") != site+"logo" {
				t.Error("no logo")
			}
			for _, what := range []string{"policy", "tos", "home", "start"} {
				if got := attr(page.byID(t, "client-"+what), "href"); got != site+what {
					t.Errorf("#client-%s leads to %q", what, got)
				}
			}
			for _, scheme := range []string{"javascript:alert(1)//", "data:text/html,", "//client.example/", "/", "ftp://client.example/", "https:"} {
				page := show(t, "", func(p *pages, w http.ResponseWriter) { send(p, w, scheme) })
				for _, id := range []string{"client-logo", "client-policy", "client-tos", "client-home"} {
					if page.byID(t, id) != nil {
						t.Errorf("%s: there is a #%s", scheme, id)
					}
				}
			}
		})
	}
}

func TestPageConsent(t *testing.T) {
	view := consentPage{
		Action: "/consent", Request: "sealed", CSRF: "token", clientView: clientView{ClientName: "Notes"}, Username: "alice", Name: "Alice Liddell",
		Lines:      []consentLine{{"openid", "Know who you are", false}, {"notes:read", "Read your notes", true}},
		FormTarget: "com.example.notes:/callback",
	}
	send := func(p *pages, w http.ResponseWriter) { p.consent(w, view) }
	page := show(t, "", send)
	if diff := cmp.Diff(url.Values{"request": {"sealed"}, "csrf": {"token"}}, page.fields(t)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	for _, answer := range []string{"allow", "deny"} {
		button := page.byID(t, answer)
		if attr(button, "name") != "decision" || attr(button, "value") != answer || attr(button, "type") != "submit" {
			t.Errorf("#%s sends %q=%q", answer, attr(button, "name"), attr(button, "value"))
		}
	}
	for _, sentence := range []string{
		"Notes asks to: Know who you are openid Read your notes new notes:read", "Signed in as Alice Liddell (alice)",
		"Either way your browser returns to com.example.notes:.",
	} {
		if !strings.Contains(text(page.root), sentence) {
			t.Errorf("the page does not say %q but %q", sentence, text(page.root))
		}
	}
	view.Lines[0].New = true
	if strings.Contains(text(show(t, "", send).root), "new") {
		t.Error("something is called new where everything is")
	}
	if !view.Lines[0].New {
		t.Error("the caller's lines were changed")
	}
}

func TestPageLogout(t *testing.T) {
	page := show(t, "", func(p *pages, w http.ResponseWriter) {
		p.logout(w, http.StatusOK, logoutPage{
			Action: "/logout", CSRF: "token", Username: "alice", ClientName: "Notes", Params: []field{{"state", "s1"}, {"client_id", "notes"}},
		})
	})
	if diff := cmp.Diff(url.Values{"csrf": {"token"}, "state": {"s1"}, "client_id": {"notes"}}, page.fields(t)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	for _, answer := range []string{"yes", "no"} {
		button := page.byID(t, "logout-"+answer)
		if attr(button, "name") != "logout" || attr(button, "value") != answer {
			t.Errorf("#logout-%s sends %q=%q", answer, attr(button, "name"), attr(button, "value"))
		}
	}
}

func TestPageSignedOut(t *testing.T) {
	tests := []struct {
		name string
		view signedOutPage
		out  bool
		says string
		link string
	}{
		{"out", signedOutPage{}, true, "has ended. An application that keeps", ""},
		{"out with a way back", signedOutPage{ClientName: "Notes", ReturnURL: "https://notes.example/"}, true, "has ended.", "https://notes.example/"},
		{"out to an app", signedOutPage{ReturnURL: "com.example.notes:/bye"}, true, "has ended.", "com.example.notes:/bye"},
		{"out to a script", signedOutPage{ReturnURL: "javascript:alert(1)"}, true, "has ended.", ""},
		{"clients told", signedOutPage{Told: true}, true, "are told to end theirs. One that does not ask", ""},
		{"nobody was in", signedOutPage{NobodyIn: true}, true, "Nobody is signed in", ""},
		{"still in", signedOutPage{StillSignedIn: true}, false, "goes on", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := show(t, "", func(p *pages, w http.ResponseWriter) { p.signedOut(w, tt.view) })
			// The conformance suite looks for these words, in lower case.
			if got := strings.Contains(text(page.root), "signed out"); got != tt.out {
				t.Errorf("says \"signed out\": %t, want %t", got, tt.out)
			}
			if !strings.Contains(text(page.root), tt.says) {
				t.Errorf("does not say %q: %s", tt.says, text(page.root))
			}
			if got := attr(page.byID(t, "return"), "href"); got != tt.link {
				t.Errorf("leads to %q, want %q", got, tt.link)
			}
		})
	}
}

func TestPageError(t *testing.T) {
	view := errorPage{
		Status: http.StatusBadRequest, Code: "invalid_request", Description: "redirect_uri is not one that the client registered.",
		Section: "RFC 6749 §3.1.2.4", SectionURL: "https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2.4",
	}
	page := show(t, "", func(p *pages, w http.ResponseWriter) { p.error(w, view) })
	if page.Code != http.StatusBadRequest {
		t.Errorf("status %d", page.Code)
	}
	for id, want := range map[string]string{"error-code": view.Code, "error-description": view.Description, "error-section": view.Section} {
		node := page.byID(t, id)
		if node == nil || text(node) != want {
			t.Errorf("#%s does not say %q", id, want)
		}
	}
	if got := attr(page.byID(t, "error-section"), "href"); got != view.SectionURL {
		t.Errorf("the section's link leads to %q", got)
	}
	if page.byID(t, "error-hint") == nil {
		t.Error("no advice")
	}
	view.SectionURL = "javascript:alert(1)"
	page = show(t, "", func(p *pages, w http.ResponseWriter) { p.error(w, view) })
	if href, linked := lookup(page.byID(t, "error-section"), "href"); linked {
		t.Errorf("the section's link leads to %q", href)
	}
	view.Section, view.SectionURL, view.Hint = "", "", "Do this."
	page = show(t, "", func(p *pages, w http.ResponseWriter) { p.error(w, view) })
	if page.byID(t, "error-section") != nil {
		t.Error("a section that nobody gave")
	}
	if got := text(page.byID(t, "error-hint")); got != "Do this." {
		t.Errorf("the advice is %q", got)
	}
}

func TestPageErrorLeadsBack(t *testing.T) {
	for _, tt := range []struct{ name, client, url, says string }{
		{"named", "Notes", "https://notes.example/login?iss=x", "Start again at Notes"},
		{"nameless", "", "https://notes.example/login", "Start again at the application"},
		{"no link", "Notes", "", ""},
		{"a link that runs", "Notes", "javascript:alert(1)", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page := show(t, "", func(p *pages, w http.ResponseWriter) {
				p.error(w, errorPage{Status: http.StatusBadRequest, Code: "invalid_request", ClientName: tt.client, StartURL: tt.url})
			})
			wantStartLink(t, page.byID(t, "start-again"), tt.says, tt.url)
			page = show(t, "", func(p *pages, w http.ResponseWriter) {
				p.signedOut(w, signedOutPage{ClientName: tt.client, StartURL: tt.url})
			})
			wantStartLink(t, page.byID(t, "start-again"), strings.Replace(tt.says, "Start again", "Sign in again", 1), tt.url)
			page = show(t, "", func(p *pages, w http.ResponseWriter) {
				p.signedOut(w, signedOutPage{ClientName: tt.client, StartURL: tt.url, ReturnURL: "https://notes.example/"})
			})
			wantStartLink(t, page.byID(t, "start-again"), "", "") // one way is enough
		})
	}
}

// wantStartLink checks the link to where a login begins anew; says "" means
// that there is none.
func wantStartLink(t *testing.T, link *html.Node, says, href string) {
	t.Helper()
	switch {
	case says == "" && link != nil:
		t.Errorf("there is a link to %q", attr(link, "href"))
	case says != "" && (link == nil || text(link) != says || attr(link, "href") != href):
		t.Errorf("no link that says %q", says)
	}
}

func TestPageFormPost(t *testing.T) {
	params := url.Values{"state": {"<&\"'>\u00e9"}, "code": {"c"}, "iss": {"https://op.example"}}
	for _, target := range []string{"https://client.example/cb?keep=1&me=2", "http://[::1]:8080/cb", "http://127.0.0.1:1/cb", "com.example.app:/cb"} {
		t.Run(target, func(t *testing.T) {
			page := show(t, "", func(p *pages, w http.ResponseWriter) { p.formPost(w, newFormPostPage(target, params)) })
			form := page.tags("form")[0]
			if attr(form, "action") != target || attr(form, "method") != "post" {
				t.Errorf("form is %q %q", attr(form, "method"), attr(form, "action"))
			}
			if diff := cmp.Diff(params, page.fields(t)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if len(page.tags("script")) != 1 || page.tags("script")[0].FirstChild.Data != formPostScript {
				t.Error("the script is not the one that the policy allows")
			}
			// With scripts off the parser's browser shows what noscript holds.
			if noscript := page.tags("noscript"); len(noscript) != 1 || !strings.Contains(page.Body.String(), `<button type="submit"`) {
				t.Error("no button for browsers without JavaScript")
			}
		})
	}
}

func TestPageFormPostRefusesToRun(t *testing.T) {
	for _, target := range []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "/relative", "", "\x01javascript:x",
		"vbscript:x", "blob:https://op.example/x", "filesystem:https://op.example/x", "about:blank", "file:///x", "view-source:x",
	} {
		page := show(t, "", func(p *pages, w http.ResponseWriter) {
			p.formPost(w, newFormPostPage(target, url.Values{"code": {"very-secret"}}))
		})
		if page.Code != http.StatusBadRequest || len(page.tags("form")) != 0 || strings.Contains(page.Body.String(), "very-secret") {
			t.Errorf("%q: status %d, %s", target, page.Code, page.Body)
		}
	}
}

func TestPageHome(t *testing.T) {
	page := show(t, "", func(p *pages, w http.ResponseWriter) { p.home(w, homePage{Issuer: "https://op.example"}) })
	if got := attr(page.byID(t, "discovery"), "href"); got != "https://op.example/.well-known/openid-configuration" {
		t.Errorf("discovery is %q", got)
	}
	if page.byID(t, "signout") != nil || !strings.HasPrefix(text(page.byID(t, "who")), "Nobody is signed in.") {
		t.Error("somebody is signed in")
	}
	page = show(t, "", func(p *pages, w http.ResponseWriter) {
		p.home(w, homePage{Issuer: "https://op.example", Username: "alice", Name: "Alice Liddell"})
	})
	if got := text(page.byID(t, "who")); got != "Signed in as Alice Liddell (alice)" {
		t.Errorf("#who says %q", got)
	}
	if got := attr(page.byID(t, "signout"), "href"); got != "https://op.example/logout" {
		t.Errorf("sign out leads to %q", got)
	}
}
