package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed chrome
var chrome embed.FS

// Site is one client's page: its own files, what its script must know, and
// whom the page may talk to.
type Site struct {
	// Files is the client's web/ folder: index.html, page.js, flow.js, …
	Files fs.FS
	// Config is served as GET /config.json: what the page needs to know. Anyone
	// can read it, so it never holds a secret.
	Config any
	// Connect lists the origins that the page may call beside its own
	// (Content-Security-Policy connect-src).
	Connect []string
	// Frame lists the origins that the page may frame beside its own (frame-src).
	Frame []string
}

// Handler serves the site. It answers GET and HEAD only; all other paths than
// those in the package comment are 404.
func (s Site) Handler() http.Handler {
	policy := s.policy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		s.serve(w, r)
	})
}

func (s Site) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case name == "":
		serveFile(w, r, s.Files, "index.html")
	case name == "callback":
		// A cached copy would lie beside a URL that holds a code or a token.
		w.Header().Set("Cache-Control", "no-store")
		serveFile(w, r, s.Files, "index.html")
	case name == "silent":
		w.Header().Set("Cache-Control", "no-store")
		serveFile(w, r, s.Files, "silent.html")
	case name == "config.json":
		s.serveConfig(w, r)
	case strings.HasPrefix(name, "chrome/"):
		serveFile(w, r, chrome, name)
	default:
		serveFile(w, r, s.Files, name)
	}
}

// policy is the page's Content-Security-Policy. No inline script or style is
// allowed, so an injected <script> or onclick does not run.
func (s Site) policy() string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self' data:",
		sources("connect-src", s.Connect),
		sources("frame-src", s.Frame),
		"frame-ancestors 'self'", // the silent page is framed by its own origin
		"base-uri 'none'",
		"form-action 'self'",
	}, "; ")
}

func sources(directive string, origins []string) string {
	return strings.Join(append([]string{directive, "'self'"}, origins...), " ")
}

func (s Site) serveConfig(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(s.Config)
	if err != nil {
		http.Error(w, "the page's configuration cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "config.json", time.Time{}, bytes.NewReader(body))
}

// contentTypes is fixed here, because the system's own table may call a module
// text/plain, and with nosniff a browser then refuses to run it.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
	".png":  "image/png",
}

// serveFile answers with one file, or 404. A name that leaves the folder is no
// valid fs path, and a directory is no file, so neither is ever served.
func serveFile(w http.ResponseWriter, r *http.Request, files fs.FS, name string) {
	contentType, known := contentTypes[path.Ext(name)]
	if files == nil || !known || !fs.ValidPath(name) {
		http.NotFound(w, r)
		return
	}
	body, err := fs.ReadFile(files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	if h.Get("Cache-Control") == "" {
		sum := sha256.Sum256(body)
		h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		h.Set("Cache-Control", "no-cache") // keep it, but ask each time whether it changed
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// Origin returns the scheme, host and port of a URL, which is what Connect and
// Frame take: a CSP source with a path would match that path alone.
func Origin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
