package provider

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// Cookies carry "__Host-" and Secure over https, neither over http: WebKit
// refuses Secure cookies there even on localhost.
const (
	sessionCookie = "op_session"
	csrfCookie    = "op_csrf"
)

// ssoSession is a live single-sign-on session and whose it is.
type ssoSession struct {
	storage.Session
	user *user
	// cookie is the value of a new session's cookie.
	cookie string
}

// currentSession returns the browser's session, or nil if nobody is signed in.
func (p *Provider) currentSession(r *http.Request) (*ssoSession, error) {
	value := p.readCookie(r, sessionCookie)
	if value == "" {
		return nil, nil //nolint:nilnil // nobody is signed in: no session and no fault
	}
	record, err := p.store.Session(r.Context(), secretID(value))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, err
	}
	u := p.users.bySubject(record.Subject)
	if u == nil || !time.Now().Before(record.ExpiresAt) {
		return nil, nil //nolint:nilnil // as above
	}
	return &ssoSession{Session: record, user: u}, nil
}

// newSession is a session that begins now, with a new cookie in every case, so that a
// value planted before the login is worth nothing (session fixation).
func (p *Provider) newSession(u *user, now time.Time) *ssoSession {
	cookie := orderedSecret(now)
	return &ssoSession{user: u, cookie: cookie, Session: storage.Session{
		ID:        secretID(cookie),
		SID:       orderedID(now),
		Subject:   u.subject,
		ACR:       p.requests.ACRValues[0],
		AMR:       []string{"pwd"}, // RFC 8176 §2
		AuthTime:  now,
		ExpiresAt: now.Add(time.Duration(p.lifetimes.Session)),
	}}
}

// startSession signs the user in, in the place of the browser's session before, if it
// has one. The public "sid" stays when the same user signs in again and it has not
// ended meanwhile; when another does, the first is signed out, of which clients hear
// by the back channel only. The cookie comes only after the session is stored: a
// failure costs nobody the session they had.
func (p *Provider) startSession(ctx context.Context, w http.ResponseWriter, r *http.Request, before, started *ssoSession) error {
	err := p.storeSession(ctx, before, &started.Session)
	if errors.Is(err, storage.ErrEnded) {
		// In another tab the user signed out, just now. The clients hear that this
		// "sid" has ended, and remember it: the login begins a session of its own.
		before = nil
		started.SID = orderedID(started.AuthTime)
		err = p.storeSession(ctx, before, &started.Session)
	}
	if err != nil {
		return err
	}
	p.sessionStarted(ctx, w, r, started)
	if before != nil && before.SID != started.SID {
		p.tellByBackChannel(ctx, p.participants(ctx, before.SID))
	}
	return nil
}

// sessionStarted tells the browser of its new session, which is stored.
func (p *Provider) sessionStarted(ctx context.Context, w http.ResponseWriter, r *http.Request, started *ssoSession) {
	p.setCookie(w, sessionCookie, started.cookie)
	p.setBrowserState(w, started, time.Duration(p.lifetimes.Session))
	p.rememberBrowser(w, r, started.user)
	p.log.InfoContext(ctx, "signed in", "sub", started.Subject)
}

// storeSession writes a new session, in the place of the browser's one before if
// there is one, in a unit of work of its own. storage.ErrEnded: that one has
// ended meanwhile.
func (p *Provider) storeSession(ctx context.Context, before *ssoSession, session *storage.Session) error {
	ctx, work := p.begin(ctx)
	if before != nil {
		if err := p.succeed(ctx, work, before, session); err != nil {
			return err
		}
	}
	work.onSuccess.Sessions = append(work.onSuccess.Sessions, *session)
	return work.commit(ctx)
}

// succeed puts a new session of a browser into the place of the one before. For
// the same user it is the same session to the clients, now until its new end.
func (p *Provider) succeed(ctx context.Context, work *work, before *ssoSession, session *storage.Session) error {
	if before.Subject != session.Subject {
		work.signOut(before)
		return nil
	}
	session.SID = before.SID
	work.onSuccess.RequireSID = session.SID
	work.onSuccess.EndSessions = append(work.onSuccess.EndSessions, before.ID)
	clients, err := p.store.SessionClients(ctx, before.SID)
	for _, known := range clients {
		known.ExpiresAt = p.remembered(*session)
		work.onSuccess.SessionClients = append(work.onSuccess.SessionClients, known)
	}
	return err
}

// signOut ends a session, if it has not ended, also where a new login has taken
// its place; and what was issued in it for its time only.
func (w *work) signOut(session *ssoSession) {
	w.onSuccess.RequireSID = session.SID
	w.onSuccess.SignOut = append(w.onSuccess.SignOut, session.SID)
}

// csrfToken returns the token that a form of this browser carries, and gives
// the browser its cookie if it has none.
func (p *Provider) csrfToken(w http.ResponseWriter, r *http.Request) string {
	value := p.readCookie(r, csrfCookie)
	if value == "" {
		value = randomString(16)
		p.setCookie(w, csrfCookie, value)
	}
	return p.csrfMAC(r, value)
}

// checkCSRF reports whether a form was made for this browser and sent from our
// own page. A page of another site can send the form, but cannot read the token
// in ours; and where the browser says who sent it (Fetch Metadata), a sibling
// host that planted our cookie is told from us, too.
func (p *Provider) checkCSRF(r *http.Request, token string) bool {
	value := p.readCookie(r, csrfCookie)
	return fromOwnOrigin(r) && value != "" && hmac.Equal([]byte(token), []byte(p.csrfMAC(r, value)))
}

// fromOwnOrigin reports whether a browser that says who sent a form (Fetch Metadata)
// says that a page of ours did.
func fromOwnOrigin(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "same-origin"
}

// csrfMAC binds a form to the browser's cookie, and to its session too: over
// http a sibling host can plant the cookie of its own visit here, with a token
// to match. The login form is not bound: it stands before a session, and one
// that begins in another tab must not spoil it. What keeps a sibling from it is
// checkCSRF's first look.
func (p *Provider) csrfMAC(r *http.Request, value string) string {
	if r.URL.Path == p.base+pathLogin {
		return p.csrf.text(value)
	}
	return p.csrf.text(value + "\x00" + p.readCookie(r, sessionCookie))
}

func (p *Provider) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

func (p *Provider) readCookie(r *http.Request, name string) string {
	cookie, err := r.Cookie(p.cookieName(name))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie sets a cookie for the browser's session; an empty value removes it.
// Over https it is SameSite=None: silent renewal runs in a cross-site iframe.
func (p *Provider) setCookie(w http.ResponseWriter, name, value string) {
	cookie := &http.Cookie{ //nolint:gosec // over http browsers refuse Secure (see above); the rest is set
		Name: p.cookieName(name), Value: value, Path: "/",
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	}
	if p.secure && name == sessionCookie {
		cookie.SameSite = http.SameSiteNoneMode
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
