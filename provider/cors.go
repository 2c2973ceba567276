package provider

import (
	"context"
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
//
// If it cannot be found out whether the origin is one, the request goes no
// further: its script could not read the answer, and what it spends, a code say,
// would be lost.
func (p *Provider) openToClients(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		allowed, err := p.knownOrigin(r.Context(), origin)
		if err != nil {
			p.tokenError(w, r, err)
			return
		}
		if allowed {
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

// knownOrigin reports whether a web origin (RFC 6454 §4) is that of a redirect
// URI: of a client of the configuration, or of one that registered itself, which
// the store knows, whichever process registered it.
func (p *Provider) knownOrigin(ctx context.Context, origin string) (bool, error) {
	switch {
	case p.origins[origin]:
		return true, nil
	case !wellFormedOrigin(origin): // nobody's: the store is not asked
		return false, nil
	}
	return p.store.HasOrigin(ctx, origin)
}

// maxOrigin is longer than every origin with a name that the DNS can have (RFC
// 1035 §2.3.4), and so than those of browsers.
const maxOrigin = 300

// wellFormedOrigin reports whether a browser may have written the origin.
func wellFormedOrigin(origin string) bool {
	if len(origin) > maxOrigin || strings.ContainsFunc(origin, notVisible) {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && isWeb(u) && webOrigin(u) == origin
}

// isWeb reports whether a URL has a web origin.
func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// originsOf are the web origins of redirect URIs, each once. Those of an app's own
// scheme have none.
func originsOf(redirectURIs []string) []string {
	var all []string
	for _, raw := range redirectURIs {
		u, err := url.Parse(raw)
		if err != nil || !isWeb(u) {
			continue
		}
		if origin := webOrigin(u); len(origin) <= maxOrigin {
			all = union(all, []string{origin})
		}
	}
	return all
}

// webOrigin is how a browser writes the origin: lower case, no default port.
func webOrigin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	return u.Scheme + "://" + strings.TrimSuffix(host, defaultPorts[u.Scheme])
}

var defaultPorts = map[string]string{"http": ":80", "https": ":443"}
