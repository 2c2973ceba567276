package bff

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/clients/internal/records"
)

const (
	// renewBefore is how long before its end an access token is replaced, so that
	// it does not expire on its way to the API.
	renewBefore = 10 * time.Second
	// renewTimeout bounds a renewal, on which several requests may wait.
	renewTimeout = 15 * time.Second
)

// handleRenew serves POST /bff/renew: the page asks for new tokens, which it
// will not see.
func (b *BFF) handleRenew(w http.ResponseWriter, r *http.Request) {
	id, s, err := b.current(r)
	if err == nil {
		s, err = b.renew(r.Context(), id, s.AccessToken)
	}
	if err != nil {
		b.refuseSession(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, b.view(s))
}

// refuseSession answers with an error, and takes the cookie of a session that
// has ended.
func (b *BFF) refuseSession(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errSessionEnded) || errors.Is(err, errSignedOutThere) || errors.Is(err, errNoSession) {
		dropCookie(w, sessionCookie, http.SameSiteStrictMode)
	}
	b.refuseJSON(w, r, err)
}

// fresh returns the session with an access token that lives long enough for a
// call.
func (b *BFF) fresh(ctx context.Context, id string, s session) (session, error) {
	left := time.Until(s.AccessExpires)
	if s.AccessExpires.IsZero() || left > renewBefore {
		return s, nil
	}
	renewed, err := b.renew(ctx, id, s.AccessToken)
	if errors.Is(err, errProviderDown) && left > 0 {
		return s, nil // the old one still works
	}
	return renewed, err
}

// renew replaces the access token stale by a new one. Requests that come
// together share one renewal, and one that comes late, with a token that has
// been replaced meanwhile, gets the new one: a refresh token that is used twice
// looks stolen, and the provider would end the session (RFC 9700 §4.14.2).
func (b *BFF) renew(ctx context.Context, id, stale string) (session, error) {
	renewed, err, _ := b.renewals.Do(id, func() (any, error) {
		// Others wait for this too, and the provider may have rotated the refresh
		// token already: the browser that began it must not cut it short.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
		defer cancel()
		return b.refresh(oidc.ClientContext(ctx, b.http), id, stale)
	})
	if err != nil {
		return session{}, err
	}
	return renewed.(session), nil // refresh returns nothing else
}

var renewalSteps = []step{
	{"The backend renewed the tokens with the refresh token, which the provider replaced", "RFC 6749 §6; RFC 9700 §4.14.2", channelBack},
}

// refresh does the renewal (RFC 6749 §6).
func (b *BFF) refresh(ctx context.Context, id, stale string) (session, error) {
	// 1. The session as it is now; another request may have renewed it already.
	s, err := b.sessions.get(id, id)
	switch {
	case errors.Is(err, records.ErrNotFound):
		return session{}, errNoSession
	case err != nil:
		return session{}, errStore.after(err)
	case s.AccessToken != stale:
		return s, nil
	case s.RefreshToken == "":
		return b.sessionOver(id, "a refresh token", "the provider gave none, and the access token is no longer good")
	}
	op, err := b.op.discover(ctx)
	if err != nil {
		return session{}, err
	}

	// 2. New tokens. Only invalid_grant means that the grant is over; a provider
	//    that is down ends nobody's session. RFC 6749 §5.2.
	token, err := b.oauth(op).TokenSource(ctx, &oauth2.Token{RefreshToken: s.RefreshToken}).Token()
	if err != nil {
		code, decided := tokenError(err)
		switch {
		case !decided:
			return session{}, errProviderDown.after(err)
		case code != "invalid_grant":
			return session{}, errRenewal.because("new tokens", clip(code))
		}
		return b.sessionOver(id, "new tokens", "invalid_grant: the refresh token is revoked, expired or was used twice")
	}

	// 3. An ID token, if there is one, is checked as the first was, and must be
	//    the same user's. OpenID Connect Core §12.2.
	renewed := s
	renewed.keep(token)
	if _, ok := token.Extra("id_token").(string); ok {
		_, fresh, err := b.verifyIDToken(ctx, op, token)
		if err != nil || fresh.Subject != s.Subject {
			return b.sessionOver(id, "a valid ID token of the same sub", "another one")
		}
		renewed.IDToken, renewed.Header, renewed.Claims = fresh.IDToken, fresh.Header, fresh.Claims
	}
	renewed.Renewal = renewalSteps

	// 4. Kept before they are used. If the person signed out meanwhile, the new
	//    tokens go as well.
	err = b.sessions.update(id, id, func(kept *session) { *kept = renewed })
	if errors.Is(err, records.ErrNotFound) {
		_ = b.revokeTokens(ctx, renewed) // it logs its failure; there is nobody to tell
		return session{}, errNoSession
	}
	if err != nil {
		return session{}, errStore.after(err)
	}
	b.log.LogAttrs(ctx, slog.LevelInfo, "tokens renewed", slog.String("sub", s.Subject))
	return renewed, nil
}

// sessionOver removes a session that the provider has ended.
func (b *BFF) sessionOver(id, expected, arrived string) (session, error) {
	if err := b.sessions.records.Delete(id); err != nil {
		return session{}, errStore.after(err)
	}
	return session{}, errSessionEnded.because(expected, arrived)
}
