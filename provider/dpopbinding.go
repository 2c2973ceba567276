package provider

import (
	"context"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// The schemes by which an access token is presented, and its "token_type".
const (
	schemeBearer = "Bearer" // RFC 6750
	schemeDPoP   = "DPoP"   // RFC 9449 §7.1
)

// thumbprint is that of the key which signed the proof, "" without a proof.
func (p *proof) thumbprint() string {
	if p == nil {
		return ""
	}
	return p.jkt
}

// tokenType is the "token_type" of an access token that is bound to a key, or to
// none (RFC 9449 §5).
func tokenType(jkt string) string {
	if jkt == "" {
		return schemeBearer
	}
	return schemeDPoP
}

// confirmation is the "cnf" of what is bound to a key (RFC 9449 §6.1, §6.2).
func confirmation(jkt string) map[string]string { return map[string]string{"jkt": jkt} }

// settleProof spends the proof of a token request, whose client is known by now,
// and asks for one where the client registered that its tokens are bound
// (RFC 9449 §5.2).
func (p *Provider) settleProof(ctx context.Context, c *client, proof *proof) error {
	if proof == nil && c.DPoPBoundAccessTokens {
		return refuse(errInvalidProof, check{
			What: "The DPoP proof is missing: the client registered dpop_bound_access_tokens.", Section: rfc("9449", "5.2"),
		})
	}
	return p.spendProof(ctx, proof)
}

// refreshKey is the key that a new refresh token is bound to. That of a
// confidential client is bound to the client, which authenticates with it
// (RFC 9449 §5).
func refreshKey(req fosite.Requester, jkt string) string {
	if clientOf(req).IsPublic() {
		return jkt
	}
	return ""
}

// checkGrantKey refuses a code or refresh token that is bound to a key, "" for
// none, unless the request's proof was signed with it.
func checkGrantKey(what, bound, jkt string, s section) error {
	if bound == "" || bound == jkt {
		return nil
	}
	return refuse(fosite.ErrInvalidGrant, check{
		What:     what + " is bound to a key that signed no DPoP proof of this request.",
		Expected: "a DPoP proof by the key " + bound, Arrived: jkt, Section: s,
	})
}

// checkKeyBinding reads dpop_jkt, which binds the code to a key: RFC 9449 §10.
func (p *Provider) checkKeyBinding(_ context.Context, a *authorization) error {
	if jkt := a.form.Get("dpop_jkt"); jkt != "" && !isS256Challenge(jkt) { // the same form
		return refuse(fosite.ErrInvalidRequest, check{
			What: "dpop_jkt is not the SHA-256 thumbprint of a key.", Expected: "43 characters of A-Z a-z 0-9 - _", Arrived: printable(jkt), Section: rfc("9449", "10"),
		})
	}
	return nil
}

// checkDPoP: RFC 9449 §5.2. Nothing can bind what the authorization endpoint
// issues, since no proof comes there.
func (c *Client) checkDPoP() *problem {
	if !c.DPoPBoundAccessTokens {
		return nil
	}
	for _, r := range c.ResponseTypes {
		if slices.Contains(strings.Fields(r), "token") {
			return problemf("dpop_bound_access_tokens", "needs other response types: %q brings access tokens that are not bound (RFC 9449 §5)", r)
		}
	}
	return nil
}
