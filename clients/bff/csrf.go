package bff

import "net/http"

// csrfHeader must come with every call that changes something. HTML forms
// cannot send a header of their own, and a script of another origin must ask
// first by a CORS preflight, which this backend never answers.
const csrfHeader = "X-BFF-CSRF"

// checkCSRF refuses a state-changing request that did not come from this
// backend's own page. Three defences stand side by side (RFC 10017 §6.1.3.3),
// since each has browsers or neighbours that it does not cover:
//
//   - the session cookie is SameSite=Strict (cookies.go), which keeps other
//     sites out, but not a sibling host of the same site;
//   - Sec-Fetch-Site, or Origin where a browser does not send it, must be ours;
//   - the custom header must be there.
func checkCSRF(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		arrived := "Sec-Fetch-Site: " + clip(r.Header.Get("Sec-Fetch-Site")) + ", Origin: " + clip(r.Header.Get("Origin"))
		return errCrossOrigin.because("Sec-Fetch-Site: same-origin, or an Origin equal to the Host", arrived)
	}
	if r.Header.Get(csrfHeader) != "1" {
		return errNoCSRFHeader.because(csrfHeader+": 1", "no such header, or another value")
	}
	return nil
}

// clip bounds foreign text before it is shown.
func clip(s string) string {
	const most = 200
	if s == "" {
		return "(none)"
	}
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
