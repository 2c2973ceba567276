package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on telling clients that a session has ended. Each request has the
// timeout of outbound.go besides.
const (
	backchannelAtOnce = 16                     // requests under way for one session
	backchannelPause  = 500 * time.Millisecond // before the second try
	backchannelWait   = 5 * time.Second        // how long the browser waits for the clients
	logoutTokenLife   = 2 * time.Minute        // Back-Channel Logout §4: preferably at most that
)

// backchannelEvent marks a JWT as a logout token, Back-Channel Logout §2.4.
const backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// tellByBackChannel tells the clients of an ended session that it has ended,
// all at the same time: those that have a backchannel_logout_uri. The channel
// that it returns is closed when each has answered or was given up. A browser
// that goes away stops nothing.
func (p *Provider) tellByBackChannel(ctx context.Context, all []participant) <-chan struct{} {
	ctx = context.WithoutCancel(ctx)
	turns := make(chan struct{}, backchannelAtOnce)
	var calls sync.WaitGroup
	for _, client := range all {
		if client.BackchannelLogoutURI != "" {
			calls.Go(func() { p.tellClient(ctx, client, turns) })
		}
	}
	told := make(chan struct{})
	p.background.Go(func() {
		calls.Wait()
		close(told)
	})
	return told
}

// waitForClients keeps the browser until the clients are told, but not for
// long: nobody's sign-out may hang on a client that does.
func (p *Provider) waitForClients(ctx context.Context, told <-chan struct{}) {
	timer := time.NewTimer(backchannelWait)
	defer timer.Stop()
	select {
	case <-told:
	case <-ctx.Done():
	case <-timer.C:
		p.log.WarnContext(ctx, "the browser goes on before every client is told of the sign-out")
	}
}

// tellClient tells one client, with a second try if what failed may have passed
// by then. The second carries a new token: a client that keeps each "jti" may
// have kept the first one's before it failed, and whoever is told twice is
// signed out once (§2.8).
func (p *Provider) tellClient(ctx context.Context, to participant, turns chan struct{}) {
	for attempt := 1; attempt <= 2; attempt++ {
		if attempt > 1 {
			time.Sleep(backchannelPause)
		}
		turns <- struct{}{}
		status, err := p.sendLogoutToken(ctx, to)
		<-turns
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusNoContent): // §2.8
			p.log.InfoContext(ctx, "client told of the sign-out", "client", to.ID, "attempt", attempt)
			return
		case err != nil:
			p.log.WarnContext(ctx, "client not told of the sign-out", "client", to.ID, "attempt", attempt, "cause", err)
		default:
			p.log.WarnContext(ctx, "client refused the logout token", "client", to.ID, "attempt", attempt, "status", status)
		}
		if !errors.Is(err, errNotFetched) && !mayPass(status) {
			return // it would be the same again
		}
	}
}

// mayPass reports whether an answer may be another one in a moment. 400 is what
// a client says of a logout token that it does not believe, but also of a logout
// that failed, because it could not fetch our keys or write, say (§2.8).
func mayPass(status int) bool {
	return status >= http.StatusInternalServerError ||
		slices.Contains([]int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusTooManyRequests}, status)
}

// sendLogoutToken makes a logout token and posts it (§2.4, §2.5).
func (p *Provider) sendLogoutToken(ctx context.Context, to participant) (status int, err error) {
	now := time.Now()
	token, err := p.keys.sign(ctx, logoutTokenAlg(to.client), typeLogoutToken, map[string]any{
		"iss": p.issuer, "aud": to.ID, "sub": to.subject, "sid": to.sid,
		"iat": now.Unix(), "exp": now.Add(logoutTokenLife).Unix(), "jti": randomString(16),
		"events": map[string]any{backchannelEvent: struct{}{}},
		// No nonce: it would make an ID token of this (§2.4).
	})
	if err != nil {
		return 0, err
	}
	return p.outbound.postForm(ctx, to.BackchannelLogoutURI, url.Values{"logout_token": {token}})
}

// logoutTokenAlg signs as the client's ID tokens are signed, and always (§2.4).
func logoutTokenAlg(c *client) jose.SignatureAlgorithm {
	alg := jose.SignatureAlgorithm(c.IDTokenSignedResponseAlg)
	if !slices.Contains(signingAlgorithms, alg) {
		return jose.RS256
	}
	return alg
}

// checkLogoutURI looks at a URI that a client is told of a sign-out at:
// Back-Channel Logout §2.2, Front-Channel Logout §2.
func (c *Client) checkLogoutURI(field, uri string) *problem {
	switch {
	case redirectProblem(uri) != "":
		return problemf(field, "%q %s", uri, redirectProblem(uri))
	case webURL(uri) == "":
		return problemf(field, "%q is not an http or https URL", uri)
	case !c.InsecureHTTPRedirectURIs && isPlainHTTP(uri):
		p := problemf(field, "%q would tell of the sign-out unencrypted, on another machine: use https", uri)
		p.unless = switchHTTPRedirects
		return p
	}
	return nil
}

// checkBackChannelLogout: Back-Channel Logout §2.2.
func (c *Client) checkBackChannelLogout() *problem {
	if c.BackchannelLogoutURI == "" {
		return nil
	}
	return c.checkLogoutURI("backchannel_logout_uri", c.BackchannelLogoutURI)
}
