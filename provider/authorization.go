package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"
)

// authorization is one authorization request, validated as far as it got.
type authorization struct {
	pending pendingRequest
	form    url.Values // the parameters

	client *client
	// redirectURI is nil until the client and the URI are known to be right.
	redirectURI *url.URL
	mode        fosite.ResponseModeType
	// state is what the client sent, hasState whether it sent any.
	state    string
	hasState bool

	responseTypes []string
	scopes        []string
	prompts       []string
	maxAge        *time.Duration
	hint          string // the "sub" of id_token_hint

	request fosite.AuthorizeRequester
}

// newAuthorization validates a request in the order in which the answers to
// errors become possible. It always returns an authorization: the error's
// answer depends on how far it got.
func (p *Provider) newAuthorization(ctx context.Context, pending pendingRequest) (*authorization, error) {
	a := &authorization{pending: pending, form: pending.Form}
	for _, step := range []func(context.Context, *authorization) error{
		p.checkClient, p.checkRedirectURI, // from here on errors are redirected
		p.checkResponse, p.checkUnsupported, p.checkScope, p.checkProofKey, p.checkOpenID, p.checkHint,
		p.checkWithEngine,
	} {
		if err := step(ctx, a); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (p *Provider) checkClient(ctx context.Context, a *authorization) (err error) {
	id := a.form.Get("client_id")
	a.client, err = p.namedClient(ctx, id, refuse(fosite.ErrInvalidRequest, check{
		What: "client_id names no registered client.", Expected: "a registered client_id", Arrived: printable(id), Section: rfc6749("4.1.1"),
	}))
	return err
}

// checkRedirectURI compares with the registration. RFC 9700 §4.1.3, RFC 8252 §7.3.
func (p *Provider) checkRedirectURI(_ context.Context, a *authorization) error {
	raw := a.form.Get("redirect_uri")
	openID := slices.Contains(splitSpaces(a.form.Get("scope")), scopeOpenID)
	if raw == "" && !openID && len(a.client.RedirectURIs) == 1 {
		raw = a.client.RedirectURIs[0] // RFC 6749 §3.1.2.3
	} else if raw == "" {
		return refuse(fosite.ErrInvalidRequest, check{What: "redirect_uri is missing.", Section: oidcCore("3.1.2.1", "AuthRequest")})
	}
	if !matchRedirectURI(raw, a.client.RedirectURIs) {
		return refuse(fosite.ErrInvalidRequest, check{
			What:     "redirect_uri is not one that the client registered.",
			Expected: strings.Join(a.client.RedirectURIs, " or "), Arrived: raw, Section: rfc("9700", "4.1.3"),
		})
	}
	u, err := url.Parse(raw)
	if err != nil {
		return refuse(fosite.ErrInvalidRequest, check{What: "redirect_uri is not a URI.", Section: rfc6749("3.1.2")})
	}
	a.redirectURI = u
	a.state, a.hasState = a.form.Get("state"), a.form.Has("state")
	a.mode = errorMode(a.form)
	return nil
}

// errorMode is where an error goes before the response type and mode are known
// to be right: to the fragment if anything of the request belongs there.
func errorMode(form url.Values) fosite.ResponseModeType {
	switch {
	case form.Get("response_mode") == string(fosite.ResponseModeFormPost):
		return fosite.ResponseModeFormPost
	case slices.ContainsFunc(splitSpaces(form.Get("response_type")), isFrontChannel),
		form.Get("response_mode") == string(fosite.ResponseModeFragment):
		return fosite.ResponseModeFragment
	default:
		return fosite.ResponseModeQuery
	}
}

// isFrontChannel reports whether a response type brings a token through the browser.
func isFrontChannel(responseType string) bool {
	return responseType == "token" || responseType == "id_token"
}

// checkResponse reads response_type and response_mode. OAuth 2.0 Multiple
// Response Types §2.1, §5.
func (p *Provider) checkResponse(_ context.Context, a *authorization) error {
	raw := a.form.Get("response_type")
	if raw == "" {
		return refuse(fosite.ErrInvalidRequest, check{What: "response_type is missing.", Section: rfc6749("3.1.1")})
	}
	a.responseTypes = splitSpaces(raw)
	canonical := canonicalResponseType(a.responseTypes)
	if !slices.Contains(responseTypes, canonical) {
		return refuse(fosite.ErrUnsupportedResponseType, check{
			What: "response_type is not supported.", Expected: strings.Join(responseTypes, ", "), Arrived: raw, Section: rfc6749("3.1.1"),
		})
	}
	registered := slices.ContainsFunc(a.client.ResponseTypes, func(t string) bool {
		return canonicalResponseType(splitSpaces(t)) == canonical
	})
	if !registered {
		return refuse(fosite.ErrUnauthorizedClient, check{
			What:     "The client is not registered for this response_type.",
			Expected: strings.Join(a.client.ResponseTypes, ", "), Arrived: raw, Section: rfc6749("4.1.2.1"),
		})
	}
	frontChannel := slices.ContainsFunc(a.responseTypes, isFrontChannel)
	switch mode := fosite.ResponseModeType(a.form.Get("response_mode")); mode {
	case fosite.ResponseModeDefault, fosite.ResponseModeFragment, fosite.ResponseModeFormPost:
	case fosite.ResponseModeQuery:
		if frontChannel {
			return refuse(fosite.ErrInvalidRequest, check{
				What: "response_mode=query would put a token into the query.", Expected: "fragment or form_post", Arrived: "query",
				Section: section{"OAuth 2.0 Multiple Response Types §5", "https://openid.net/specs/oauth-v2-multiple-response-types-1_0.html#Combinations"},
			})
		}
	default:
		return refuse(fosite.ErrInvalidRequest, check{
			What: "response_mode is not supported.", Expected: strings.Join(responseModes, ", "), Arrived: string(mode),
			Section: section{"OAuth 2.0 Multiple Response Types §2.1", "https://openid.net/specs/oauth-v2-multiple-response-types-1_0.html#ResponseModes"},
		})
	}
	return nil
}

// canonicalResponseType orders a response type's values: their order has no
// meaning (RFC 6749 §3.1.1).
func canonicalResponseType(values []string) string {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return strings.Join(sorted, " ")
}

// checkUnsupported refuses by name what OIDC Core §3.1.2.6 has names for.
func (p *Provider) checkUnsupported(_ context.Context, a *authorization) error {
	for name, base := range map[string]*fosite.RFC6749Error{
		"request":      fosite.ErrRequestNotSupported,
		"request_uri":  fosite.ErrRequestURINotSupported,
		"registration": fosite.ErrRegistrationNotSupported,
	} {
		if a.form.Has(name) {
			return refuse(base, check{What: "The parameter " + name + " is not supported.", Section: oidcCore("3.1.2.6", "AuthError")})
		}
	}
	return nil
}

// checkScope keeps the scopes that the provider knows: OIDC Core §3.1.2.1 has
// unknown ones ignored. A known one that the client is not registered for is
// an error.
func (p *Provider) checkScope(_ context.Context, a *authorization) error {
	for _, scope := range splitSpaces(a.form.Get("scope")) {
		if !slices.Contains(p.scopes, scope) || slices.Contains(a.scopes, scope) {
			continue
		}
		if !slices.Contains(a.client.scopes, scope) {
			return refuse(fosite.ErrInvalidScope, check{
				What: "The client is not registered for a scope.", Expected: scopeString(a.client.scopes), Arrived: scope, Section: rfc6749("3.3"),
			})
		}
		// OIDC Core §11: ignored unless a code brings the refresh token.
		if scope == scopeOfflineAccess && !a.bringsRefreshToken() {
			continue
		}
		a.scopes = append(a.scopes, scope)
	}
	return nil
}

// bringsRefreshToken reports whether a refresh token can come of the request.
func (a *authorization) bringsRefreshToken() bool {
	return slices.Contains(a.responseTypes, "code") && slices.Contains(a.client.GrantTypes, "refresh_token")
}

// checkProofKey asks for PKCE early; fosite asks again when it issues the code.
func (p *Provider) checkProofKey(_ context.Context, a *authorization) error {
	if !slices.Contains(a.responseTypes, "code") {
		return nil
	}
	challenge, method := a.form.Get("code_challenge"), a.form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && !a.client.IsPublic():
		return nil
	case challenge == "":
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge is missing.", Expected: "code_challenge with S256", Section: rfc7636("4.4.1"),
		})
	case method != "S256":
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge_method is not supported.", Expected: "S256", Arrived: method, Section: rfc7636("4.3"),
		})
	case !isS256Challenge(challenge):
		return refuse(fosite.ErrInvalidRequest, check{
			What: "code_challenge is not a SHA-256 in base64url.", Expected: "43 characters of A-Z a-z 0-9 - _", Section: rfc7636("4.2"),
		})
	}
	return nil
}

