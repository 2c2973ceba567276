package provider

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// The errors of RFC 7591 §3.2.2.
var (
	errInvalidRedirectURI = &fosite.RFC6749Error{
		ErrorField: "invalid_redirect_uri", CodeField: http.StatusBadRequest,
	}
	errInvalidClientMetadata = &fosite.RFC6749Error{
		ErrorField: "invalid_client_metadata", CodeField: http.StatusBadRequest,
	}
	errUnapprovedSoftwareStatement = &fosite.RFC6749Error{
		ErrorField: "unapproved_software_statement", CodeField: http.StatusBadRequest,
	}
)

// mayRegister reports whether whoever sent the request may register a client.
// Browsers say of which site a page is that sends one. Without CORS they stop most
// of them, but not one whose name leads to this provider's address by now (DNS
// rebinding), and so into a network that only its visitor is in.
func (p *Provider) mayRegister(r *http.Request) error {
	if !p.registrar.open() {
		return p.registrar.checkInitialToken(r)
	}
	own, err := url.Parse(p.issuer)
	if err != nil {
		return err
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != webOrigin(own) {
		return refuse(fosite.ErrAccessDenied, check{
			What: "A page of another site cannot register clients here.", Expected: "no Origin header, or " + webOrigin(own), Arrived: printable(origin),
			Section: rfc("7591", "5"),
		})
	}
	return nil
}

// handleRegister serves POST /register (RFC 7591 §3, OIDC Registration §3).
func (p *Provider) handleRegister(w http.ResponseWriter, r *http.Request) {
	ctx, work := p.begin(r.Context())
	// 1. Where registration is not open to everybody, the initial access token.
	//    RFC 7591 §3, §3.1. Where it is, it is not so to pages of other sites.
	if err := p.mayRegister(r); err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 2. What the client says of itself. RFC 7591 §2, OIDC Registration §2.
	document, err := registrationDocument(w, r)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	id := randomString(16) // the provider's choice, whatever the document says
	metadata, err := p.readMetadata(ctx, id, document)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 3. The record, with a secret if the client uses one, and a registration
	//    access token. RFC 7591 §3.2.1, RFC 7592 §3.
	token := randomString(32)
	record := storage.Client{ID: id, RegistrationToken: storage.DigestOf(token), CreatedAt: work.now}
	secret, err := p.writeRecord(&record, &metadata, work.now)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 4. Store it, if there is room for one more.
	work.onSuccess.Clients, work.onSuccess.ClientLimit = []storage.Client{record}, p.registrar.limit
	if err := work.commit(ctx); err != nil {
		p.registrationError(w, r, p.registrar.translate(err))
		return
	}
	p.log.InfoContext(ctx, "client registered", "client", id)
	// 5. Answer with all that is registered, defaults included.
	p.writeRegistration(w, r, http.StatusCreated, registration{record, token, secret})
}

// readMetadata makes a registration of a document: what the client asks for,
// the defaults for what it does not, and every check.
func (p *Provider) readMetadata(ctx context.Context, id string, document jsonObject) (Client, error) {
	if document.has("software_statement") {
		// RFC 7591 §2.3, §3.2.2. Ignoring it would register something else than
		// what it says.
		return Client{}, refuse(errUnapprovedSoftwareStatement, check{
			What: "Software statements are not accepted: nobody's signature on them is trusted here.", Section: rfc("7591", "3.2.2"),
		})
	}
	c, wrong := decodeMetadata(document)
	if wrong == nil {
		c = c.withRegistrationDefaults()
		c.ID = id
		wrong = p.checkRegistration(ctx, c)
	}
	if wrong != nil {
		return Client{}, wrong.refusal()
	}
	return c, nil
}

// withRegistrationDefaults fills in what a client that registers itself leaves
// out: RFC 7591 §2, OIDC Registration §2. A configuration may leave out more.
func (c Client) withRegistrationDefaults() Client {
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = authBasic
	}
	if c.ApplicationType == "" {
		c.ApplicationType = applicationWeb
	}
	if c.SubjectType == "" {
		c.SubjectType = subjectPublic
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{grantCode}
	}
	if len(c.ResponseTypes) == 0 && (slices.Contains(c.GrantTypes, grantCode) || slices.Contains(c.GrantTypes, grantImplicit)) {
		c.ResponseTypes = []string{"code"}
	}
	return c.withDefaults()
}

