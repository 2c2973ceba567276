package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// grantDevice is the grant type of RFC 8628 §3.4.
const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

const (
	// pollInterval is the least time between two polls of one device.
	pollInterval = 5 * time.Second
	// userCodeLetters leave out the vowels, so that no code is a word, and Y:
	// RFC 8628 §6.1. Eight of them are 34 bits.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8

	// How often user codes may be tried (RFC 8628 §5.1): in a second, and at once
	// after a pause. There are 20^8 codes, 25.6 billion. In the ten minutes that
	// a code lives, one visitor tries 620 of them and hits it with 1 in 41 million;
	// all together try 12,200 and hit it with 1 in 2.1 million. Who kept that up
	// for a year would be right once in forty, where one device waits at all times.
	guessRate, guessBurst       = 1, 20
	allGuessRate, allGuessBurst = 20, 200
)

// handleDeviceAuthorization serves POST /device_authorization (RFC 8628 §3.1).
func (p *Provider) handleDeviceAuthorization(w http.ResponseWriter, r *http.Request) {
	// 1. Who asks? RFC 8628 §3.1.
	form, c, ok := p.authenticatedForm(w, r)
	if !ok {
		return
	}
	if !slices.Contains(c.GrantTypes, grantDevice) {
		p.tokenError(w, r, refuse(fosite.ErrUnauthorizedClient, check{
			What: "The client is not registered for the device grant.", Expected: "grant_types with " + grantDevice,
			Arrived: strings.Join(c.GrantTypes, ", "), Section: rfc("8628", "3.2"),
		}))
		return
	}
	if err := p.checkStranger(w, r, c); err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 2. What for?
	scopes, err := p.knownScopes(c, form.Get("scope"), slices.Contains(c.GrantTypes, grantRefresh))
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	audience, err := p.targets(c, form)
	if err != nil {
		p.tokenError(w, r, err)
		return
	}
	// 3. A code for the device and one for the user, who types it in.
	ctx, work := p.begin(r.Context())
	deviceCode := randomString(32)
	code := storage.DeviceCode{
		ID: storage.DigestOf(deviceCode), UserCode: newUserCode(), ClientID: c.ID,
		Scopes: scopes, Audience: audience, Interval: pollInterval,
		CreatedAt: work.now, ExpiresAt: work.now.Add(time.Duration(c.lifetimes.DeviceCode)),
	}
	work.onSuccess.DeviceCodes = []storage.DeviceCode{code}
	if err := work.commit(ctx); err != nil {
		p.tokenError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "device authorization begun", "client", c.ID)
	// 4. RFC 8628 §3.2.
	shown := displayedUserCode(code.UserCode)
	p.writeJSON(w, http.StatusOK, map[string]any{
		"device_code":               deviceCode,
		"user_code":                 shown,
		"verification_uri":          p.issuer + pathDevice,
		"verification_uri_complete": p.issuer + pathDevice + "?" + url.Values{"user_code": {shown}}.Encode(),
		"expires_in":                int64(time.Duration(c.lifetimes.DeviceCode) / time.Second),
		"interval":                  int64(pollInterval / time.Second),
	})
}

// newUserCode makes a user code in its canonical form.
func newUserCode() string {
	code := make([]byte, userCodeLength)
	for i := range code {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		code[i] = userCodeLetters[n.Int64()]
	}
	return string(code)
}

