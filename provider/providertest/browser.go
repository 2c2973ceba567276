package providertest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser is a user agent without JavaScript: it keeps cookies, follows
// redirects within the provider and fills in forms.
type Browser struct {
	tb     testing.TB
	client *http.Client
}

// Page is what a browser shows: an answer with the forms in it.
type Page struct {
	Status int
	Header http.Header
	URL    *url.URL
	Body   string
	// Callback is where the provider sent the browser, if that is not itself.
	Callback *url.URL
	forms    []form
}

type form struct {
	action, method string
	fields         url.Values
	buttons        map[string][2]string // id → name, value
}

// NewBrowser returns a browser with no cookies.
func NewBrowser(tb testing.TB) *Browser {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatalf("cookie jar: %v", err)
	}
	return &Browser{tb: tb, client: &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Trust makes the browser believe servers whom these authorities certify, and
// returns it.
func (b *Browser) Trust(roots *x509.CertPool) *Browser {
	b.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	return b
}

// Cookies are what the browser would send to a URL, for another client that acts
// in its stead.
func (b *Browser) Cookies(target string) []*http.Cookie {
	b.tb.Helper()
	u, err := url.Parse(target)
	if err != nil {
		b.tb.Fatalf("cookies of %s: %v", target, err)
	}
	return b.client.Jar.Cookies(u)
}

// Get opens a URL of the provider and follows its redirects.
func (b *Browser) Get(target string) *Page {
	b.tb.Helper()
	req, err := http.NewRequestWithContext(b.tb.Context(), http.MethodGet, target, nil)
	if err != nil {
		b.tb.Fatalf("GET %s: %v", target, err)
	}
	return b.do(req)
}

// Post sends a form to a URL of the provider and follows its redirects.
func (b *Browser) Post(target string, fields url.Values) *Page {
	b.tb.Helper()
	req, err := http.NewRequestWithContext(b.tb.Context(), http.MethodPost, target, strings.NewReader(fields.Encode()))
	if err != nil {
		b.tb.Fatalf("POST %s: %v", target, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b *Browser) do(req *http.Request) *Page {
	b.tb.Helper()
	for range 10 {
		resp, err := b.client.Do(req)
		if err != nil {
			b.tb.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			b.tb.Fatalf("read %s: %v", req.URL.Path, err)
		}
		page := &Page{Status: resp.StatusCode, Header: resp.Header, URL: req.URL, Body: string(body)}
		location, err := resp.Location()
		if err != nil {
			page.forms = parseForms(b.tb, body)
			return page
		}
		if location.Host != req.URL.Host {
			page.Callback = location
			return page
		}
		if req, err = http.NewRequestWithContext(b.tb.Context(), http.MethodGet, location.String(), nil); err != nil {
			b.tb.Fatalf("redirect: %v", err)
		}
	}
	b.tb.Fatal("too many redirects within the provider")
	return nil
}

// Submit fills in the page's first form and presses the button with an id.
func (b *Browser) Submit(page *Page, buttonID string, fill map[string]string) *Page {
	b.tb.Helper()
	for _, f := range page.forms {
		button, ok := f.buttons[buttonID]
		if !ok {
			continue
		}
		fields := url.Values{}
		maps.Copy(fields, f.fields)
		for name, value := range fill {
			fields.Set(name, value)
		}
		if button[0] != "" {
			fields.Set(button[0], button[1])
		}
		action, err := page.URL.Parse(f.action)
		if err != nil {
			b.tb.Fatalf("form action %q: %v", f.action, err)
		}
		return b.Post(action.String(), fields)
	}
	b.tb.Fatalf("%s has no button #%s:\n%s", page.URL.Path, buttonID, page.Body)
	return nil
}

// SignIn walks an authorization request through login and consent, allows it,
// and returns where the provider sent the browser. It is not followed.
func (b *Browser) SignIn(authorizeURL, username, password string) *url.URL {
	b.tb.Helper()
	page := b.Get(authorizeURL)
	if page.URL.Path == "/login" && page.Callback == nil {
		page = b.Submit(page, "submit", map[string]string{"username": username, "password": password})
	}
	if page.URL.Path == "/consent" && page.Callback == nil {
		page = b.Submit(page, "allow", nil)
	}
	if page.Callback == nil {
		b.tb.Fatalf("no redirect to the client, but %d at %s:\n%s", page.Status, page.URL.Path, page.Body)
	}
	return page.Callback
}

// Field returns the value of a field in the page's forms, "" if there is none.
func (p *Page) Field(name string) string {
	for _, f := range p.forms {
		if f.fields.Has(name) {
			return f.fields.Get(name)
		}
	}
	return ""
}

// FormAction returns the action of the page's first form.
func (p *Page) FormAction() string {
	if len(p.forms) == 0 {
		return ""
	}
	return p.forms[0].action
}

func parseForms(tb testing.TB, body []byte) []form {
	tb.Helper()
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		tb.Fatalf("parse the page: %v", err)
	}
	var forms []form
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == "form" {
			forms = append(forms, parseForm(node))
		}
	}
	return forms
}

func parseForm(node *html.Node) form {
	f := form{action: attribute(node, "action"), method: attribute(node, "method"), fields: url.Values{}, buttons: map[string][2]string{}}
	for child := range node.Descendants() {
		if child.Type != html.ElementNode {
			continue
		}
		name, value := attribute(child, "name"), attribute(child, "value")
		switch {
		case child.Data == "button":
			f.buttons[attribute(child, "id")] = [2]string{name, value}
		case child.Data == "input" && name != "":
			f.fields.Set(name, value)
		}
	}
	return f
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
