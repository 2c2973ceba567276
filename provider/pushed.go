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
	if err := p.validate(ctx, a); err != nil {
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
	// 4. Keep it under a name that nobody guesses. Who has begun to sign in may
	//    finish after the name has expired, so the record stays longer.
	uri := pushedPrefix + randomString(32)
	life := time.Duration(c.lifetimes.PushedRequest)
	work.onSuccess.PushedRequests = []storage.PushedRequest{{
		ID: storage.DigestOf(uri), ClientID: c.ID, Form: a.form, JKT: proof.thumbprint(),
		CreatedAt: work.now, ExpiresAt: work.now.Add(life + interactionLifetime),
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
	case !pushed.UsedAt.IsZero():
		return errPushedUsed
	case !time.Now().Before(pushed.CreatedAt.Add(time.Duration(a.client.lifetimes.PushedRequest))):
		return badPushedRequest("has expired.")
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

// claimPushedRequest notes that a request which was pushed, if it was, is
// answered now. An error is an answer, too.
func (p *Provider) claimPushedRequest(ctx context.Context, a *authorization) error {
	if a.pending.Pushed.IsZero() {
		return nil
	}
	ctx, work := p.begin(ctx)
	work.onSuccess.ClaimPushedRequest = a.pending.Pushed
	return pushedError(a, work.commit(ctx))
}

// pushedError translates the refusal of a commit that claims a pushed request:
// another answer came first.
func pushedError(a *authorization, err error) error {
	if !a.pending.Pushed.IsZero() && (errors.Is(err, storage.ErrUsed) || errors.Is(err, storage.ErrNotFound)) {
		return errPushedUsed
	}
	return err
}
