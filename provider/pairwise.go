package provider

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// The subject types of OIDC Core §8.
const (
	subjectPublic   = "public"
	subjectPairwise = "pairwise"
)

var subjectTypes = []string{subjectPublic, subjectPairwise}

// subjects gives users, and their sessions, the names by which clients know
// them, OIDC Core §8.
type subjects struct {
	users    macs // names of users
	sessions macs // names of sessions
}

// of returns the "sub" that a client is told for a user. A public one is the
// user's own. A pairwise one is the same for all clients of one sector, and
// from two of them nobody but the provider can tell that they are one user:
// OIDC Core §8.1, whose salted hash is an HMAC here.
func (s *subjects) of(c *client, subject string) string {
	if c.SubjectType != subjectPairwise || subject == c.ID { // RFC 6749 §4.4: a client's own grant has no user
		return subject
	}
	return nameIn(c.sector(), subject, s.users)
}

// sid returns the "sid" that a client is told for a session, "" for none. Where
// the "sub" must not tell two sectors that they have one user, the "sid" must
// not either, although it is shorter-lived: OIDC Core §8.1, §17.3.
func (s *subjects) sid(c *client, sid string) string {
	if c.SubjectType != subjectPairwise || sid == "" {
		return sid
	}
	return nameIn(c.sector(), sid, s.sessions)
}

// nameIn makes a name that is good in one sector.
func nameIn(sector, name string, names macs) string {
	return names.text(sector + "\x00" + name) // a host holds no zero byte
}

// subjectFor is the "sub" by which a client knows a user: in tokens, at
// userinfo, in introspection, and in the hints that the client sends back.
func (p *Provider) subjectFor(c *client, subject string) string { return p.subjects.of(c, subject) }

// sector is the host that stands for all clients that may know a user by one
// name: that of sector_identifier_uri, else of the redirect URIs, which
// checkSubject has found to be the same.
func (c *Client) sector() string {
	if c.SectorIdentifierURI != "" {
		return hostOf(c.SectorIdentifierURI)
	}
	if len(c.RedirectURIs) > 0 {
		return hostOf(c.RedirectURIs[0])
	}
	return ""
}

// hostOf is the host component of a URL, without the port (RFC 3986 §3.2.2). A
// scheme of an app's own (RFC 8252 §7.1) leads to no host, whatever stands in
// its place: com.example.app://rp.example/ is not rp.example's.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || webURL(raw) == "" {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// checkSubject: OIDC Core §8.1, OIDC Registration §5.
func (c *Client) checkSubject() *problem {
	switch {
	case c.SubjectType != "" && !slices.Contains(subjectTypes, c.SubjectType):
		return problemf("subject_type", "%q is not one of %s", c.SubjectType, strings.Join(subjectTypes, ", "))
	case c.SectorIdentifierURI != "" && webURL(c.SectorIdentifierURI) == "":
		return problemf("sector_identifier_uri", "%q is not an https URL", c.SectorIdentifierURI)
	case c.SubjectType != subjectPairwise || c.SectorIdentifierURI != "":
		return nil
	case c.sector() == "":
		return problemf("sector_identifier_uri", "is missing: without an http or https redirect URI it names the sector of %s subjects", subjectPairwise)
	}
	for _, uri := range c.RedirectURIs {
		if hostOf(uri) != c.sector() {
			return problemf("sector_identifier_uri", "is missing: the redirect URIs have several hosts, so it names the sector of %s subjects", subjectPairwise)
		}
	}
	return nil
}

// A client that registers itself says what it likes of its sector. What shows
// that the sector is its own is that the user's "sub" goes nowhere else: by the
// browser to a redirect URI of the sector (OIDC Registration §5), or to whoever
// has a key that the sector vouches for (CIBA Core §4). The checks below keep it
// to that. What the operator writes is believed.

// checkSectorShown looks at the ways by which a pairwise "sub" would reach the
// client without the browser: the device grant, and logout tokens.
func (c *Client) checkSectorShown() *problem {
	if c.SubjectType != subjectPairwise {
		return nil
	}
	if c.needsSectorKeys() && (c.TokenEndpointAuthMethod != authPrivateKey || c.JWKSURI == "" || c.SectorIdentifierURI == "") {
		return problemf("grant_types", "%s is for clients of %s subjects that authenticate by %s and whose sector_identifier_uri lists their jwks_uri: without a redirect nothing else shows the sector to be theirs",
			grantDevice, subjectPairwise, authPrivateKey)
	}
	told := hostOf(c.BackchannelLogoutURI)
	if told == "" || told == c.sector() || slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return hostOf(uri) == told }) {
		return nil
	}
	return problemf("backchannel_logout_uri", "%q is on no host of the sector, whose names of users logout tokens tell (%s subjects): use that of sector_identifier_uri or of a redirect URI",
		c.BackchannelLogoutURI, subjectPairwise)
}

// needsSectorKeys reports whether the client learns names of its sector by a
// grant in which the browser goes to no redirect URI.
func (c *Client) needsSectorKeys() bool {
	return c.SubjectType == subjectPairwise && slices.Contains(c.GrantTypes, grantDevice)
}

// checkSameSector keeps a client to its sector when its registration is replaced:
// grants that it has would else tell it the names of another one.
func (c *Client) checkSameSector(before *Client) *problem {
	const why = "cannot change: what users allowed before would tell the client other names of them. Register a new client"
	switch {
	case c.SubjectType != before.SubjectType:
		return problemf("subject_type", why)
	case c.SubjectType == subjectPairwise && c.sector() != before.sector():
		return problemf("sector_identifier_uri", "or the host of the redirect URIs "+why)
	}
	return nil
}

// checkSectorDocument fetches sector_identifier_uri: a JSON array that names
// every redirect URI of the client (OIDC Registration §5), and its jwks_uri if
// that has to show the sector (CIBA Core §4).
func (p *Provider) checkSectorDocument(ctx context.Context, c *Client) *problem {
	const field = "sector_identifier_uri"
	if c.SectorIdentifierURI == "" {
		return nil
	}
	if len(c.RedirectURIs) == 0 && !c.needsSectorKeys() {
		return problemf(field, "lists redirect URIs, and the client has none")
	}
	body, err := p.outbound.get(ctx, c.SectorIdentifierURI, "application/json")
	if err != nil {
		return problemf(field, "%q %v", c.SectorIdentifierURI, err)
	}
	var listed []string
	if err := json.Unmarshal(body, &listed); err != nil {
		return problemf(field, "%q is not a JSON array of redirect URIs", c.SectorIdentifierURI)
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return problemf(field, "%q does not list the redirect URI %q", c.SectorIdentifierURI, uri)
		}
	}
	if c.needsSectorKeys() && !slices.Contains(listed, c.JWKSURI) {
		return problemf(field, "%q does not list the jwks_uri %q", c.SectorIdentifierURI, c.JWKSURI)
	}
	return nil
}
