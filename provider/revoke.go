package provider

import (
	"context"
	"net/http"

	"github.com/ory/fosite"
)

// handleRevoke serves POST /revoke (RFC 7009).
func (p *Provider) handleRevoke(w http.ResponseWriter, r *http.Request) {
	// 1. Who asks? RFC 7009 §2.1.
	form, caller, ok := p.authenticatedForm(w, r)
	if !ok {
		return
	}
	raw := form.Get("token")
	if raw == "" {
		p.tokenError(w, r, refuse(fosite.ErrInvalidRequest, check{What: "token is missing.", Section: rfc("7009", "2.1")}))
		return
	}
	// 2. Revoke what there is to revoke. A token that is unknown or dead is as
	//    good as revoked. RFC 7009 §2.2.
	ctx, work := p.begin(r.Context())
	err := p.revoke(ctx, work, caller, raw)
	if err == nil {
		err = work.commit(ctx)
	}
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

// revoke collects the revocation of raw: of the whole family for a refresh
// token, of itself alone for an access token.
func (p *Provider) revoke(ctx context.Context, work *work, caller *client, raw string) error {
	_, grant, err := p.refreshToken(ctx, raw)
	switch {
	case err != nil && !tokenIsDead(err):
		return err
	case grant.ID == "": // the store knows no such refresh token
	case grant.ClientID != caller.ID:
		return errForeignToken
	default:
		// A spent one too: its client may have missed the answer that brought
		// the next, and wants the family ended all the same.
		work.revoke(grant.ID)
		return nil
	}
	token, err := p.accessToken(ctx, raw)
	switch {
	case err != nil && !tokenIsDead(err):
		return err
	case token.grant.ID == "": // nor such an access token
		return nil
	case token.grant.ClientID != caller.ID:
		return errForeignToken
	}
	work.onSuccess.RevokeAccessTokens = append(work.onSuccess.RevokeAccessTokens, token.ID)
	return nil
}

// errForeignToken: RFC 7009 §2.1 has the request refused and the client told.
var errForeignToken = refuse(fosite.ErrUnauthorizedClient, check{
	What: "The token was issued to another client.", Section: rfc("7009", "2.1"),
})
