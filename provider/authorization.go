package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// authorization is one authorization request, validated as far as it got.
type authorization struct {
	pending pendingRequest
	form    url.Values // the parameters

	// pushing is set for what a client pushes (pushed.go).
	pushing bool

	client *client
	// device is set for what is not a request of a browser's client, but of a
	// device that waits (devicepage.go). Then there is no redirectURI.
	device *storage.DeviceCode
	// redirectURI is nil until the client and the URI are known to be right.
	redirectURI *url.URL
	mode        fosite.ResponseModeType
	// signed says that the response travels in a JWT (JARM).
	signed bool
	// state is what the client sent, hasState whether it sent any.
	state    string
	hasState bool

	responseTypes []string
	scopes        []string
	prompts       []string
	maxAge        *time.Duration
	// audience is what the access tokens are for.
	audience []string
	// subjects are lists of users: the one who is signed in must be in each.
	subjects [][]string
	// claims is the parameter; named what of it can be given, and kept the same
	// as the grant keeps it.
	claims claimsRequest
	named  namedClaims
	kept   []byte
	// acr is what of the classes that the client asks for will be met, "" if
	// it asks for none or they cannot be.
	acr string

	// consent is nil until it is read.
	consent *consentRead

	// sessionState goes into the response; "" for none.
	sessionState string
}

// warning tells people which check is off for this request, "" if none is.
func (a *authorization) warning() string {
	if a.pending.Object == objectUnsigned {
		return "this request came in a request object that nobody signed, so whoever handed it on may have changed it (insecure_unsigned_request_objects)."
	}
	return a.client.warning(a.returnURL())
}

// returnURL is where the browser goes in the end, "" if it stays here.
func (a *authorization) returnURL() string {
	if a.redirectURI == nil {
		return ""
	}
	return a.redirectURI.String()
}

// newAuthorization validates a request in the order in which the answers to
// errors become possible. It always returns an authorization: the error's
// answer depends on how far it got.
func (p *Provider) newAuthorization(ctx context.Context, pending pendingRequest) (*authorization, error) {
	a := &authorization{pending: pending, form: pending.Form}
	return a, p.checkAll(ctx, a)
}

// checkAll runs all checks but fosite's, which come when the request is answered
// (engineAuthorizeRequest).
func (p *Provider) checkAll(ctx context.Context, a *authorization) error {
	for _, step := range []func(*Provider, context.Context, *authorization) error{
		(*Provider).checkClient,
		(*Provider).resolveRequest,   // a request object or a pushed request becomes parameters
		(*Provider).checkRedirectURI, // from here on errors are redirected
		(*Provider).checkSource,
		(*Provider).checkResponse, (*Provider).checkUnsupported, (*Provider).checkScope, (*Provider).checkResource,
		(*Provider).checkProofKey, (*Provider).checkKeyBinding, // what the code will be bound to
		(*Provider).checkOpenID, (*Provider).checkHint, (*Provider).checkClaims, (*Provider).checkACR,
	} {
		if err := step(p, ctx, a); err != nil {
			return err
		}
	}
	return nil
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
	if raw == "" {
		openID := slices.Contains(splitSpaces(a.form.Get("scope")), scopeOpenID)
		if openID || len(a.client.RedirectURIs) != 1 {
			return refuse(fosite.ErrInvalidRequest, check{What: "redirect_uri is missing.", Section: oidcCore("3.1.2.1", "AuthRequest")})
		}
		raw = a.client.RedirectURIs[0] // RFC 6749 §3.1.2.3
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
	a.mode, a.signed = whereTo(a.form)
	return nil
}

// whereTo is where the response goes. It is settled before the response type and
// mode are known to be right, for the errors: to the fragment if anything of
// the request belongs there.
func whereTo(form url.Values) (mode fosite.ResponseModeType, signed bool) {
	raw := form.Get("response_mode")
	asked, signed := unsignedMode(raw)
	signed = signed && slices.Contains(responseModes, raw)
	switch {
	case asked == fosite.ResponseModeFormPost:
		return fosite.ResponseModeFormPost, signed
	case slices.ContainsFunc(splitSpaces(form.Get("response_type")), isFrontChannel), asked == fosite.ResponseModeFragment:
		return fosite.ResponseModeFragment, signed
	default:
		return fosite.ResponseModeQuery, signed
	}
}

// isFrontChannel reports whether a response type brings a token through the browser.
func isFrontChannel(responseType string) bool {
	return responseType == "token" || responseType == "id_token"
}

// engineAuthorizeRequest hands the normalised request to fosite, which makes its own
// checks before anything is issued. What it would check in its own way, or cannot do,
// is already settled above; so it is not asked before that, for each page between.
func (p *Provider) engineAuthorizeRequest(ctx context.Context, a *authorization) (fosite.AuthorizeRequester, error) {
	form := make(url.Values, 11)
	for _, name := range []string{
		"client_id", "redirect_uri", "response_type", "nonce", "prompt", "max_age",
		"code_challenge", "code_challenge_method",
	} {
		if values := a.form[name]; len(values) > 0 {
			form[name] = values
		}
	}
	form.Set("scope", scopeString(a.scopes))
	form.Set("response_mode", string(a.mode))
	// fosite cannot allow an absent state. Ours never leaves: see authorizeResponse.
	form.Set("state", "absent")
	if a.hasState {
		form.Set("state", a.state)
	}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{}, Form: form, PostForm: url.Values{}}
	request, err := p.oauth.authorize.NewAuthorizeRequest(ctx, r)
	return &wholeAuthorizeRequest{request}, err
}
