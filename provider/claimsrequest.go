package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ory/fosite"
)

// claimsRequest is the parameter "claims", OIDC Core §5.5: claims by name, for
// each of the two places where they can come back.
type claimsRequest struct {
	UserInfo map[string]claimRequest
	IDToken  map[string]claimRequest
}

// claimRequest is what is said of one claim, OIDC Core §5.5.1.
type claimRequest struct {
	Essential bool
	// Values are those that the claim may have; nil for any.
	Values []any
}

// sectionClaims is where the parameter is specified.
var sectionClaims = oidcCore("5.5", "ClaimsParameter")

// parseClaims reads the parameter. Members that have no meaning here are
// ignored, as the specification asks; those that have one must be of its type.
func parseClaims(text string) (*claimsRequest, error) {
	object, err := parseObject(text)
	if err != nil {
		return nil, badClaims("claims is not a JSON object in which each name stands once", "an object")
	}
	request := &claimsRequest{}
	for member, place := range map[string]*map[string]claimRequest{"userinfo": &request.UserInfo, "id_token": &request.IDToken} {
		if object[member] == nil {
			continue
		}
		claims, ok := object[member].(map[string]any)
		if !ok {
			return nil, badClaims("claims has a member "+member+" that is no object", "an object or null")
		}
		*place = make(map[string]claimRequest, len(claims))
		for name, value := range claims {
			if (*place)[name], err = parseClaim(member+"."+printable(name), value); err != nil {
				return nil, err
			}
		}
	}
	return request, nil
}

// parseClaim reads one member of "userinfo" or "id_token". where names it.
func parseClaim(where string, value any) (claimRequest, error) {
	var request claimRequest
	if value == nil {
		return request, nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return request, badClaims("claims asks for "+where+" in a wrong way", "null or an object")
	}
	if essential, given := object["essential"]; given {
		if request.Essential, ok = essential.(bool); !ok {
			return request, badClaims("claims has a wrong member essential for "+where, "true or false")
		}
	}
	if values, given := object["values"]; given {
		if request.Values, ok = values.([]any); !ok || len(request.Values) == 0 {
			return request, badClaims("claims has a wrong member values for "+where, "an array that is not empty")
		}
	}
	if one, given := object["value"]; given {
		request.Values = []any{one}
	}
	return request, nil
}

func badClaims(what, expected string) error {
	return refuse(fosite.ErrInvalidRequest, check{What: what + ".", Expected: expected, Arrived: "another", Section: sectionClaims})
}

// texts returns the values of a claim that must be text.
func (c claimRequest) texts(where string) ([]string, error) {
	var texts []string
	for _, value := range c.Values {
		text, ok := value.(string)
		if !ok {
			return nil, badClaims("claims has a value for "+where+" that is no text", "text")
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// checkClaims reads the claims that are asked for by name. Without openid the
// parameter has no meaning.
func (p *Provider) checkClaims(_ context.Context, a *authorization) error {
	if a.form.Get("claims") == "" || !slices.Contains(a.scopes, scopeOpenID) {
		return nil
	}
	request, err := parseClaims(a.form.Get("claims"))
	if err != nil {
		return err
	}
	if len(request.UserInfo) > 0 && !slices.Contains(a.responseTypes, "code") && !slices.Contains(a.responseTypes, "token") {
		return refuse(fosite.ErrInvalidRequest, check{
			What:     "claims asks for claims of userinfo, and no access token comes that could fetch them.",
			Expected: "a response_type with code or token", Arrived: a.form.Get("response_type"), Section: sectionClaims,
		})
	}
	// OIDC Core §3.1.2.2: nobody else may be signed in than who is named here.
	for _, sub := range []struct {
		where string
		claim claimRequest
	}{{"userinfo.sub", request.UserInfo["sub"]}, {"id_token.sub", request.IDToken["sub"]}} {
		subjects, err := sub.claim.texts(sub.where)
		if err != nil {
			return err
		}
		if len(subjects) > 0 {
			a.subjects = append(a.subjects, subjects)
		}
	}
	a.claims = *request
	a.named = p.users.named(request, a.client)
	a.kept, err = a.named.marshal()
	return err
}

// nameable returns which of the claims are the user's, known here, and within
// what the client may ask for.
func (d *directory) nameable(claims map[string]claimRequest, c *client) []string {
	var names []string
	for name := range claims {
		if d.hasClaim(name) && c.mayName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mayName reports whether the client may ask for a claim by name. What a scope
// stands for is closed to a client that is not registered for the scope.
func (c *client) mayName(claim string) bool {
	scope := scopeOf(claim)
	return scope == "" || slices.Contains(c.scopes, scope)
}

// beyondScopes returns those claims asked for by name that no scope of the
// request asks for: the user has to allow them one by one.
func (a *authorization) beyondScopes() []string {
	var beyond []string
	for _, name := range append(slices.Clone(a.named.UserInfo), a.named.IDToken...) {
		if !slices.Contains(a.scopes, scopeOf(name)) && !slices.Contains(beyond, name) {
			beyond = append(beyond, name)
		}
	}
	slices.Sort(beyond)
	return beyond
}

// namedClaims are the user's claims that a grant gives by name.
type namedClaims struct {
	UserInfo, IDToken []string
}

// marshal writes what storage.Grant.Claims holds: a "claims" parameter that asks
// for just these. nil for nothing.
func (n namedClaims) marshal() ([]byte, error) {
	members := map[string]map[string]any{}
	for member, names := range map[string][]string{"userinfo": n.UserInfo, "id_token": n.IDToken} {
		for _, name := range names {
			if members[member] == nil {
				members[member] = map[string]any{}
			}
			members[member][name] = nil
		}
	}
	if len(members) == 0 {
		return nil, nil
	}
	return json.Marshal(members)
}

// claimsOf reads what marshal wrote, less what the client may ask for no more.
func (d *directory) claimsOf(stored []byte, c *client) (namedClaims, error) {
	if len(stored) == 0 {
		return namedClaims{}, nil
	}
	request, err := parseClaims(string(stored))
	if err != nil {
		return namedClaims{}, fmt.Errorf("the claims of a stored grant: %w", err)
	}
	return d.named(request, c), nil
}

// named returns the claims of a request that can be given.
func (d *directory) named(request *claimsRequest, c *client) namedClaims {
	return namedClaims{UserInfo: d.nameable(request.UserInfo, c), IDToken: d.nameable(request.IDToken, c)}
}
