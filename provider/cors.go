package provider

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
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
		if p.origins.has(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce, Retry-After")
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
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, If-None-Match")
			h.Set("Access-Control-Max-Age", "600")
		}
		h.Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
	}
}

// origins are the web origins of all redirect URIs (RFC 6454 §4), of the
// configuration's clients and of those that registered themselves. They are
// kept beside the store, since every preflight asks and names no client: filled
// from it at the start, and changed by whoever changes a registration. That is
// right as long as one process has the store, as a bolt store has it.
type origins struct {
	mu    sync.RWMutex
	count map[string]int // how many redirect URIs have it
}

// has reports whether a client has the origin.
func (o *origins) has(origin string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.count[origin] > 0
}

// add counts the origins of a client that comes.
func (o *origins) add(redirectURIs []string) { o.change(redirectURIs, 1) }

// remove counts the origins of a client that goes: each stays as long as
// another client has it.
func (o *origins) remove(redirectURIs []string) { o.change(redirectURIs, -1) }

func (o *origins) change(redirectURIs []string, by int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count = map[string]int{}
	}
	for _, raw := range redirectURIs {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			continue
		}
		origin := webOrigin(u)
		if o.count[origin] += by; o.count[origin] == 0 {
			delete(o.count, origin)
		}
	}
}

// webOrigin is how a browser writes the origin: lower case, no default port.
func webOrigin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host
}
