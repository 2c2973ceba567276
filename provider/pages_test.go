package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// These tests stand inside the package because pages is not exported: what the
// outside sees of a page, other tests see through the endpoints.

// shownPage is a page as a browser understands it.
type shownPage struct {
	*httptest.ResponseRecorder
	root *html.Node
}

func show(t *testing.T, homeURL string, send func(p *pages, w http.ResponseWriter)) shownPage {
	t.Helper()
	p, err := newPages("/base", homeURL)
	if err != nil {
		t.Fatalf("newPages: %v", err)
	}
	w := httptest.NewRecorder()
	send(p, w)
	root, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatalf("parse the page: %v", err)
	}
	return shownPage{w, root}
}

// all returns the elements that match.
func (s shownPage) all(match func(*html.Node) bool) []*html.Node {
	var found []*html.Node
	for node := range s.root.Descendants() {
		if node.Type == html.ElementNode && match(node) {
			found = append(found, node)
		}
	}
	return found
}

func (s shownPage) tags(name string) []*html.Node {
	return s.all(func(n *html.Node) bool { return n.Data == name })
}

// byID returns the one element with an id, or nil.
func (s shownPage) byID(t *testing.T, id string) *html.Node {
	t.Helper()
	found := s.all(func(n *html.Node) bool { return attr(n, "id") == id })
	if len(found) > 1 {
		t.Errorf("id %q stands %d times on the page", id, len(found))
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// fields returns the inputs of the page's only form.
func (s shownPage) fields(t *testing.T) url.Values {
	t.Helper()
	if n := len(s.tags("form")); n != 1 {
		t.Fatalf("%d forms, want 1", n)
	}
	values := url.Values{}
	for _, input := range s.tags("input") {
		values.Add(attr(input, "name"), attr(input, "value"))
	}
	return values
}

func attr(n *html.Node, name string) string {
	value, _ := lookup(n, name)
	return value
}

func lookup(n *html.Node, name string) (string, bool) {
	if n == nil {
		return "", false
	}
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// text is what a person reads below n, spaces collapsed.
func text(n *html.Node) string {
	var b strings.Builder
	for node := range n.Descendants() {
		if node.Type == html.TextNode && node.Parent.Data != "script" {
			b.WriteString(node.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// hostile would run, break out or turn the text around if it were not escaped.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'` + "\u202e&{{.}}"

// everyPage returns each page with every text set to value.
func everyPage(value string) map[string]func(*pages, http.ResponseWriter) {
	lines := []consentLine{{value, value, true}, {"openid", value, false}}
	return map[string]func(*pages, http.ResponseWriter){
		"login": func(p *pages, w http.ResponseWriter) {
			p.login(w, http.StatusOK, loginPage{
				Action: "/login", Request: value, CSRF: value, Username: value, Error: value, FormTarget: value, DemoUsers: []string{value},
				clientView: clientView{value, value, value, value, value, value},
			})
		},
		"consent": func(p *pages, w http.ResponseWriter) {
			p.consent(w, consentPage{
				Action: "/consent", Request: value, CSRF: value, Username: value, Name: value, Lines: lines, FormTarget: value,
				clientView: clientView{value, value, value, value, value, value},
			})
		},
		"logout": func(p *pages, w http.ResponseWriter) {
			p.logout(w, http.StatusOK, logoutPage{
				Action: "/logout", CSRF: value, Params: []field{{"state", value}}, Username: value, ClientName: value, FormTarget: value,
			})
		},
		"signed out": func(p *pages, w http.ResponseWriter) {
			p.signedOut(w, signedOutPage{ClientName: value, ReturnURL: "https://client.example/?x=" + value})
		},
		"signed out, no way back": func(p *pages, w http.ResponseWriter) {
			p.signedOut(w, signedOutPage{ClientName: value, StartURL: "https://client.example/?x=" + value})
		},
		"telling clients": func(p *pages, w http.ResponseWriter) {
			p.signedOut(w, signedOutPage{
				ClientName: value, ReturnURL: "https://client.example/?x=" + value,
				Frames: []string{"https://client.example/logout?x=" + url.QueryEscape(value)},
			})
		},
		"error": func(p *pages, w http.ResponseWriter) {
			p.error(w, errorPage{
				Status: http.StatusBadRequest, Code: value, Description: value, Section: value, SectionURL: value, Hint: value,
				ClientName: value, StartURL: "https://client.example/?x=" + value,
			})
		},
		"device": func(p *pages, w http.ResponseWriter) {
			p.device(w, http.StatusOK, devicePage{Action: "/device", UserCode: value, Error: value})
		},
		"device consent": func(p *pages, w http.ResponseWriter) {
			p.deviceConsent(w, deviceConsentPage{
				Action: "/device", Request: value, CSRF: value, UserCode: value, Username: value, Name: value, Lines: lines,
				clientView: clientView{value, value, value, value, value, value},
			})
		},
		"device done": func(p *pages, w http.ResponseWriter) {
			p.deviceDone(w, deviceDonePage{clientView: clientView{ClientName: value}, Allowed: true})
		},
		"home": func(p *pages, w http.ResponseWriter) {
			p.home(w, homePage{Issuer: "https://op.example", Username: value, Name: value})
		},
		"form post": func(p *pages, w http.ResponseWriter) {
			p.formPost(w, formPostPage{Action: "https://client.example/cb", Params: []field{{"state", value}}})
		},
	}
}

func TestPageHeaders(t *testing.T) {
	for name, send := range everyPage("x") {
		t.Run(name, func(t *testing.T) {
			page := show(t, "", send)
			want := map[string]string{
				"Content-Type":           "text/html; charset=utf-8",
				"Cache-Control":          "no-store",
				"X-Content-Type-Options": "nosniff",
				"Referrer-Policy":        "no-referrer",
				"X-Frame-Options":        "DENY",
			}
			if name == "form post" { // may stand in a client's own frame
				want["X-Frame-Options"] = ""
			}
			for header, value := range want {
				if got := page.Header().Get(header); got != value {
					t.Errorf("%s is %q, want %q", header, got, value)
				}
			}
		})
	}
}

func hashOf(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func TestPageContentSecurityPolicy(t *testing.T) {
	const base = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'"
	login := func(logo string) func(*pages, http.ResponseWriter) {
		return func(p *pages, w http.ResponseWriter) {
			p.login(w, http.StatusOK, loginPage{clientView: clientView{LogoURI: logo}})
		}
	}
	every := everyPage("x")
	tests := []struct {
		name string
		send func(*pages, http.ResponseWriter)
		want string
	}{
		// form-action would stop the redirect to the client, and it must not be there.
		{"login", every["login"], base + "; frame-ancestors 'none'"},
		{"consent", every["consent"], base + "; frame-ancestors 'none'"},
		{"logout", every["logout"], base + "; frame-ancestors 'none'"},
		{"signed out", every["signed out"], base + "; frame-ancestors 'none'; form-action 'none'"},
		{"telling clients", every["telling clients"], base + "; frame-ancestors 'none'; form-action 'none'; frame-src https://client.example; script-src " + hashOf(frontChannelScript)},
		{"error", every["error"], base + "; frame-ancestors 'none'; form-action 'none'"},
		{"home", every["home"], base + "; frame-ancestors 'none'; form-action 'none'"},
		{"form post", every["form post"], base + "; script-src " + hashOf(formPostScript)},
		{"https logo", login("https://client.example/logo"), strings.Replace(base, "data:", "data: https:", 1) + "; frame-ancestors 'none'"},
		{"http logo", login("http://client.example/logo"), strings.Replace(base, "data:", "data: https: http:", 1) + "; frame-ancestors 'none'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, show(t, "", tt.send).Header().Get("Content-Security-Policy")); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPageEscapesWhatItEchoes(t *testing.T) {
	for name, send := range everyPage(hostile) {
		t.Run(name, func(t *testing.T) {
			page := show(t, "", send)
			for _, script := range page.tags("script") {
				if script.FirstChild.Data != map[string]string{"form post": formPostScript, "telling clients": frontChannelScript}[name] {
					t.Errorf("a script got in: %q", script.FirstChild.Data)
				}
			}
			for _, node := range page.all(func(*html.Node) bool { return true }) {
				for _, a := range node.Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
						t.Errorf("<%s %s=%q>", node.Data, a.Key, a.Val)
					}
				}
			}
			if n := len(page.tags("img")); n != 0 {
				t.Errorf("%d images got in", n)
			}
			if strings.Contains(page.Body.String(), "ZgotmplZ") {
				t.Error("html/template replaced a value")
			}
			// The value is there all the same, as text or in a field.
			value := strings.Contains(text(page.root), hostile)
			for _, input := range page.tags("input") {
				value = value || attr(input, "value") == hostile
			}
			if !value {
				t.Error("the value is not on the page")
			}
		})
	}
}

func TestPageKeepsForeignNamesApart(t *testing.T) {
	const name = "تطبيق"
	for page, send := range everyPage(name) {
		if !slices.Contains([]string{"login", "consent", "logout", "signed out", "telling clients"}, page) {
			continue
		}
		t.Run(page, func(t *testing.T) {
			shown := show(t, "", send)
			isolated := shown.all(func(n *html.Node) bool { return n.Data == "bdi" && text(n) == name })
			if len(isolated) == 0 {
				t.Error("the client's name is not isolated")
			}
		})
	}
}

func TestPageIsAccessible(t *testing.T) {
	for name, send := range everyPage("x") {
		t.Run(name, func(t *testing.T) {
			page := show(t, "https://lab.example", send)
			if got := attr(page.tags("html")[0], "lang"); got != "en" {
				t.Errorf("lang is %q", got)
			}
			if got := attr(page.tags("html")[0], "data-party"); got != "provider" {
				t.Errorf("data-party is %q", got)
			}
			if n := len(page.tags("h1")); n != 1 {
				t.Errorf("%d main headings, want 1", n)
			}
			if title := text(page.tags("title")[0]); !strings.HasSuffix(title, "· OpenID Provider") || strings.HasPrefix(title, "·") {
				t.Errorf("title is %q", title)
			}
			primary := page.all(func(n *html.Node) bool { return slices.Contains(strings.Fields(attr(n, "class")), "primary") })
			if len(primary) > 1 {
				t.Errorf("%d primary buttons", len(primary))
			}
			for _, input := range page.tags("input") {
				id := attr(input, "id")
				if attr(input, "type") != "hidden" && len(page.all(func(n *html.Node) bool { return n.Data == "label" && attr(n, "for") == id })) != 1 {
					t.Errorf("input %q has no label", attr(input, "name"))
				}
			}
			if got := attr(page.byID(t, "home"), "href"); got != "https://lab.example" {
				t.Errorf("the link home leads to %q", got)
			}
			if strings.Contains(text(page.root), "!") {
				t.Error("an exclamation mark")
			}
		})
	}
}

func TestPageWithoutHomeHasNoLink(t *testing.T) {
	page := show(t, "", everyPage("x")["home"])
	if page.byID(t, "home") != nil {
		t.Error("there is a link home without a home")
	}
}

func TestPageFindsTheStylesheetBelowTheIssuersPath(t *testing.T) {
	page := show(t, "", everyPage("x")["error"])
	found := page.all(func(n *html.Node) bool { return n.Data == "link" && attr(n, "href") == "/base/style.css" })
	if len(found) != 1 {
		t.Error("no style sheet at /base/style.css")
	}
}

func TestPageStylesheet(t *testing.T) {
	p, err := newPages("", "")
	if err != nil {
		t.Fatal(err)
	}
	get := func(etag string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/style.css", http.NoBody)
		r.Header.Set("If-None-Match", etag)
		p.stylesheet(w, r)
		return w
	}
	first := get("")
	if first.Code != http.StatusOK || first.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.HasPrefix(first.Body.String(), ":root {") {
		t.Errorf("answer %d %v", first.Code, first.Header())
	}
	etag := first.Header().Get("ETag")
	if again := get(etag); etag == "" || again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("with ETag %q: status %d and %d bytes, want 304 and none", etag, again.Code, again.Body.Len())
	}
	if other := get(`"other"`); other.Code != http.StatusOK {
		t.Errorf("with another ETag: status %d", other.Code)
	}
}

func TestPageScopeDescriptions(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access"} {
		description := scopeDescription(name)
		if strings.HasPrefix(description, "Use an API") || seen[description] {
			t.Errorf("%s has no description of its own: %q", name, description)
		}
		seen[description] = true
	}
	if got := scopeDescription("notes:read"); !strings.Contains(got, "notes:read") {
		t.Errorf("an unknown scope is described as %q", got)
	}
}
