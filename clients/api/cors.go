package api

import "net/http"

// cors answers preflights and lets pages of the allowed origins read answers.
// An origin is compared whole, and never echoed unless it is on the list
// (RFC 10017 §6.1.3.3.2). No credentials are allowed: what a caller may do
// depends on the token in the Authorization header, never on a cookie.
//
// CORS decides who may read an answer in a browser, not who may call: requests
// of other origins go on to the checks of their token.
func (a *API) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin") // also on answers to nobody: a cache must not mix them
		origin := r.Header.Get("Origin")
		allowed := a.origins[origin]
		if allowed {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		}
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		if allowed {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
