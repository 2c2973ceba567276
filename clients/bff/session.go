package bff

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
	"github.com/oidclab/oidclab/clients/internal/records"
)

// session is what the backend keeps for a browser that is signed in. It stays
// in the backend; view is what the page gets of it.
type session struct {
	Subject       string          `json:"sub"`
	SID           string          `json:"sid"` // of the provider's session, "" if it did not say
	Began         time.Time       `json:"began"`
	IDToken       string          `json:"id_token"` // for id_token_hint
	Header        json.RawMessage `json:"header"`   // the ID token, decoded
	Claims        json.RawMessage `json:"claims"`
	UserInfo      json.RawMessage `json:"userinfo"`
	AccessToken   string          `json:"access_token"`
	AccessExpires time.Time       `json:"access_expires,omitzero"` // zero: the provider did not say
	RefreshToken  string          `json:"refresh_token"`           // "" if the provider gave none
	Scope         string          `json:"scope"`
	Expires       time.Time       `json:"expires"` // the latest end; activity does not move it
	Steps         []step          `json:"steps"`   // of the login
	Renewal       []step          `json:"renewal"` // of the last renewal
}

// step is one line of the page's list of what the flow just did.
type step struct {
	Text    string `json:"text"`
	Spec    string `json:"spec"`
	Channel string `json:"channel"`
}

const (
	channelFront  = "front"
	channelBack   = "back"
	channelInside = "inside"
)

// keep takes over the tokens of a token response.
func (s *session) keep(token *oauth2.Token) {
	s.AccessToken, s.AccessExpires = token.AccessToken, token.Expiry
	if token.RefreshToken != "" { // rotation: the new one replaces the old (RFC 6749 §6)
		s.RefreshToken = token.RefreshToken
	}
	if scope, ok := token.Extra("scope").(string); ok { // absent: as asked for (RFC 6749 §5.1)
		s.Scope = scope
	}
}

// idleEnd is when the session ends if no request comes.
func (b *BFF) idleEnd(s session) time.Time {
	idle := time.Now().Add(b.cfg.SessionIdle)
	if idle.After(s.Expires) {
		return s.Expires
	}
	return idle
}

// current returns the session that the browser's cookie names, and its id, and
// counts the request as activity.
func (b *BFF) current(r *http.Request) (string, session, error) {
	id := cookie(r, sessionCookie)
	s, err := b.sessions.get(id, id)
	if err == nil {
		// Extend brings back no session that a logout has just removed.
		err = b.sessions.records.Extend(id, b.idleEnd(s))
	}
	switch {
	case errors.Is(err, records.ErrNotFound):
		return "", session{}, errNoSession
	case err != nil:
		return "", session{}, errStore.after(err)
	}
	// The provider's own session may have ended meanwhile, and this one with it.
	// The refresh token is dropped and not revoked: offline_access outlives that
	// session, and nobody else holds the token. Back-Channel Logout §2.7.
	switch over, err := b.backchannel.Ended(backchannel.SignIn{SID: s.SID, Subject: s.Subject, Began: s.Began}); {
	case err != nil:
		return "", session{}, errStore.after(err)
	case over:
		if err := b.sessions.records.Delete(id); err != nil {
			return "", session{}, errStore.after(err)
		}
		return "", session{}, errSignedOutThere
	}
	return id, s, nil
}

// endSession deletes a session and revokes its tokens at the provider. The
// error says only whether the provider did; the session is gone in any case.
func (b *BFF) endSession(ctx context.Context, id string) (session, error) {
	s, err := b.sessions.take(id, id)
	if errors.Is(err, records.ErrNotFound) {
		return session{}, errNoSession
	}
	if err != nil {
		return session{}, errStore.after(err)
	}
	return s, b.revokeTokens(ctx, s)
}

// revokeTokens ends at the provider what the session holds. RFC 7009 §2.1: the
// refresh token takes the access token with it.
func (b *BFF) revokeTokens(ctx context.Context, s session) error {
	op, err := b.op.discover(ctx)
	if err == nil {
		token, hint := s.RefreshToken, "refresh_token"
		if token == "" {
			token, hint = s.AccessToken, "access_token"
		}
		err = b.revoke(ctx, op, token, hint)
	}
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "tokens not revoked", slog.String("cause", safeCause(err)))
	}
	return err
}

// handleSession serves GET /bff/session: what the page may know. It never holds
// a token: claims and times only.
func (b *BFF) handleSession(w http.ResponseWriter, r *http.Request) {
	_, s, err := b.current(r)
	if errors.Is(err, errNoSession) {
		writeJSON(w, http.StatusOK, map[string]bool{"signed_in": false})
		return
	}
	if err != nil {
		b.refuseSession(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, b.view(s))
}

type sessionView struct {
	SignedIn bool            `json:"signed_in"`
	Who      who             `json:"who"`
	IDToken  tokenView       `json:"id_token"`
	UserInfo json.RawMessage `json:"userinfo"`
	Scope    string          `json:"scope"`
	Holdings []holding       `json:"holdings"`
	Steps    []step          `json:"steps"`
	Session  struct {
		Expires     int64 `json:"expires_at"`      // epoch seconds
		IdleExpires int64 `json:"idle_expires_at"` // without a request
	} `json:"session"`
}

type who struct {
	Name     string `json:"name"`
	Username string `json:"preferred_username"`
	Subject  string `json:"sub"`
}

type tokenView struct {
	Header  json.RawMessage `json:"header"`
	Payload json.RawMessage `json:"payload"`
}

// holding is one thing that this client holds: what and where, never its value.
type holding struct {
	What    string `json:"what"`
	Where   string `json:"where"`
	Note    string `json:"note"`
	Expires int64  `json:"expires,omitempty"` // epoch seconds
}

func (b *BFF) view(s session) sessionView {
	v := sessionView{
		SignedIn: true,
		IDToken:  tokenView{Header: s.Header, Payload: s.Claims},
		UserInfo: s.UserInfo,
		Scope:    s.Scope,
		Holdings: holdings(s),
		Steps:    append(s.Steps, s.Renewal...),
	}
	v.Session.Expires, v.Session.IdleExpires = s.Expires.Unix(), b.idleEnd(s).Unix()
	// UserInfo has the profile's claims; a provider may put them into the ID token.
	for _, claims := range []json.RawMessage{s.Claims, s.UserInfo} {
		if err := json.Unmarshal(claims, &v.Who); err != nil {
			continue // claims of another shape than the standard's: not shown
		}
	}
	v.Who.Subject = s.Subject
	return v
}

func holdings(s session) []holding {
	list := []holding{{
		What: "session id", Where: "cookie", Expires: s.Expires.Unix(),
		Note: "__Host-bff: HttpOnly, so no script can read it; Secure; SameSite=Strict. The only key that the browser holds.",
	}}
	access := holding{What: "access token", Where: "backend", Note: "The backend adds it to the calls that it forwards to the API. This page never gets it."}
	if !s.AccessExpires.IsZero() {
		access.Expires = s.AccessExpires.Unix()
	}
	list = append(list, access)
	if s.RefreshToken != "" {
		list = append(list, holding{What: "refresh token", Where: "backend", Note: "The backend renews with it. This page never gets it."})
	}
	return append(list, holding{
		What: "ID token", Where: "backend",
		Note: "This page gets its claims. The token itself passes through the browser once, as id_token_hint when you sign out.",
	})
}
