package provider

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed web
var webFiles embed.FS

// pages renders the provider's HTML. A template is parsed when it is first shown.
//
// Whatever a page shows may come from an attacker: client names, login hints,
// error descriptions, state. html/template escapes each for the place where it
// stands; URLs that are not http or https are dropped (webURL), but for the two
// places where a client's private-use scheme is right (leaveURL).
type pages struct {
	base        string // path before that of every page of the provider
	homeURL     string
	templates   map[string]func() *template.Template
	style       []byte
	styleETag   string
	scriptHash  string // of formPostScript
	leaveHash   string // of frontChannelScript
	blankLogins blankLogins
}

// pageNames are the templates.
var pageNames = []string{"login", "consent", "logout", "signedout", "error", "formpost", "home", "device", "deviceconsent", "devicedone"}

// newPages makes the pages. base is the issuer's path. homeURL is where the
// header's link leads; "" means no link.
func newPages(base, homeURL string) (*pages, error) {
	style, err := webFiles.ReadFile("web/style.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	p := &pages{
		base: base, homeURL: homeURL, templates: map[string]func() *template.Template{},
		style: style, styleETag: `"` + hex.EncodeToString(sum[:12]) + `"`,
		scriptHash: hashSource(formPostScript), leaveHash: hashSource(frontChannelScript),
	}
	for _, name := range pageNames {
		p.templates[name] = sync.OnceValue(func() *template.Template {
			return template.Must(template.ParseFS(webFiles, "web/layout.html", "web/"+name+".html"))
		})
	}
	return p, nil
}

// field is a hidden input.
type field struct{ Name, Value string }

// clientView is what pages show of a client's registration (RFC 7591 §2).
type clientView struct {
	ClientName, ClientURI, LogoURI, PolicyURI, TOSURI string
	StartURL                                          string // where a login at the client begins anew
}

func (p *Provider) viewOf(c *client) clientView {
	return clientView{
		ClientName: c.displayName(), ClientURI: c.ClientURI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TOSURI: c.TOSURI,
		StartURL: p.startURL(c),
	}
}

// safe drops what is no http or https URL.
func (v clientView) safe() clientView {
	v.ClientURI, v.LogoURI, v.PolicyURI, v.TOSURI = webURL(v.ClientURI), webURL(v.LogoURI), webURL(v.PolicyURI), webURL(v.TOSURI)
	v.StartURL = webURL(v.StartURL)
	return v
}

// loginPage asks for username and password.
type loginPage struct {
	clientView
	Action        string // path that the form is posted to
	Request, CSRF string // hidden fields: the sealed request, the form's token
	Username      string // filled in: login_hint, or what was typed before Error
	Error         string // why the last attempt failed; "": first attempt
	// Reauthenticate says that somebody is signed in, but the client asks for
	// a new login (prompt=login, max_age).
	Reauthenticate bool
	// FormTarget is the client's redirect URI. The page says where the browser
	// goes in the end (RFC 9700 §4.11.2: let people see whom they are sent to).
	FormTarget string
	DemoUsers  []string // users whose password is their name, shown as a hint
	Warning    string   // which check is switched off for this client; "": none
}

// login answers with the login page. status is 200, or that of Error.
func (p *pages) login(w http.ResponseWriter, status int, v loginPage) {
	v.FormTarget = originOf(v.FormTarget)
	v.clientView = v.safe()
	p.send(w, status, policyOfForms(v.LogoURI), p.loginPage(v))
}

// consentPage asks whether the client may have what it asks for. The answer comes as
// decision=allow or decision=deny.
type consentPage struct {
	clientView
	Action, Request, CSRF string // as in loginPage
	Username, Name        string // who is signed in; Name may be ""
	Lines                 []consentLine
	FormTarget            string // as in loginPage
	Warning               string // as in loginPage
}

// consentLine is something that a client asks for: a scope, a claim by its name,
// a resource.
type consentLine struct {
	Name, Description string
	New               bool // not allowed to this client before
}

// consent answers with the consent page.
func (p *pages) consent(w http.ResponseWriter, v consentPage) {
	v.FormTarget = originOf(v.FormTarget)
	v.clientView = v.safe()
	// At the first consent everything is new, and saying so says nothing.
	if !slices.ContainsFunc(v.Lines, func(l consentLine) bool { return !l.New }) {
		v.Lines = slices.Clone(v.Lines)
		for i := range v.Lines {
			v.Lines[i].New = false
		}
	}
	p.render(w, "consent", http.StatusOK, policyOfForms(v.LogoURI), v)
}

// logoutPage asks whether to end the session. The answer comes as logout=yes
// or logout=no.
type logoutPage struct {
	Action, CSRF string  // as in loginPage
	Params       []field // parameters to carry over
	Username     string  // who is signed in
	ClientName   string  // who asks; "": nobody known
	FormTarget   string  // post_logout_redirect_uri, shown as in loginPage
}

// logout answers with the question whether to sign out.
func (p *pages) logout(w http.ResponseWriter, status int, v logoutPage) {
	v.FormTarget = originOf(v.FormTarget)
	p.render(w, "logout", status, policyOfForms(""), v)
}

// errorPage says what is wrong where there is nowhere safe to redirect.
type errorPage struct {
	Status              int
	Code, Description   string // verbatim, as OAuth's error and error_description
	Section, SectionURL string // of the specification; "": not told
	Hint                string // what to do; "": a sentence that fits Status and Code
	// StartURL is where a login at ClientName's application begins anew; "": not
	// known.
	ClientName, StartURL string
}