// isS256Challenge reports whether s is 32 bytes in base64url without padding.
func isS256Challenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

// checkOpenID reads the parameters of OIDC Core §3.1.2.1.
func (p *Provider) checkOpenID(_ context.Context, a *authorization) error {
	for _, step := range []func(*authorization) error{checkFrontChannelIDToken, checkPrompt, checkMaxAge} {
		if err := step(a); err != nil {
			return err
		}
	}
	return nil
}

// checkFrontChannelIDToken: OIDC Core §3.2.2.1, §3.3.2.1.
func checkFrontChannelIDToken(a *authorization) error {
	section := oidcCore("3.2.2.1", "ImplicitAuthRequest")
	switch {
	case !slices.Contains(a.responseTypes, "id_token"):
		return nil
	case !slices.Contains(a.scopes, scopeOpenID):
		return refuse(fosite.ErrInvalidRequest, check{
			What: "An ID token is asked for without the scope openid.", Expected: "openid in scope", Arrived: a.form.Get("scope"), Section: section,
		})
	case !a.form.Has("nonce"):
		return refuse(fosite.ErrInvalidRequest, check{What: "nonce is missing: the ID token comes through the browser.", Section: section})
	}
	return nil
}

func checkPrompt(a *authorization) error {
	section := oidcCore("3.1.2.1", "AuthRequest")
	a.prompts = splitSpaces(a.form.Get("prompt"))
	for _, prompt := range a.prompts {
		if !slices.Contains(promptValues, prompt) {
			return refuse(fosite.ErrInvalidRequest, check{
				What: "prompt has an unknown value.", Expected: strings.Join(promptValues, ", "), Arrived: prompt, Section: section,
			})
		}
	}
	if a.silent() && len(a.prompts) > 1 {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "prompt=none stands alone.", Expected: "none", Arrived: a.form.Get("prompt"), Section: section,
		})
	}
	return nil
}