// displayedUserCode is a user code as people read it.
func displayedUserCode(code string) string {
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// canonicalUserCode takes from what a person typed all that is no letter of a
// code (RFC 8628 §6.1). "" if what is left is none.
func canonicalUserCode(typed string) string {
	code := strings.Map(func(r rune) rune {
		if strings.ContainsRune(userCodeLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))
	if len(code) != userCodeLength {
		return ""
	}
	return code
}

// deviceGrant is fosite's handler for the device grant at the token endpoint
// (RFC 8628 §3.4). fosite's own came after the version that is used.
type deviceGrant struct {
	store         engineStore
	accessTokens  accessTokenIssuer
	refreshTokens refreshTokenMaker
	idTokens      idTokenIssuer
}

var _ fosite.TokenEndpointHandler = (*deviceGrant)(nil)

// CanHandleTokenEndpointRequest reports whether the request is of this grant.
func (*deviceGrant) CanHandleTokenEndpointRequest(_ context.Context, req fosite.AccessRequester) bool {
	return req.GetGrantTypes().ExactOne(grantDevice)
}

// CanSkipClientAuth says that clients authenticate as everywhere.
func (*deviceGrant) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest checks the device code: RFC 8628 §3.4, §3.5.
func (h *deviceGrant) HandleTokenEndpointRequest(ctx context.Context, req fosite.AccessRequester) error {
	work := workFrom(ctx)
	id := storage.DigestOf(req.GetRequestForm().Get("device_code"))
	// 1. A code of this client. Another's is as good as unknown.
	code, err := work.store.DeviceCode(ctx, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err != nil {
		return refuse(fosite.ErrInvalidGrant, unknownGrant(theDeviceCode, req.GetClient().GetID(), neverIssued))
	}
	if code.ClientID != req.GetClient().GetID() {
		return refuse(fosite.ErrInvalidGrant, unknownGrant(theDeviceCode, req.GetClient().GetID(), ofAnother))
	}
	// 2. It is still good.
	if !code.UsedAt.IsZero() {
		return refuse(fosite.ErrInvalidGrant, check{
			What: "The device code was used before.", Expected: "a device code that is new", Arrived: "one that gave its tokens at " + moment(code.UsedAt),
			Section: rfc("8628", "3.5"),
		})
	}
	if !work.now.Before(code.ExpiresAt) {
		return refuse(errDeviceExpired, check{
			What: "The device code has expired. Ask for another.", Expected: "a request before " + moment(code.ExpiresAt), Arrived: "one at " + moment(work.now),
			Section: rfc("8628", "3.5"),
		})
	}
	// 3. The user has decided.
	if code.DecidedAt.IsZero() {
		work.always.pollDeviceCodes = append(work.always.pollDeviceCodes, id)
		return stillPending(code, work.now)
	}
	if code.GrantID == "" {
		return refuse(errDeviceDenied, check{What: "The user denied the request.", Section: rfc("8628", "3.5")})
	}
	// 4. What the user allowed.
	return h.restore(ctx, req, code)
}

// stillPending tells the device to go on asking, at its pace.
func stillPending(code storage.DeviceCode, now time.Time) error {
	if wait := code.Interval - now.Sub(code.LastPollAt); wait > 0 {
		return refuse(errSlowDown, check{
			What: "The device asks too often.", Expected: fmt.Sprintf("%s between two requests", code.Interval),
			Arrived: now.Sub(code.LastPollAt).String(), Section: rfc("8628", "3.5"),
		})
	}
	return refuse(errAuthorizationPending, check{What: "The user has not decided yet.", Section: rfc("8628", "3.5")})
}

// restore gives the token request the grant that the user's decision made.
func (h *deviceGrant) restore(ctx context.Context, req fosite.AccessRequester, code storage.DeviceCode) error {
	work := workFrom(ctx)
	grant, err := work.store.Grant(ctx, code.GrantID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err != nil {
		return refuse(fosite.ErrInvalidGrant, unknownGrant(theDeviceCode, req.GetClient().GetID(), neverIssued))
	}
	if !grant.RevokedAt.IsZero() {
		return refuse(fosite.ErrInvalidGrant, revokedGrant(theDeviceCode, grant))
	}
	granted, err := h.store.request(ctx, grant)
	if errors.Is(err, fosite.ErrNotFound) {
		return refuse(fosite.ErrInvalidGrant, userIsGone)
	}
	if err != nil {
		return err
	}
	request, err := accessRequest(req)
	if err != nil {
		return err
	}
	request.SetID(grant.ID)
	request.SetSession(granted.Session)
	request.RequestedScope, request.GrantedScope = granted.RequestedScope, granted.GrantedScope
	request.RequestedAudience, request.GrantedAudience = granted.RequestedAudience, granted.GrantedAudience
	work.onSuccess.RedeemDeviceCode = code.ID
	return nil
}

// PopulateTokenEndpointResponse makes the tokens: RFC 8628 §3.5, OIDC Core §3.1.3.3.
func (h *deviceGrant) PopulateTokenEndpointResponse(ctx context.Context, req fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, req) {
		return fosite.ErrUnknownRequest
	}
	c, session := clientOf(req), sessionOf(req)
	signature, err := h.accessTokens.IssueAccessToken(ctx, time.Duration(c.lifetimes.AccessToken), req, resp)
	if err != nil {
		return err
	}
	if req.GetGrantedScopes().Has(scopeOfflineAccess) {
		token, refreshSignature, err := h.refreshTokens.GenerateRefreshToken(ctx, req)
		if err != nil {
			return err
		}
		if err := h.store.CreateRefreshTokenSession(ctx, refreshSignature, signature, req); err != nil {
			return err
		}
		resp.SetExtra("refresh_token", token)
	}
	if req.GetGrantedScopes().Has(scopeOpenID) {
		session.claims.AccessTokenHash = h.idTokens.GetAccessTokenHash(ctx, req, resp)
		return h.idTokens.IssueExplicitIDToken(ctx, time.Duration(c.lifetimes.IDToken), req, resp)
	}
	return nil
}

// The parts of fosite that the grant issues with.
type (
	accessTokenIssuer interface {
		IssueAccessToken(context.Context, time.Duration, fosite.AccessRequester, fosite.AccessResponder) (string, error)
	}
	refreshTokenMaker interface {
		GenerateRefreshToken(context.Context, fosite.Requester) (token, signature string, err error)
	}
	idTokenIssuer interface {
		GetAccessTokenHash(context.Context, fosite.AccessRequester, fosite.AccessResponder) string
		IssueExplicitIDToken(context.Context, time.Duration, fosite.Requester, fosite.AccessResponder) error
	}
)

// The errors of RFC 8628 §3.5.
var (
	errAuthorizationPending = &fosite.RFC6749Error{ErrorField: "authorization_pending", CodeField: http.StatusBadRequest}
	errSlowDown             = &fosite.RFC6749Error{ErrorField: "slow_down", CodeField: http.StatusBadRequest}
	errDeviceDenied         = &fosite.RFC6749Error{ErrorField: "access_denied", CodeField: http.StatusBadRequest}
	errDeviceExpired        = &fosite.RFC6749Error{ErrorField: "expired_token", CodeField: http.StatusBadRequest}
)
