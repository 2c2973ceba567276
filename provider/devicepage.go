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

// handleDevice serves GET and POST /device, where a person connects a device
// (RFC 8628 §3.3): type in the code, sign in, compare, allow.
func (p *Provider) handleDevice(w http.ResponseWriter, r *http.Request) {
	form, err := requestForm(w, r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	switch {
	case form.Has(sealedField):
		p.decideDevice(w, r, form)
	case r.Method == http.MethodPost:
		p.enterUserCode(w, r, form.Get("user_code"))
	default:
		p.showDevice(w, r, http.StatusOK, form.Get("user_code"), "")
	}
}

// enterUserCode looks up what a person typed.
func (p *Provider) enterUserCode(w http.ResponseWriter, r *http.Request, typed string) {
	// 1. The form was sent from our own page, where the browser says so: no other
	//    has visitors guess for it.
	if !fromOwnOrigin(r) {
		p.showDevice(w, r, http.StatusForbidden, "", "The form was not sent from this page. Type in the code again.")
		return
	}
	// 2. Codes are short, so guesses are few: RFC 8628 §5.1. A right one is no guess.
	rightAfterAll, ok := p.userCodeGuesses.take(r)
	if !ok {
		w.Header().Set("Retry-After", "10")
		p.showDevice(w, r, http.StatusTooManyRequests, typed, "Too many codes were tried. Wait a moment, then try again.")
		return
	}
	// 3. A code that waits for a decision.
	pending := pendingRequest{UserCode: canonicalUserCode(typed), RequestedAt: time.Now().UTC()}
	a, err := p.deviceRequest(r.Context(), pending)
	if errors.Is(err, fosite.ErrInvalidRequest) {
		p.showDevice(w, r, http.StatusBadRequest, typed, "No device waits with this code. Check it on the device; it may have expired.")
		return
	}
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	// 4. On to the login, or at once to the decision.
	rightAfterAll()
	p.redirectSealed(w, r, pathDevice, a.pending)
}

// deviceRequest is the authorization request of a device that waits, as far as
// the pages need to know it.
func (p *Provider) deviceRequest(ctx context.Context, pending pendingRequest) (*authorization, error) {
	gone := refuse(fosite.ErrInvalidRequest, check{
		What: "No device waits with this code any more. Begin again on the device.", Section: rfc("8628", "3.3"),
	})
	code, err := p.store.DeviceCodeOf(ctx, pending.UserCode)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	if !code.DecidedAt.IsZero() || !time.Now().UTC().Before(code.ExpiresAt) {
		return nil, gone
	}
	c, err := p.namedClient(ctx, code.ClientID, gone)
	if err != nil {
		return nil, err
	}
	a := &authorization{pending: pending, client: c, scopes: c.stillAllowed(code.Scopes), audience: code.Audience, device: &code}
	// What the client registered to hold for requests that do not say otherwise
	// (OIDC Registration §2): this kind has no way to.
	if err := checkMaxAge(a); err != nil {
		return nil, err
	}
	return a, p.checkACR(ctx, a)
}

// decideDevice shows whose device it is and what it asks for, and takes the
// decision.
func (p *Provider) decideDevice(w http.ResponseWriter, r *http.Request, form url.Values) {
	ctx, work := p.begin(r.Context())
	// 1. The page belongs to a device that waits.
	in, ok := p.openForm(ctx, w, r, form)
	if !ok {
		return
	}
	if in.a.device == nil {
		p.pageError(w, r, refuse(fosite.ErrInvalidRequest, check{
			What: "This page is for connecting a device.", Section: rfc("8628", "3.3"),
		}))
		return
	}
	// 2. Somebody is signed in, and sent the form from our own page.
	session, ok := p.decider(w, r, in, p.showDeviceConsent)
	if !ok {
		return
	}
	// 3. The decision.
	decision := in.form.Get("decision")
	switch decision {
	case "allow":
		grant := p.newDeviceGrant(in.a, session, work)
		work.onSuccess.Grants = []storage.Grant{grant}
		work.onSuccess.RequireSession = session.ID
		work.onSuccess.DecideDevice = &storage.DeviceDecision{ID: in.a.device.ID, GrantID: grant.ID}
	case "deny":
		work.onSuccess.DecideDevice = &storage.DeviceDecision{ID: in.a.device.ID}
	default:
		p.pageError(w, r, errNoDecision(decision))
		return
	}
	if err := commitDecision(ctx, work); err != nil {
		p.pageError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "device decided", "sub", session.Subject, "client", in.a.client.ID, "decision", decision)
	p.pages.deviceDone(w, deviceDonePage{clientView: p.viewOf(in.a.client), Allowed: decision == "allow"})
}

// commitDecision stores the decision: the first one, if two windows decide.
func commitDecision(ctx context.Context, work *work) error {
	err := work.commit(ctx)
	if errors.Is(err, storage.ErrUsed) || errors.Is(err, storage.ErrNotFound) {
		return refuse(fosite.ErrInvalidRequest, check{What: "This device was answered before.", Section: rfc("8628", "3.3")})
	}
	return err
}

// newDeviceGrant is what the user allows the device. It does not end with the
// session in this browser: the device is elsewhere.
func (p *Provider) newDeviceGrant(a *authorization, session *ssoSession, work *work) storage.Grant {
	grant := p.newGrant(a, session, work.now)
	grant.ID = orderedID(work.now)
	grant.SessionID, grant.SessionBound = "", false
	grant.Scopes, grant.Audience = a.scopes, a.device.Audience
	// The device has until its code expires to come for the tokens.
	grant.ExpiresAt = grant.ExpiresAt.Add(a.device.ExpiresAt.Sub(work.now))
	return grant
}

func (p *Provider) showDevice(w http.ResponseWriter, _ *http.Request, status int, typed, problem string) {
	p.pages.device(w, status, devicePage{Action: p.base + pathDevice, UserCode: typed, Error: problem})
}

func (p *Provider) showDeviceConsent(w http.ResponseWriter, r *http.Request, in *interaction, session *ssoSession) {
	p.pages.deviceConsent(w, deviceConsentPage{
		clientView: p.viewOf(in.a.client),
		Action:     p.base + pathDevice, Request: in.sealed, CSRF: p.csrfToken(w, r),
		UserCode: displayedUserCode(in.a.device.UserCode),
		Username: session.user.Username, Name: session.user.displayName(),
		Lines: p.consentLines(in.a, storage.Consent{}),
	})
}

// devicePage asks for the code that a device shows.
type devicePage struct {
	Action   string // path that the form is posted to
	UserCode string // filled in: from the link, or what was typed before Error
	Error    string // why the last code was refused; "": first attempt
}

func (p *pages) device(w http.ResponseWriter, status int, v devicePage) {
	p.render(w, "device", status, policyOfForms(""), v)
}

// deviceConsentPage asks whether the device may have the scopes. The answer
// comes as decision=allow or decision=deny.
type deviceConsentPage struct {
	clientView
	Action, Request, CSRF string        // as in loginPage
	UserCode              string        // to compare with the device
	Username, Name        string        // who is signed in; Name may be ""
	Lines                 []consentLine // New says nothing here: each device is asked for anew
}

func (p *pages) deviceConsent(w http.ResponseWriter, v deviceConsentPage) {
	v.clientView = v.safe()
	p.render(w, "deviceconsent", http.StatusOK, policyOfForms(v.LogoURI), v)
}

// deviceDonePage is the end in the browser: the rest happens on the device.
type deviceDonePage struct {
	clientView
	Allowed bool
}

func (p *pages) deviceDone(w http.ResponseWriter, v deviceDonePage) {
	p.render(w, "devicedone", http.StatusOK, policyOfTexts, v)
}
