package provider

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/ory/fosite"
)

// errUnmetAuthentication is the error of OpenID Connect Core Error Code
// unmet_authentication_requirements 1.0 §2.
var errUnmetAuthentication = &fosite.RFC6749Error{
	ErrorField: "unmet_authentication_requirements", CodeField: http.StatusBadRequest,
	DescriptionField: "The provider cannot authenticate the user in the way that the request asks for.",
}

// checkACR chooses the authentication context class that the answer will name:
// the first of those asked for that a login here satisfies. Every class that the
// provider knows is one that a password satisfies, so no login is better than
// another, and what cannot be met is known before anybody signs in.
func (p *Provider) checkACR(_ context.Context, a *authorization) error {
	claim := a.claims.IDToken["acr"]
	wanted, err := claim.texts("id_token.acr")
	if err != nil {
		return err
	}
	// OIDC Core §5.5.1.1: an essential value is met, or the authentication failed.
	mustMeet := claim.Essential && len(wanted) > 0
	// §3.1.2.1: acr_values are wished for, in the order of preference; OIDC
	// Registration §2: so are the client's defaults, if the request says nothing.
	if len(wanted) == 0 {
		wanted = splitSpaces(a.form.Get("acr_values"))
	}
	if len(wanted) == 0 {
		wanted = a.client.DefaultACRValues
	}
	if met := slices.IndexFunc(wanted, func(acr string) bool { return slices.Contains(p.requests.ACRValues, acr) }); met >= 0 {
		a.acr = wanted[met]
		return nil
	}
	if mustMeet {
		return refuse(errUnmetAuthentication, check{
			What:     "The authentication that claims asks for is not possible here.",
			Expected: strings.Join(p.requests.ACRValues, " or "), Arrived: strings.Join(wanted, " or "),
			Section: oidcCore("5.5.1.1", "acrSemantics"),
		})
	}
	return nil
}
