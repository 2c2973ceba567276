package recorder

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// caller tells from the request who sent it and over which channel; doc.go
// has the rules as a table. Browsers of today send Sec-Fetch-Mode and
// Sec-Fetch-Dest to trustworthy origins, and pages cannot set them (Fetch
// Metadata Request Headers, §2). A program outside a browser can claim
// anything: the answer describes, it does not authenticate.
func (l *Log) caller(r *http.Request, receiver string) (from string, channel Channel) {
	mode, origin := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Origin")
	html := strings.Contains(r.Header.Get("Accept"), "text/html")
	switch {
	case mode == "navigate", mode != "" && isAsset(r):
		return Browser, Front
	case mode == "" && html:
		return Browser, Front
	case origin == "null": // a sandboxed frame or a file: it has no name
		return Browser, Script
	case origin != "":
		return l.partyAt(origin), Script
	case mode != "":
		return receiver, Script // only same-origin reads come without an Origin
	default:
		return Outside, Back
	}
}

// partyAt returns the name of the party at an origin, or the origin's host.
func (l *Log) partyAt(origin string) string {
	if name, ok := l.options.Parties[origin]; ok {
		return name
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" {
		return u.Host
	}
	return Outside
}

// isAsset tells a part of a page from a step of a flow: by what the browser
// says it is for, or else by the name.
func isAsset(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "script", "style", "image", "font", "manifest", "worker":
		return true
	}
	switch path.Ext(r.URL.Path) {
	case ".js", ".css", ".svg", ".png", ".ico", ".woff2", ".map":
		return true
	}
	return false
}