// error answers with the error page.
func (p *pages) error(w http.ResponseWriter, v errorPage) {
	title, hint := errorWords(v.Status, v.Code)
	if v.Hint == "" {
		v.Hint = hint
	}
	v.SectionURL, v.StartURL = webURL(v.SectionURL), webURL(v.StartURL)
	p.render(w, "error", v.Status, policyOfTexts, struct {
		errorPage
		Title string
	}{v, title})
}

// homePage says what this is to a person who comes by.
type homePage struct {
	Issuer         string
	Username, Name string // who is signed in; "" and "": nobody
	Registration   bool   // clients may register themselves
}

// home answers with the provider's own front page.
func (p *pages) home(w http.ResponseWriter, v homePage) {
	p.render(w, "home", http.StatusOK, policyOfTexts, v)
}

// formPostPage carries an authorization response to the client's redirect URI,
// OAuth 2.0 Form Post Response Mode §2.
type formPostPage struct {
	// Action is the redirect URI. The caller has checked that the client
	// registered it: html/template's own filter, which would replace every
	// scheme but http, https and mailto, is switched off for it.
	Action string
	Params []field
}

// newFormPostPage sorts the parameters, so that the same response makes the
// same page.
func newFormPostPage(action string, params url.Values) formPostPage {
	page := formPostPage{Action: action}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		for _, value := range params[name] {
			page.Params = append(page.Params, field{name, value})
		}
	}
	return page
}

// formPostScript submits the form without a click. It is one old statement, for
// simple browsers, and a script element and not an onload attribute: a policy
// allows an element by its hash, an attribute only with 'unsafe-hashes'.
const formPostScript = `document.forms[0].submit();`

// formPost answers with the form that submits itself, or by a button where
// JavaScript is off.
func (p *pages) formPost(w http.ResponseWriter, v formPostPage) {
	action, ok := leaveURL(v.Action)
	if !ok {
		p.error(w, errorPage{
			Status: http.StatusBadRequest, Code: "invalid_request", Description: "A form cannot be posted to this redirect_uri.",
		})
		return
	}
	// No frame-ancestors: a client that renews silently (prompt=none) may have
	// this page in a frame, and there is nothing on it to be tricked into.
	policy := policyBase + "; script-src " + p.scriptHash
	p.render(w, "formpost", http.StatusOK, policy, struct {
		Action template.URL
		Params []field
		Script template.JS
	}{action, v.Params, formPostScript})
}

// Content security policies.
//
// No page whose form leads on to a client names a form-action. Browsers with
// Chromium's engine hold form-action against every redirect that follows the
// POST: the one to the redirect URI, and those that the client sends from
// there, to origins that the provider cannot know (a callback on the backend's
// host that ends at the frontend's). CSP has no way to write an IPv6 loopback
// address at all. The user would see a dead button. What is lost is one more
// fence around injected markup, which escaping and default-src stop before it.
const (
	policyBase    = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'"
	notInFrames   = "; frame-ancestors 'none'"
	policyOfTexts = policyBase + notInFrames + "; form-action 'none'"
)

// hashSource allows one inline script in a policy.
func hashSource(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// policyOfForms is for pages with a form that leads on to a client, and with
// its logo. Images may come by https, and by http if the logo does. The scheme
// and not the host is named, because logos are often redirected to a CDN.
func policyOfForms(logo string) string {
	base := policyBase
	switch {
	case strings.HasPrefix(logo, "https:"):
		base = strings.Replace(base, "data:", "data: https:", 1)
	case logo != "":
		base = strings.Replace(base, "data:", "data: https: http:", 1)
	}
	return base + notInFrames
}

// render executes a page into a buffer, so that a failure is not half a page,
// and sends it.
func (p *pages) render(w http.ResponseWriter, name string, status int, policy string, view any) {
	p.send(w, status, policy, p.execute(name, view))
}

func (p *pages) execute(name string, view any) []byte {
	var page bytes.Buffer
	err := p.templates[name]().ExecuteTemplate(&page, "layout", struct {
		Base, HomeURL string
		View          any
	}{p.base, p.homeURL, view})
	if err != nil {
		panic(fmt.Errorf("page %s: %w", name, err)) // a mistake in the template, for the guard to log
	}
	return page.Bytes()
}

func (p *pages) send(w http.ResponseWriter, status int, policy string, page []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	if strings.Contains(policy, notInFrames) {
		h.Set("X-Frame-Options", "DENY") // the same, for browsers that know no CSP
	}
	// The URL of a page holds the sealed request: it is told to nobody. With
	// this, browsers send "Origin: null" with our own forms, so it is the csrf
	// field that tells them from foreign ones.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(page)
}

// stylesheet serves the pages' style sheet.
func (p *pages) stylesheet(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", p.styleETag)
	http.ServeContent(w, r, "style.css", time.Time{}, bytes.NewReader(p.style))
}

// webURL returns raw if it is an http or https URL of a host that can be, else "".
func webURL(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || !isWebURL(u) {
		return ""
	}
	return raw
}

func isWebURL(u *url.URL) bool { return isWeb(u) && plainHost(u) && plainPort(u) }

// leaveURL returns a registered URL that leads to a client, which may have a
// scheme of its own (RFC 8252 §7.1). Schemes that a browser executes or opens
// as the provider's own page are refused, whatever was registered.
func leaveURL(raw string) (template.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", false
	}
	switch u.Scheme { // url.Parse makes it lower case
	case "", "javascript", "vbscript", "data", "blob", "filesystem", "about", "file", "view-source":
		return "", false
	}
	return template.URL(raw), true //nolint:gosec // checked above and by the caller, see formPostPage
}

// originOf is the part of a redirect URI that tells a person where it leads:
// the origin, or a private-use scheme. "" if there is none.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	default:
		return u.Scheme + "://" + u.Host
	}
}
