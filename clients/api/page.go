package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageSource string

// renderPage makes the page for people, which says what this server is and whom
// it trusts. It never changes, needs no script and shows nothing of a caller.
func renderPage(cfg Config) (http.Handler, error) {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("api: page: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, cfg); err != nil {
		return nil, fmt.Errorf("api: page: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(page.Bytes())
	}), nil
}
