package frontenddriven

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/clients/internal/records"
)

// This is the backend's half of the flow, top to bottom; the browser's half is
// web/flow.js. What a person sees in the address bar is the browser's, what
// needs the secret is the backend's.

// callLimit is the time for all that one request asks of the provider.
const callLimit = 20 * time.Second

// detached is a context for work that must not stop halfway because the browser
// went away: the provider may have rotated its refresh token by then, and an
// answer that nobody reads would take the login with it.
func detached(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), callLimit)
}

// ── Before the login ─────────────────────────────────────────────────────────

// handleConfig serves GET /auth/config: what the browser, or a native
// application, needs to begin the flow. None of it is secret.
func (a *App) handleConfig(w http.ResponseWriter, r *http.Request) {
	op, err := a.op.discover(r.Context())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                 a.cfg.Issuer,
		"authorization_endpoint": op.authorization,
		"authorization_response_iss_parameter_supported": op.sendsIssuer,
		"client_id":    a.cfg.ClientID,
		"scope":        scope,
		"redirect_uri": a.cfg.FrontendURL + "/callback",
	})
}

// ── Login ────────────────────────────────────────────────────────────────────

// handleExchange serves POST /auth/exchange: the browser brings the code that
// it got, and the verifier and the nonce that it made; it gets the application's
// tokens. State and iss it has checked already, and only it could: what they
// are compared with never left it. RFC 6749 §10.12, RFC 9207 §2.4.
func (a *App) handleExchange(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := detached(r)
	defer cancel()

	// 1. Read the request. The redirect_uri must be one of ours before the
	//    provider compares it with the one that the code was sent to.
	var e exchangeRequest
	if err := readJSON(w, r, &e); err != nil {
		a.refuse(w, r, err)
		return
	}
	if err := e.check(a.cfg.FrontendURL); err != nil {
		a.refuse(w, r, err)
		return
	}
	op, err := a.op.discover(ctx)
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 2. Redeem the code: the secret says which client asks, the verifier that it
	//    asks for the browser which began. The provider lets a code through once,
	//    so a replay ends here. RFC 6749 §4.1.2, §4.1.3, RFC 7636 §4.5, §4.6.
	token, err := a.op.redeem(ctx, op, e)
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 3. Learn who signed in, and tie that to the provider's refresh token.
	fam, err := a.beginFamily(ctx, op, token, e.Nonce)
	if err != nil {
		// What was issued for a login that failed is of no use to anybody.
		_ = a.revokeQuietly(ctx, token.RefreshToken) // as in endFamily
		a.refuse(w, r, err)
		return
	}

	// 4. Answer with tokens of the application's own. The provider's stay here.
	a.log.InfoContext(ctx, "login", "sub", fam.Subject)
	a.answer(w, r, fam)
}

// beginFamily is step 3 of the login.
func (a *App) beginFamily(ctx context.Context, op *endpoints, token *oauth2.Token, nonce string) (family, error) {
	// 3.1 The ID token, with its signature. OpenID Connect Core §3.1.3.7.
	id, err := a.op.verifyIDToken(ctx, op, token)
	if err != nil {
		return family{}, err
	}
	// 3.2 Its nonce is the one that this browser made: a code that was stolen
	//     from another browser brings that one's nonce. RFC 9700 §4.5.3.2.
	if id.Nonce != nonce {
		return family{}, errNonceMismatch
	}
	// 3.3 The user's claims, of the same user. OpenID Connect Core §5.3.2.
	claims, err := a.op.fetchUserInfo(ctx, op, token, id.Subject)
	if err != nil {
		return family{}, err
	}
	// 3.4 A refresh token to tie the application's own to.
	if token.RefreshToken == "" {
		return family{}, errNoRefreshToken
	}
	fam := family{
		ID: rand.Text(), Subject: id.Subject, SID: id.claims.SID, Began: time.Now(), RefreshJTI: rand.Text(),
		ProviderRT: token.RefreshToken, IDToken: id.raw, Nonce: nonce, Claims: claims,
		// Its end is fixed now; no renewal moves it. RFC 10017 §6.3.2.3.
		Expires: time.Now().Add(a.cfg.FamilyLifetime).Truncate(time.Second),
	}
	return fam, a.families.save(fam)
}

// answer signs the family's current pair and sends it.
func (a *App) answer(w http.ResponseWriter, r *http.Request, fam family) {
	pair, err := a.mint.pair(fam)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, pair)
}

// ── Renewal ──────────────────────────────────────────────────────────────────

