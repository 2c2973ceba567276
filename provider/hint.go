package provider

import (
	"context"
	"errors"
	"slices"

	"github.com/ory/fosite"
)

// idTokenHint returns the claims of an ID token that we issued, whatever its
// age (OIDC Core §3.1.2.1, RP-Initiated Logout §4). Any key that the provider
// remembers may have signed it; "none" and foreign keys do not count.
func (p *Provider) idTokenHint(ctx context.Context, raw string) (map[string]any, error) {
	claims, err := p.keys.verify(ctx, raw, typeJWT)
	if errors.Is(err, errKeysUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	if errors.Is(err, errUnknownKey) {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What:     "id_token_hint is signed with a key that the provider does not have, or no longer.",
			Expected: "an ID token that was issued no longer ago than a session may last", Arrived: "an older one, or a foreign one", Section: oidcCore("3.1.2.1", "AuthRequest"),
		})
	}
	// Signed userinfo has no exp, a signed authorization response no sub:
	// neither may stand for an ID token (RFC 8725 §2.8).
	if err != nil || claims["iss"] != p.issuer || claims["exp"] == nil || claims["sub"] == nil {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "id_token_hint is not an ID token of this provider.", Expected: "an ID token signed by this provider, with iss " + p.issuer,
			Arrived: "another", Section: oidcCore("3.1.2.1", "AuthRequest"),
		})
	}
	return claims, nil
}

// hintClient returns the client_id that an ID token was issued to: "azp", or
// else the only value of "aud", which may be a string or a list (OIDC Core §2).
// "" if it does not say.
func hintClient(claims map[string]any) string {
	var audience []string
	switch aud := claims["aud"].(type) {
	case string:
		audience = []string{aud}
	case []any:
		for _, value := range aud {
			id, _ := value.(string)
			audience = append(audience, id)
		}
	}
	if azp, ok := claims["azp"].(string); ok {
		if !slices.Contains(audience, azp) {
			return ""
		}
		return azp
	}
	if len(audience) != 1 {
		return ""
	}
	return audience[0]
}
