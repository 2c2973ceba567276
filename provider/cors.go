package provider

import (
	"net/http"
	"net/url"
	"strings"
)

// openToAll lets every origin read what is public.
func openToAll(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "ETag")
		next(w, r)
	}
}

// openToClients lets the origins of registered redirect URIs call an endpoint
// from a browser, on errors too, and no others. Credentials (cookies) are
// never allowed: these endpoints know tokens and client secrets only.
func (p *Provider) openToClients(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if p.origins[origin] {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		}
		next(w, r)
	}
}

// preflight answers OPTIONS for the methods that an endpoint has.
func preflight(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		if h.Get("Access-Control-Allow-Origin") != "" {
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match")
			h.Set("Access-Control-Max-Age", "600")
		}
		h.Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
	}
}

// clientOrigins are the web origins of all redirect URIs (RFC 6454 §4).
func clientOrigins(clients []Client) map[string]bool {
	origins := map[string]bool{}
	for _, c := range clients {
		for _, raw := range c.RedirectURIs {
			u, err := url.Parse(raw)
			if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
				origins[webOrigin(u)] = true
			}
		}
	}
	return origins
}

// webOrigin is how a browser writes the origin: lower case, no default port.
func webOrigin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host
}