// handleRefresh serves POST /auth/refresh: the application's refresh token, in
// the Authorization header, is exchanged for the next pair. The provider is
// asked each time, so a grant that has ended there ends here as well.
func (a *App) handleRefresh(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := detached(r)
	defer cancel()

	// 1. It is a refresh token of ours: neither an access token, nor one of the
	//    provider's. RFC 8725 §3.
	claims, err := a.readRefreshToken(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 2. One at a time for each family.
	unlock := a.families.lock(claims.Family)
	defer unlock()
	fam, err := a.current(claims.Family)
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 3. It is the current one. An older one was used already, and either the
	//    thief or the owner sends it now; nobody can tell which, so both lose.
	//    RFC 9700 §4.14.2.
	if claims.ID != fam.RefreshJTI {
		a.log.WarnContext(ctx, "refresh token reused", "sub", fam.Subject)
		a.refuse(w, r, a.endFamily(ctx, fam, errReuse))
		return
	}

	// 4. Renew the provider's tokens and the user's claims.
	err = a.renewFamily(ctx, &fam)
	if isOver(err) {
		err = a.endFamily(ctx, fam, err)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 5. Answer with the next pair.
	a.log.InfoContext(ctx, "renewal", "sub", fam.Subject)
	a.answer(w, r, fam)
}

// current returns the family of a refresh token, if it is not over.
func (a *App) current(id string) (family, error) {
	fam, err := a.families.load(id)
	if errors.Is(err, records.ErrNotFound) {
		return family{}, errEnded
	}
	if err != nil {
		return family{}, err
	}
	// The provider's own session may have ended, and this login with it. The
	// provider's refresh token is dropped and not revoked: offline_access outlives
	// that session, and nobody else holds the token. Back-Channel Logout §2.7.
	over, err := a.backchannel.Ended(fam.signIn())
	if err != nil {
		return family{}, err
	}
	if over {
		return family{}, errSignedOutThere
	}
	return fam, nil
}

// renewFamily is step 4 of the renewal. Until 4.5 has succeeded, the
// application's refresh token is not used up and may be sent again.
func (a *App) renewFamily(ctx context.Context, fam *family) error {
	op, err := a.op.discover(ctx)
	if err != nil {
		return err
	}
	// 4.1 The provider's refresh token. "invalid_grant" means that the grant is
	//     dead; no answer, or a 5xx, means nothing at all. RFC 6749 §5.2, §6.
	token, err := a.op.renew(ctx, op, fam.ProviderRT)
	if errors.Is(err, errGrant) {
		return errProviderEnded.after(err)
	}
	if err != nil {
		return err
	}
	// 4.2 Keep the new one at once. The old one is used up at the provider, and
	//     whatever fails below must not lose its successor. RFC 9700 §4.14.2.
	fam.ProviderRT = token.RefreshToken
	if err := a.families.save(*fam); err != nil {
		return err
	}
	// 4.3 A renewed ID token, where one came, is of the same login.
	//     OpenID Connect Core §12.2.
	if token.Extra("id_token") != nil {
		id, err := a.op.verifyIDToken(ctx, op, token)
		if err != nil {
			return err
		}
		if err := id.sameLogin(*fam); err != nil {
			return err
		}
		fam.IDToken = id.raw
	}
	// 4.4 The user's latest claims. A provider that refuses the access token which
	//     it has just issued does not want this user any more.
	claims, err := a.op.fetchUserInfo(ctx, op, token, fam.Subject)
	if errors.Is(err, errUserGone) {
		return errProviderEnded.after(err)
	}
	if err != nil {
		return err
	}
	// 4.5 The next application refresh token takes the place of the one that was
	//     sent, before anybody gets to see it.
	fam.Claims, fam.RefreshJTI = claims, rand.Text()
	return a.families.save(*fam)
}

// isOver tells the failures of a renewal that end the family from those that
// leave it as it was.
func isOver(err error) bool {
	return errors.Is(err, errProviderEnded) || errors.Is(err, errOtherIDToken) || errors.Is(err, errOtherUser)
}

func (a *App) readRefreshToken(r *http.Request) (refreshClaims, error) {
	compact, err := bearer(r)
	if err != nil {
		return refreshClaims{}, err
	}
	return a.mint.checkRefreshToken(compact)
}

// ── Logout ───────────────────────────────────────────────────────────────────

// handleLogout serves POST /auth/logout: the application's refresh token, in the
// Authorization header, says which login ends. The answer says where the browser
// ends the provider's session too.
func (a *App) handleLogout(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := detached(r)
	defer cancel()

	// 1. It is a refresh token of ours. An old one will do to end a login.
	claims, err := a.readRefreshToken(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}

	// 2. End the family here, and its refresh token at the provider. RFC 7009 §2.1.
	unlock := a.families.lock(claims.Family)
	defer unlock()
	fam, err := a.families.load(claims.Family)
	if err != nil && !errors.Is(err, records.ErrNotFound) {
		a.refuse(w, r, err)
		return
	}
	revoked, unreachable := false, false
	if err == nil {
		if err := a.families.end(fam.ID); err != nil {
			a.refuse(w, r, err)
			return
		}
		failed := a.revokeQuietly(ctx, fam.ProviderRT)
		revoked, unreachable = failed == nil, errors.Is(failed, errProviderDown)
		a.log.InfoContext(ctx, "logout", "sub", fam.Subject, "revoked", revoked)
	}

	// 3. Say where the provider's session ends. The hint lets it end without a
	//    question; who brings an old token gets none. RP-Initiated Logout §2.
	//    While the provider is down, the browser would find an error page there.
	hint := ""
	if claims.ID == fam.RefreshJTI {
		hint = fam.IDToken
	}
	answer := map[string]any{"provider_revoked": revoked}
	if op, err := a.op.discover(ctx); err == nil && !unreachable {
		answer["logout_url"] = a.op.logoutURL(op, hint)
	}
	writeJSON(w, http.StatusOK, answer)
}

// endFamily ends a login that is not to go on: here for certain, at the provider
// if it can be reached. It returns why, or that it could not even end it here.
func (a *App) endFamily(ctx context.Context, fam family, why error) error {
	if err := a.families.end(fam.ID); err != nil {
		return err
	}
	_ = a.revokeQuietly(ctx, fam.ProviderRT) // it logs its failure, which changes nothing here
	return why
}

// errNothingToRevoke says that a login has no refresh token of the provider.
var errNothingToRevoke = errors.New("no refresh token to revoke")

// revokeQuietly revokes a refresh token of the provider and returns why that did
// not work, which it has logged. The token is forgotten then, so nobody can use it.
func (a *App) revokeQuietly(ctx context.Context, refreshToken string) error {
	if refreshToken == "" {
		return errNothingToRevoke
	}
	err := a.op.revoke(ctx, refreshToken)
	if err != nil {
		a.log.WarnContext(ctx, "revocation failed", "error", err)
	}
	return err
}
