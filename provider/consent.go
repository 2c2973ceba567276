package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// errDenied is the user's "no".
var errDenied = refuse(fosite.ErrAccessDenied, check{What: "The user denied the request.", Section: rfc6749("4.1.2.1")})

// handleConsent serves GET and POST /consent.
func (p *Provider) handleConsent(w http.ResponseWriter, r *http.Request) {
	ctx, work := p.begin(r.Context())
	// 1. The page belongs to a pending request.
	in, ok := p.openInteraction(ctx, w, r)
	if !ok {
		return
	}
	if in.a.device != nil { // it has a page of its own
		p.redirectSealed(w, r, pathDevice, in.a.pending)
		return
	}
	// 2. Somebody is signed in, and sent the form from our own page.
	session, ok := p.decider(w, r, in, p.showConsent)
	if !ok {
		return
	}
	// 3. The decision.
	switch in.form.Get("decision") {
	case "allow":
		p.rememberConsent(work, session.Subject, in.a)
		p.grant(ctx, w, r, in.a, session)
	case "deny":
		p.log.InfoContext(ctx, "consent denied", "sub", session.Subject, "client", in.a.client.ID)
		p.authorizeError(w, r, in.a, errDenied)
	default:
		p.pageError(w, r, errNoDecision(in.form.Get("decision")))
	}
}

// decider returns the session of whoever decides on the pending request of a
// page, if the request carries the decision. Otherwise it answers: with the
// login, with the page itself, which show writes, or with an error for a form
// that our own page did not send.
func (p *Provider) decider(w http.ResponseWriter, r *http.Request, in *interaction, show func(http.ResponseWriter, *http.Request, *interaction, *ssoSession)) (*ssoSession, bool) {
	session, err := p.currentSession(r)
	switch {
	case err != nil:
		p.pageError(w, r, err)
	case p.needsLogin(in.a, session) != "":
		p.redirectSealed(w, r, pathLogin, in.a.pending)
	case r.Method != http.MethodPost:
		show(w, r, in, session)
	case !p.checkCSRF(r, in.form.Get("csrf")):
		p.pageError(w, r, errForeignForm)
	default:
		return session, true
	}
	return nil, false
}

func errNoDecision(arrived string) error {
	return refuse(fosite.ErrInvalidRequest, check{
		What: "The form carries no decision.", Expected: "allow or deny", Arrived: printable(arrived),
		Section: oidcCore("3.1.2.4", "Consent"),
	})
}

func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request, in *interaction, session *ssoSession) {
	allowed, err := p.allowedBefore(r.Context(), in.a, session.Subject)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		p.pageError(w, r, err)
		return
	}
	p.pages.consent(w, consentPage{
		clientView: p.viewOf(in.a.client),
		Action:     p.base + pathConsent, Request: in.sealed, CSRF: p.csrfToken(w, r),
		Username: session.user.Username, Name: session.user.displayName(),
		Lines: p.consentLines(in.a, allowed), FormTarget: in.a.returnURL(), Warning: in.a.warning(),
	})
}

// consentLines are what a request asks the user for. New is what a consent does
// not have.
func (p *Provider) consentLines(a *authorization, allowed storage.Consent) (lines []consentLine) {
	for _, scope := range a.scopes {
		lines = append(lines, consentLine{Name: scope, Description: p.describeScope(scope), New: !slices.Contains(allowed.Scopes, scope)})
	}
	for _, name := range a.beyondScopes() {
		lines = append(lines, consentLine{Name: name, Description: claimDescription(name), New: !claimAllowed(allowed, name)})
	}
	for _, uri := range p.otherResources(a) {
		lines = append(lines, consentLine{Name: uri, Description: "Use all this at another service, too", New: !slices.Contains(allowed.Resources, uri)})
	}
	return lines
}

// consentRead is what the store said of a user's consent.
type consentRead struct {
	subject string
	consent storage.Consent
	err     error
}

// allowedBefore is what the user allowed the client before, or storage.ErrNotFound. It
// is read once for a request.
func (p *Provider) allowedBefore(ctx context.Context, a *authorization, subject string) (storage.Consent, error) {
	if a.consent == nil || a.consent.subject != subject {
		consent, err := p.store.Consent(ctx, subject, a.client.ID)
		a.consent = &consentRead{subject, consent, err}
	}
	return a.consent.consent, a.consent.err
}

// claimAllowed reports whether a consent covers a claim, by its own name or by
// its scope's.
func claimAllowed(consent storage.Consent, name string) bool {
	return slices.Contains(consent.Claims, name) || slices.Contains(consent.Scopes, scopeOf(name))
}

// rememberConsent notes what the request asks for. The store adds it to what the
// user allowed before, and at the same moment elsewhere.
func (p *Provider) rememberConsent(work *work, subject string, a *authorization) {
	work.onSuccess.Consents = append(work.onSuccess.Consents, storage.Consent{
		ConsentID: storage.ConsentID{Subject: subject, ClientID: a.client.ID},
		Scopes:    a.scopes,
		Claims:    a.beyondScopes(),
		Resources: p.otherResources(a),
		UpdatedAt: work.now,
	})
}

// union is a and what b has beyond it.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// errForeignForm is for forms that our own page did not send.
var errForeignForm = func() error {
	base := *fosite.ErrInvalidRequest
	base.CodeField = http.StatusForbidden
	return refuse(&base, check{What: "The form was not sent from the provider's own page.", Section: rfc6749("10.12")})
}()
