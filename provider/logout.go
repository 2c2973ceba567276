package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/oidclab/oidclab/storage"
)

// handleLogout serves GET and POST /logout.
func (p *Provider) handleLogout(w http.ResponseWriter, r *http.Request) {
	ctx, work := p.begin(r.Context())
	// 1. Read and validate the request. RP-Initiated Logout §2.
	form, err := requestForm(w, r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	req, err := p.newLogoutRequest(ctx, form)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 2. A POST from another site comes without our SameSite=Lax cookie, and
	//    the user would look signed out. A GET of our own brings it.
	if r.Method == http.MethodPost && p.readCookie(r, sessionCookie) == "" {
		p.redirect(w, p.base+pathLogout+"?"+logoutQuery(form).Encode())
		return
	}
	// 3. Whose session would end?
	session, err := p.currentSession(r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 4. Without proof that the session's own client asks, the user is asked:
	//    another site must not sign people out (§2, §6).
	confirmed := r.Method == http.MethodPost && form.Has("logout")
	switch {
	case session == nil:
		p.keepBrowserState(w, r, nil)
	case confirmed && !p.checkCSRF(r, form.Get("csrf")):
		p.pageError(w, r, errForeignForm)
		return
	case confirmed && form.Get("logout") != "yes":
		p.pages.signedOut(w, req.declined())
		return
	case !confirmed && !p.proves(req, session):
		p.showLogout(w, r, req, form, session)
		return
	}
	// 5. End it, and tell its clients.
	var clients []participant
	if session != nil {
		if clients, err = p.signOut(ctx, w, work, session); err != nil {
			p.pageError(w, r, err)
			return
		}
	}
	// 6. Back to the client.
	p.afterLogout(w, req, session, clients)
}

// afterLogout sends the browser back to the client, by way of a page where it
// tells those that hear of the logout by the front channel (Front-Channel
// Logout §3), or leaves it on that page.
func (p *Provider) afterLogout(w http.ResponseWriter, req *logoutRequest, session *ssoSession, clients []participant) {
	back, frames := req.returnURL(), p.logoutFrames(clients)
	if back != "" && len(frames) == 0 && req.isConfirmed(session) {
		p.redirect(w, back)
		return
	}
	p.pages.signedOut(w, signedOutPage{
		NobodyIn: session == nil, Told: slices.ContainsFunc(clients, func(c participant) bool { return c.BackchannelLogoutURI != "" }),
		ClientName: req.clientName(), ReturnURL: back, StartURL: p.startAfter(req), Frames: frames,
	})
}

// signOut ends the browser's session and tells the clients by the back channel
// (Back-Channel Logout §2.5). It returns them: some hear of it by the front
// channel, from the page that follows. The cookie goes only after the session: whoever
// is told of a failure can try again.
func (p *Provider) signOut(ctx context.Context, w http.ResponseWriter, work *work, session *ssoSession) ([]participant, error) {
	work.signOut(session)
	err := work.commit(ctx)
	if errors.Is(err, storage.ErrEnded) {
		// In another tab the user signed out, just now, or another signed in. The
		// clients are told already, but for those in frames, which that tab may not
		// show; and the cookie may be the other user's.
		return p.participants(ctx, session.SID), nil
	}
	if err != nil {
		return nil, err
	}
	p.setCookie(w, sessionCookie, "")
	p.setBrowserState(w, nil, 0)
	p.log.InfoContext(ctx, "signed out", "sub", session.Subject)
	clients := p.participants(ctx, session.SID)
	p.waitForClients(ctx, p.tellByBackChannel(ctx, clients))
	return clients, nil
}

func (p *Provider) showLogout(w http.ResponseWriter, r *http.Request, req *logoutRequest, form url.Values, session *ssoSession) {
	page := logoutPage{Action: p.base + pathLogout, CSRF: p.csrfToken(w, r), Username: session.user.Username, ClientName: req.clientName()}
	if req.returnURI != nil {
		page.FormTarget = req.returnURI.String()
	}
	for _, name := range logoutParameters {
		if value := form.Get(name); value != "" {
			page.Params = append(page.Params, field{Name: name, Value: value})
		}
	}
	p.pages.logout(w, http.StatusOK, page)
}
