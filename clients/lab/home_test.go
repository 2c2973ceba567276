package lab_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider"
)

// attributes returns all values of an attribute in a page.
func attributes(t *testing.T, page, key string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for node := range root.Descendants() {
		for _, a := range node.Attr {
			if a.Key == key {
				values = append(values, a.Val)
			}
		}
	}
	return values
}

func TestHomePageLinksLead(t *testing.T) {
	for _, layout := range []lab.Layout{lab.Hosts, lab.Ports} {
		t.Run(string(layout), func(t *testing.T) {
			r := start(t, func(c *lab.Config) { c.Layout, c.AnyPorts = layout, true })
			page := r.get(t, r.HomeURL(), "").body
			anchors := map[string]bool{}
			for _, id := range attributes(t, page, "id") {
				anchors["#"+id] = true
			}
			links := map[string]bool{}
			for _, link := range attributes(t, page, "href") {
				links[link] = true
				switch {
				case strings.HasPrefix(link, "data:"):
				case strings.HasPrefix(link, "#"):
					if !anchors[link] {
						t.Errorf("%s leads nowhere on the page", link)
					}
				default:
					if strings.HasPrefix(link, "/") {
						link = strings.TrimSuffix(r.HomeURL(), "/") + link
					}
					if got := r.get(t, link, ""); got.StatusCode != http.StatusOK && got.StatusCode != http.StatusServiceUnavailable { // readyz, at first
						t.Errorf("%s: status %d", link, got.StatusCode)
					}
				}
			}
			for _, party := range []string{"provider", "implicit", "pkce", "bff", "frontenddriven", "api"} {
				if !links[r.Origin(party)+"/"] {
					t.Errorf("no link to %s", party)
				}
			}
			for _, command := range []string{"oidclab login --issuer " + r.Issuer(), "oidclab login --via " + r.Origin("frontenddriven-backend"), "oidclab login --device --issuer " + r.Issuer()} {
				if !strings.Contains(page, ">"+command+"<") {
					t.Errorf("the page does not say %q", command)
				}
			}
			var metadata map[string]any
			if err := json.Unmarshal([]byte(r.get(t, r.Issuer()+"/.well-known/openid-configuration", "").body), &metadata); err != nil {
				t.Fatal(err)
			}
			for name, value := range metadata {
				endpoint, _ := value.(string)
				if path, ours := strings.CutPrefix(endpoint, r.Issuer()+"/"); ours && !strings.Contains(page, ">/"+path+"<") {
					t.Errorf("no %s (%s)", endpoint, name)
				}
			}
			if shared := strings.Contains(page, "separate cookies by port"); shared != (layout == lab.Ports) {
				t.Errorf("tells of shared cookies: %t", shared)
			}
		})
	}
}

func TestHomePageUsers(t *testing.T) {
	seeded := start(t, nil)
	page := seeded.get(t, seeded.HomeURL(), "").body
	for _, user := range provider.SeedUsers() {
		if n := strings.Count(page, `wire pick">`+user.Username+"<"); n != 2 { // name and password
			t.Errorf("%s is there %d times", user.Username, n)
		}
	}
	configured := start(t, func(c *lab.Config) {
		c.Provider.Users = []provider.User{{Username: "carol", Password: "carols-secret", Claims: map[string]any{"sub": "c1", "name": "Carol <b>"}, Groups: []string{"g1", "g2"}}}
	})
	page = configured.get(t, configured.HomeURL(), "").body
	for _, want := range []string{`wire pick">carol<`, "Carol &lt;b&gt;", "g1, g2", "from your configuration"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, not := range []string{"carols-secret", ">alice<", ">password<"} {
		if strings.Contains(page, not) {
			t.Errorf("%q is on the page", not)
		}
	}
}

func TestHomePageHeaders(t *testing.T) {
	r := start(t, nil)
	got := r.get(t, r.HomeURL(), "")
	policy := got.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("%q is not in the policy %q", part, policy)
		}
	}
	if strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy %q allows scripts", policy)
	}
	if got := r.get(t, r.HomeURL()+"index.html", ""); got.StatusCode != http.StatusNotFound {
		t.Errorf("a page that is not there: status %d", got.StatusCode)
	}
}

// The provider does not import the clients' code, so each has a style sheet.
// Colours and shapes of the parties are the same in both.
func TestStyleTokensAreShared(t *testing.T) {
	tokens := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		block, _, ok := strings.Cut(string(text), "\n\n")
		if !ok || !strings.Contains(block, "prefers-color-scheme: dark") {
			t.Fatalf("%v does not begin with the tokens", path)
		}
		return block
	}
	clients := tokens("..", "internal", "web", "chrome", "style.css")
	if tokens("..", "..", "provider", "web", "style.css") != clients {
		t.Error("the provider's style tokens are not those of the clients")
	}
}