func checkMaxAge(a *authorization) error {
	raw := a.form.Get("max_age")
	if raw == "" {
		return nil
	}
	seconds, err := strconv.ParseUint(raw, 10, 31)
	if err != nil {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "max_age is not a number of seconds.", Expected: "0 or more", Arrived: raw, Section: oidcCore("3.1.2.1", "AuthRequest"),
		})
	}
	age := time.Duration(seconds) * time.Second
	a.maxAge = &age
	return nil
}

// checkHint verifies id_token_hint: ours, whatever its age. OIDC Core §3.1.2.1.
func (p *Provider) checkHint(ctx context.Context, a *authorization) error {
	if !a.form.Has("id_token_hint") {
		return nil
	}
	claims, err := p.idTokenHint(ctx, a.form.Get("id_token_hint"))
	if err != nil {
		return err
	}
	a.hint, _ = claims["sub"].(string)
	return nil
}

// checkWithEngine hands the normalised request to fosite. What fosite would
// check in its own way, or cannot do, is already settled above.
func (p *Provider) checkWithEngine(ctx context.Context, a *authorization) error {
	form := url.Values{}
	for _, name := range []string{
		"client_id", "redirect_uri", "response_type", "response_mode", "nonce", "prompt", "max_age",
		"code_challenge", "code_challenge_method",
	} {
		if value := a.form.Get(name); value != "" {
			form.Set(name, value)
		}
	}
	form.Set("scope", scopeString(a.scopes))
	// fosite cannot allow an absent state. Ours never leaves: see authorizeResponse.
	form.Set("state", "absent")
	if a.hasState {
		form.Set("state", a.state)
	}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{}, Form: form, PostForm: url.Values{}}
	request, err := p.oauth.NewAuthorizeRequest(ctx, r.WithContext(ctx))
	if err != nil {
		return err
	}
	a.request = request
	return nil
}