// checkRegistration checks what a client asks for: as a configuration is
// checked, and for what only the operator may give.
func (p *Provider) checkRegistration(ctx context.Context, c Client) *problem {
	checked := c
	if c.needsSecret() {
		checked.Secret = randomString(32) // like the one that it will get
	}
	if wrong := checked.check(p.scopes); wrong != nil {
		return wrong
	}
	if wrong := p.requests.checkClient(&c); wrong != nil {
		return wrong
	}
	if wrong := c.checkUnsigned(p.unsignedIDTokens); wrong != nil {
		return wrong
	}
	if wrong := c.checkSectorShown(); wrong != nil {
		return wrong
	}
	if p.registrar.open() && slices.Contains(c.GrantTypes, grantClientCredentials) {
		return problemf("grant_types", "%s is not for clients that anybody may register: no user would have allowed what it gives. It takes registration by an initial access token", grantClientCredentials)
	}
	if c.InitiateLoginURI != "" && !strings.HasPrefix(strings.ToLower(c.InitiateLoginURI), "https:") {
		// OIDC Core §4. A configuration may have plain http on this machine.
		return problemf("initiate_login_uri", "%q is not https (OpenID Connect Core §4)", c.InitiateLoginURI)
	}
	// What the provider would not call is refused now, not when it is needed.
	for _, link := range c.calledURIs() {
		if err := checkOutboundURL(link.uri, p.outbound.private); err != nil {
			return problemf(link.field, "%q %v", link.uri, err)
		}
	}
	// Last, since it asks another machine.
	return p.checkSectorDocument(ctx, &c)
}

// calledURIs are those that the provider itself fetches or sends to.
func (c *Client) calledURIs() (all []struct{ field, uri string }) {
	add := func(field, uri string) {
		if uri != "" {
			all = append(all, struct{ field, uri string }{field, uri})
		}
	}
	add("jwks_uri", c.JWKSURI)
	add("sector_identifier_uri", c.SectorIdentifierURI)
	add("backchannel_logout_uri", c.BackchannelLogoutURI)
	for _, uri := range c.RequestURIs {
		add("request_uris", uri)
	}
	return all
}

// writeRecord puts a client's metadata into its record, as what the record is from
// now on, and returns the secret if it gives the client one.
func (p *Provider) writeRecord(record *storage.Client, c *Client, now time.Time) (secret string, err error) {
	secret = p.renewSecret(record, c, now)
	record.Origins = originsOf(c.RedirectURIs)
	record.Version, record.UpdatedAt, record.UsedAt = newVersion(), now, time.Time{}
	if p.registrar.clientLifetime > 0 {
		record.UsedAt = now
	}
	record.Metadata, err = json.Marshal(*c)
	return secret, err
}

// newVersion is a storage.Client's. Nobody guesses it, and none comes twice.
func newVersion() string { return randomString(12) }

// renewSecret gives the record a new secret and returns it if the client needs
// one and has none, or one that has expired or is of another kind. Only its
// digest is kept.
func (p *Provider) renewSecret(record *storage.Client, c *Client, now time.Time) string {
	if !c.needsSecret() {
		record.SecretHash, record.SecretExpiresAt = storage.Digest{}, time.Time{}
		return ""
	}
	signs := c.TokenEndpointAuthMethod == authSecretJWT // then the secret itself is needed again
	expired := !record.SecretExpiresAt.IsZero() && !now.Before(record.SecretExpiresAt)
	known := !signs || storage.DigestOf(p.derivedSecret(record.ID, record.SecretExpiresAt)) == record.SecretHash
	if !record.SecretHash.IsZero() && !expired && known {
		return ""
	}
	record.SecretExpiresAt = time.Time{}
	if life := p.registrar.secretLifetime; life > 0 {
		record.SecretExpiresAt = now.Add(life)
	}
	secret := randomString(32)
	if signs {
		secret = p.derivedSecret(record.ID, record.SecretExpiresAt)
	}
	record.SecretHash = storage.DigestOf(secret)
	return secret
}

// refusal is the problem as an answer: RFC 7591 §3.2.2.
func (p *problem) refusal() error {
	base := errInvalidClientMetadata
	if p.field == "redirect_uris" {
		base = errInvalidRedirectURI
	}
	const most = 500 // of a value that a stranger chose
	reason := p.reason
	if p.unless != "" {
		reason += ". Only a client of the provider's configuration can be allowed to do without (" + p.unless + ")"
	}
	what := p.field + " " + strings.ReplaceAll(reason, "§", "section ")
	return refuse(base, check{What: what[:min(len(what), most)], Section: rfc("7591", "2")})
}
