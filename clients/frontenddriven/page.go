package frontenddriven

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed backend.html
var backendPage string

// renderPage makes the backend's page for people, which says what it is. It
// never changes, needs no script and shows nothing of a caller.
func renderPage(cfg Config) (http.Handler, error) {
	t, err := template.New("backend").Parse(backendPage)
	if err != nil {
		return nil, fmt.Errorf("frontenddriven: page: %w", err)
	}
	var page bytes.Buffer
	err = t.Execute(&page, map[string]string{ // named one by one: the secret is not among them
		"Issuer": cfg.Issuer, "Frontend": cfg.FrontendURL, "Backend": cfg.BackendURL, "Audience": cfg.Audience, "Home": cfg.HomeURL,
	})
	if err != nil {
		return nil, fmt.Errorf("frontenddriven: page: %w", err)
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
