package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// pushedPrefix begins the request_uri of a pushed request, RFC 9126 §2.2.
const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// handlePushedRequest serves POST /par (RFC 9126).
func (p *Provider) handlePushedRequest(w http.ResponseWriter, r *http.Request) {
	// 1. The client authenticates as at the token endpoint. RFC 9126 §2.
	form, c, ok := p.authenticatedForm(w, r)
	if !ok {
		return
	}
	if err := p.checkStranger(w, r, c); err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 2. A proof of its key binds the code to that key. RFC 9449 §10.1.
	proof, err := p.checkProof(w, r, "")
	if err == nil {
		err = p.spendProof(r.Context(), proof)
	}
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. Validate the request as the authorization endpoint would. RFC 9126 §2.1.
	ctx, work := p.begin(r.Context())
	a := newPushedAuthorization(c, form, work.now)
	if err := p.checkAll(ctx, a); err != nil {
		p.tokenError(w, r, err)
		return
	}
	if err := bindPushed(a, proof.thumbprint()); err != nil {
		p.tokenError(w, r, err)
		return
	}
	if _, err := p.seal(a.pending); err != nil { // it would not fit into the pages' URLs
		p.tokenError(w, r, err)
		return
	}
	// 4. Keep it under a name that nobody guesses, and no longer than the name is
	//    good: who has begun to sign in by then has the request in the page.
	uri := pushedPrefix + randomString(32)
	life := time.Duration(c.lifetimes.PushedRequest)
	work.onSuccess.PushedRequests = []storage.PushedRequest{{
		ID: storage.DigestOf(uri), ClientID: c.ID, Form: a.form, JKT: proof.thumbprint(),
		CreatedAt: work.now, ExpiresAt: work.now.Add(life),
	}}
	if err := work.commit(ctx); err != nil {
		p.tokenError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "authorization request pushed", "client", c.ID)
	// 5. RFC 9126 §2.2.
	p.writeJSON(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": int64(life / time.Second)})
}

// newPushedAuthorization is the request of a form, without what authenticated
// its client.
func newPushedAuthorization(c *client, form url.Values, now time.Time) *authorization {
	form = cloneWithout(form, "client_secret", "client_assertion", "client_assertion_type")
	form.Set("client_id", c.ID)
	return &authorization{pending: pendingRequest{Form: form, RequestedAt: now}, form: form, pushing: true}
}

// bindPushed: the proof and dpop_jkt name the same key, if both are there.
func bindPushed(a *authorization, jkt string) error {
	if named := a.form.Get("dpop_jkt"); named != "" && jkt != "" && named != jkt {
		return refuseProof("dpop_jkt is not the thumbprint of the key that signed the DPoP proof.", jkt, named)
	}
	return nil
}

// openPushedRequest puts the parameters that were pushed in the place of those of
// the request, which count for nothing (RFC 9126 §4, RFC 9101 §6.3). The request
// may be opened again until it has been answered. Errors go to a page: what is
// wrong is the very thing that would say where else.
func (p *Provider) openPushedRequest(ctx context.Context, a *authorization, uri string) error {
	id := storage.DigestOf(uri)
	pushed, err := p.store.PushedRequest(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return badPushedRequest("is not known.")
	case err != nil:
		return err
	case pushed.ClientID != a.client.ID:
		return badPushedRequest("was given to another client.")
	case !time.Now().Before(pushed.ExpiresAt):
		return badPushedRequest("has expired.")
	}
	answered, err := p.store.Seen(ctx, answerOf(id).ID)
	if err != nil {
		return err
	}
	if answered {
		return errPushedUsed
	}
	form := url.Values(pushed.Form)
	if pushed.JKT != "" {
		form.Set("dpop_jkt", pushed.JKT)
	}
	a.form, a.pending.Form, a.pending.Pushed = form, form, id
	return nil
}

// badPushedRequest is invalid_request_uri, RFC 9126 §4, RFC 9101 §7.
func badPushedRequest(what string) error {
	return refuse(fosite.ErrInvalidRequestURI, check{
		What: "The request_uri of a pushed request " + what, Expected: "one that the client has just got", Arrived: "another", Section: rfc("9126", "4"),
	})
}

var errPushedUsed = badPushedRequest("was used before.")

// answerOf is what may come once of a pushed request: its answer. It is known for
// as long as there can be a page that the request waits in, which was opened
// before the request expired and is open for interactionLifetime at most.
func answerOf(pushed storage.Digest) storage.Once {
	return storage.Once{ID: onceID("pushed request", string(pushed[:])), ExpiresAt: time.Now().UTC().Add(2 * interactionLifetime)}
}

// claimPushedRequest notes that a request which was pushed, if it was, is
// answered by what is committed. An error is an answer, too.
func (w *work) claimPushedRequest(a *authorization) {
	if !a.pending.Pushed.IsZero() {
		w.onSuccess.Once = append(w.onSuccess.Once, answerOf(a.pending.Pushed))
	}
}

// answerPushedRequest claims a request for an answer that needs no other commit.
func (p *Provider) answerPushedRequest(ctx context.Context, a *authorization) error {
	ctx, work := p.begin(ctx)
	work.claimPushedRequest(a)
	return pushedError(a, work.commit(ctx))
}

// pushedError translates the refusal of a commit that claims a pushed request:
// another answer came first.
func pushedError(a *authorization, err error) error {
	if !a.pending.Pushed.IsZero() && errors.Is(err, storage.ErrSeen) {
		return errPushedUsed
	}
	return err
}
