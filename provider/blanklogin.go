package provider

import (
	"bytes"
	"html/template"
	"sync"
)

// blankLogins are login pages that were rendered before, without what differs from
// visit to visit. Whoever signs in at a client gets the same page as everybody else, but
// for two hidden fields, and to execute the template costs as much as to sign a token.
type blankLogins struct {
	mu    sync.Mutex
	pages map[blankKey][3][]byte // what is before, between and behind the two fields
}

// blankKey is what a blank page says.
type blankKey struct {
	clientView
	action, formTarget, warning string
	reauthenticate              bool
}

// maxBlankLogins bounds the memory: clients can register themselves.
const maxBlankLogins = 256

// What stands in a blank page for the two fields. No value of a client can look like
// it: html/template would have escaped the quotes.
const (
	blankRequest = `value="{request}"`
	blankCSRF    = `value="{csrf}"`
)

// loginPage renders the login page, from a blank one where nothing was typed yet.
func (p *pages) loginPage(v loginPage) []byte {
	if v.Username != "" || v.Error != "" {
		return p.execute("login", v)
	}
	parts := p.blankLogin(v)
	page := make([]byte, 0, len(parts[0])+len(parts[1])+len(parts[2])+len(v.Request)+len(v.CSRF)+2*len(`value=""`))
	page = appendValue(append(page, parts[0]...), v.Request)
	page = appendValue(append(page, parts[1]...), v.CSRF)
	return append(page, parts[2]...)
}

func appendValue(page []byte, value string) []byte {
	return append(append(append(page, `value="`...), template.HTMLEscapeString(value)...), '"')
}

// blankLogin returns the blank page of a view. The demo users are the same on each.
func (p *pages) blankLogin(v loginPage) [3][]byte {
	key := blankKey{v.clientView, v.Action, v.FormTarget, v.Warning, v.Reauthenticate}
	blanks := &p.blankLogins
	blanks.mu.Lock()
	defer blanks.mu.Unlock()
	if parts, ok := blanks.pages[key]; ok {
		return parts
	}
	v.Request, v.CSRF = "{request}", "{csrf}"
	var parts [3][]byte
	var rest []byte
	parts[0], rest, _ = bytes.Cut(p.execute("login", v), []byte(blankRequest))
	parts[1], parts[2], _ = bytes.Cut(rest, []byte(blankCSRF))
	if blanks.pages == nil || len(blanks.pages) == maxBlankLogins {
		blanks.pages = make(map[blankKey][3][]byte)
	}
	blanks.pages[key] = parts
	return parts
}
