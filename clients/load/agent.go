package load

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxPages bounds how many exchanges lie between the authorization request and
// its response.
const maxPages = 20

// agent is the user agent of one flow: it keeps cookies, follows redirects and
// fills in forms.
type agent struct {
	*exchange
	cfg  *Config
	jar  *cookiejar.Jar
	at   *url.URL
	body []byte // of a form

	typed bool // the password
}

// signIn sends an authorization request, signs in at the form that comes, allows
// what is asked for, and returns the query with which the provider sends the
// browser to the redirect URI.
func (a *agent) signIn(authorize string) (string, error) {
	a.jar, _ = cookiejar.New(nil) // it cannot fail
	a.typed = false
	at, err := url.Parse(authorize)
	if err != nil {
		return "", failf("authorization request", "%v", err)
	}
	a.at = at
	a.begin("GET", authorize)
	for range maxPages {
		if err := a.load(); err != nil {
			return "", err
		}
		status := a.response.StatusCode()
		switch {
		case status == http.StatusMovedPermanently, status == http.StatusFound, status == http.StatusSeeOther,
			status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
			query, arrived, err := a.follow()
			if arrived || err != nil {
				return query, err
			}
		case status == http.StatusTooManyRequests, status >= 500:
			return "", a.unexpected(a.where())
		default:
			if err := a.fill(); err != nil {
				return "", err
			}
		}
	}
	return "", failf("too many pages", "%d of them, and no way back to the client; the last one at %s", maxPages, a.at.Path)
}

// where names the page in failures, without what is particular to one flow.
func (a *agent) where() string {
	return string(a.request.Header.Method()) + " " + a.page()
}

// page is the path of the page. Some providers number their pages: segments that
// look like random are left out, so that failures can be counted together.
func (a *agent) page() string {
	segments := strings.Split(a.at.Path, "/")
	for i, segment := range segments {
		if len(segment) >= 16 {
			segments[i] = "…"
		}
	}
	return strings.Join(segments, "/")
}

// load sends the request with the flow's cookies, and keeps those that come back.
func (a *agent) load() error {
	for _, c := range a.jar.Cookies(a.at) {
		a.request.Header.SetCookie(c.Name, c.Value)
	}
	if err := a.do(a.where()); err != nil {
		return err
	}
	var set []*http.Cookie
	for _, line := range a.response.Header.Cookies() {
		if c, err := http.ParseSetCookie(string(line)); err == nil {
			set = append(set, c)
		}
	}
	if set != nil {
		a.jar.SetCookies(a.at, set)
	}
	return nil
}

// follow prepares the request for where the answer leads. If that is the redirect
// URI, the browser would leave the provider: the query is the response.
func (a *agent) follow() (query string, arrived bool, err error) {
	location := string(a.response.Header.Peek(fasthttp.HeaderLocation))
	if rest, ok := strings.CutPrefix(location, a.cfg.RedirectURI); ok && (rest == "" || rest[0] == '?' || rest[0] == '#' || rest[0] == '&') {
		rest, _, _ = strings.Cut(rest, "#")
		return strings.TrimLeft(rest, "?&"), true, nil
	}
	next, err := a.at.Parse(location)
	if err != nil || location == "" {
		return "", false, failf("redirect to nowhere at "+a.where(), "status %d without a usable Location", a.response.StatusCode())
	}
	a.at = next
	a.begin("GET", next.String())
	return "", false, nil
}

// fill fills in the page's form and prepares the request that submits it.
func (a *agent) fill() error {
	status := a.response.StatusCode()
	f, pressed := choose(findForms(a.response.Body()))
	switch {
	case f == nil && status >= 400, f != nil && !f.asksWho() && status >= 400:
		return a.unexpected(a.where())
	case f == nil:
		return failf("no form at "+a.where(), "a page of %d bytes that a person without scripts could not leave%s", len(a.response.Body()), says(a.reason().words))
	case f.password != "" && a.typed:
		return failf("login refused", "is the password right? The form is there again with status %d%s", status, says(a.reason().alert))
	}
	a.typed = a.typed || f.password != ""
	return a.submit(f, pressed)
}

// submit prepares the request that submits a form.
func (a *agent) submit(f *form, pressed field) error {
	target, err := a.at.Parse(f.action)
	if err != nil {
		return failf("form to nowhere at "+a.where(), "action %q", f.action)
	}
	a.body = a.body[:0]
	if f.username != "" {
		a.body = appendField(a.body, f.username, a.cfg.Username)
	}
	if f.password != "" {
		a.body = appendField(a.body, f.password, a.cfg.Password)
	}
	for _, field := range f.fields {
		a.body = appendField(a.body, field.name, field.value)
	}
	if pressed.name != "" {
		a.body = appendField(a.body, pressed.name, pressed.value)
	}
	a.at = target
	if f.get {
		target.RawQuery = string(a.body)
		a.begin("GET", target.String())
		return nil
	}
	request := a.begin("POST", target.String())
	request.Header.SetContentType(formType)
	request.SetBodyRaw(a.body)
	return nil
}

const formType = "application/x-www-form-urlencoded"

// appendField appends one field to a form's body.
func appendField(body []byte, name, value string) []byte {
	if len(body) > 0 {
		body = append(body, '&')
	}
	body = append(body, url.QueryEscape(name)...)
	body = append(body, '=')
	return append(body, url.QueryEscape(value)...)
}
