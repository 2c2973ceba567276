package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"
)

// stateCookie tells the page at /session, by its script, whether the session has
// changed: the "OP browser state" of Session Management §3.2. It gives nobody
// access to anything.
const stateCookie = "op_browser_state"

// browserState stands for what clients may notice of a session. It is the same
// for as long as the same user is signed in, and "" when nobody is. Clients know
// the "sid" but not this: it would tell them from each other's session_state
// that they have the same user.
func (p *Provider) browserState(session *ssoSession) string {
	if session == nil {
		return ""
	}
	return p.browserStates.text(session.SID)
}

// setBrowserState gives the browser the state of its session. The cookie ends
// with what is left of the session's life, which clients then notice.
func (p *Provider) setBrowserState(w http.ResponseWriter, session *ssoSession, life time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // a script reads it; for Secure see sso.go
		Name: p.cookieName(stateCookie), Value: p.browserState(session), Path: "/",
		Secure: p.secure, SameSite: http.SameSiteLaxMode,
	}
	if p.secure {
		cookie.SameSite = http.SameSiteNoneMode // the page is in a frame on other sites
	}
	cookie.MaxAge = -1 // for nobody's there is none
	if session != nil {
		cookie.MaxAge = max(1, int(life/time.Second))
	}
	http.SetCookie(w, cookie)
}

// keepBrowserState mends a cookie that does not fit the session: the session
// has expired, or a restarted browser has forgotten it.
func (p *Provider) keepBrowserState(w http.ResponseWriter, r *http.Request, session *ssoSession) {
	if p.readCookie(r, stateCookie) == p.browserState(session) {
		return
	}
	var life time.Duration
	if session != nil {
		life = time.Until(session.ExpiresAt)
	}
	p.setBrowserState(w, session, life)
}

// sessionState is the response parameter of that name (Session Management §2):
// what the page at /session compares with, for one client at one origin. The
// salt keeps clients from finding the same user by the same value. "" if the
// request is no OpenID request, or the client is no web page.
func (p *Provider) sessionState(a *authorization, session *ssoSession) string {
	if !slices.Contains(a.scopes, scopeOpenID) || !isWebURL(a.redirectURI) {
		return ""
	}
	salt := randomString(12)
	sum := sha256.Sum256([]byte(a.client.ID + " " + webOrigin(a.redirectURI) + " " + p.browserState(session) + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}

// checkSessionPage is the page at /session with its policy. It is the only one
// that other sites may have in a frame and that runs a script there, and it
// shows and loads nothing.
type checkSessionPage struct {
	staticDocument
	policy string
}

// newCheckSessionPage makes the page, which reads the cookie of this name.
func newCheckSessionPage(cookie string) (page checkSessionPage, err error) {
	script, err := webFiles.ReadFile("web/checksession.js")
	if err != nil {
		return page, err
	}
	parsed, err := template.ParseFS(webFiles, "web/checksession.html")
	if err != nil {
		return page, err
	}
	var body bytes.Buffer
	err = parsed.Execute(&body, struct {
		Cookie string
		Script template.JS
	}{cookie, template.JS(script)}) //nolint:gosec // a file of ours
	if err != nil {
		return page, fmt.Errorf("page checksession: %w", err)
	}
	page.staticDocument = newStaticDocument(body.Bytes())
	page.policy = "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hashSource(string(script))
	return page, nil
}

// handleCheckSession serves GET /session (Session Management §3.3): no
// frame-ancestors and no X-Frame-Options.
func (p *Provider) handleCheckSession(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", p.checkSession.policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	p.checkSession.serve(w, r, "text/html; charset=utf-8")
}
