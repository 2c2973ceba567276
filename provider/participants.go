package provider

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// participant is a client that a session signed its user in at.
type participant struct {
	*client
	// subject and sid are the "sub" and the "sid" by which the client knows the
	// user and the session.
	subject, sid string
}

// bindToSession ties a grant to the session that it is given in. It is issued
// only if the session is still there, and ends with it unless the user allowed
// access while away (OIDC Core §11). A client that the user is signed in at
// will hear of the session's end (Back-Channel Logout §2.3).
func (p *Provider) bindToSession(work *work, a *authorization, session *ssoSession, grant *storage.Grant) {
	if !work.begins(session.ID) {
		work.onSuccess.RequireSession = session.ID
	}
	grant.SessionID = session.SID
	grant.SessionBound = !slices.Contains(a.scopes, scopeOfflineAccess)
	if !slices.Contains(a.scopes, scopeOpenID) {
		return // the client learns of no session
	}
	work.onSuccess.SessionClients = append(work.onSuccess.SessionClients, storage.SessionClient{
		SID: session.SID, ClientID: a.client.ID,
		// As it is told now: the client's registration may change until the end.
		Subject: p.subjectFor(a.client, session.Subject), ClientSID: p.subjects.sid(a.client, session.SID),
		ExpiresAt: p.remembered(session.Session),
	})
}

// remembered is how long the clients of a session are: for a session's length
// beyond its end. A login of the same user prolongs it, and does not see who joins
// at that very moment.
func (p *Provider) remembered(session storage.Session) time.Time {
	return session.ExpiresAt.Add(time.Duration(p.lifetimes.Session))
}

// participants returns the clients that must hear of a session's end. It is
// called when every session of this "sid" is gone: nobody joins it any more
// (bindToSession), and no later login has its name (succeed). What cannot be
// read is logged and left out, for the session has ended whoever hears of it.
func (p *Provider) participants(ctx context.Context, sid string) []participant {
	ctx = context.WithoutCancel(ctx)
	records, err := p.store.SessionClients(ctx, sid)
	if err != nil {
		p.log.ErrorContext(ctx, "clients of an ended session are not told", "cause", err)
		return nil
	}
	var all []participant
	for _, record := range records {
		c, err := p.client(ctx, record.ClientID)
		if errors.Is(err, storage.ErrNotFound) {
			continue // no longer registered
		}
		if err != nil {
			p.log.ErrorContext(ctx, "client of an ended session is not told", "client", record.ClientID, "cause", err)
			continue
		}
		all = append(all, participant{client: c, subject: record.Subject, sid: cmp.Or(record.ClientSID, record.SID)})
	}
	return all
}
