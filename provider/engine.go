package provider

import (
	"context"
	"errors"
	"html/template"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
)

// engineConfig returns fosite's configuration. Every field that fosite would
// otherwise fill on first use is set, since it does so without a lock. The
// exception is the fetcher of clients' keys: nothing asks for it (clientauth.go
// and authorization.go see to that), and fosite's own starts goroutines that
// never end.
func engineConfig(issuer string, lifetimes Lifetimes) *fosite.Config {
	return &fosite.Config{
		IDTokenIssuer:         issuer,
		AccessTokenIssuer:     issuer,
		TokenURL:              issuer + pathToken,
		AuthorizeCodeLifespan: time.Duration(lifetimes.Code),
		AccessTokenLifespan:   time.Duration(lifetimes.AccessToken),
		RefreshTokenLifespan:  time.Duration(lifetimes.RefreshToken),
		IDTokenLifespan:       time.Duration(lifetimes.IDToken),
		ScopeStrategy:         fosite.ExactScopeStrategy,
		// Audiences are ours to decide: resource.go.
		AudienceMatchingStrategy:    func([]string, []string) error { return nil },
		EnforcePKCEForPublicClients: true, // RFC 9700 §2.1.1
		RefreshTokenScopes:          []string{scopeOfflineAccess},
		OmitRedirectScopeParam:      true,
		// A state or nonce may be short: that is the client's business.
		MinParameterEntropy: 1,
		// Plain http is refused when a client is registered (validate.go), for
		// every response type; fosite would look at some only.
		RedirectSecureChecker: func(context.Context, *url.URL) bool { return true },
		AllowedPromptValues:   []string{"none", "login", "consent", "select_account"},
		ClientSecretsHasher:   noHasher{},
		FormPostHTMLTemplate:  template.New("unused"),
	}
}

// newEngine puts together the parts of fosite that the provider uses: the
// grants and the ID token. Introspection, revocation, client authentication
// and the writing of responses and errors are our own.
func newEngine(p *Provider, cfg *fosite.Config) *engine {
	store := engineStore{p}
	idToken := &openid.IDTokenHandleHelper{IDTokenStrategy: &idTokens{issuer: p.issuer, keys: p.keys, users: p.users, subjects: p.subjects, unsigned: p.unsignedIDTokens}}
	validator := openid.NewOpenIDConnectRequestValidator(nil, cfg) // it never sees a hint: authorize.go verifies that

	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: p.tokens, RefreshTokenStrategy: p.tokens, AuthorizeCodeStrategy: p.tokens,
		CoreStorage: store, TokenRevocationStorage: store, Config: cfg,
	}
	implicit := &oauth2.AuthorizeImplicitGrantTypeHandler{AccessTokenStrategy: p.tokens, AccessTokenStorage: store, Config: cfg}
	oidcCode := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage: store, OpenIDConnectRequestValidator: validator, Config: cfg, IDTokenHandleHelper: idToken,
	}
	oidcImplicit := &openid.OpenIDConnectImplicitHandler{
		IDTokenHandleHelper: idToken, AuthorizeImplicitGrantTypeHandler: implicit, OpenIDConnectRequestValidator: validator, Config: cfg,
	}
	oidcHybrid := &openid.OpenIDConnectHybridHandler{
		AuthorizeImplicitGrantTypeHandler: implicit, AuthorizeExplicitGrantHandler: code, IDTokenHandleHelper: idToken,
		OpenIDConnectRequestValidator: validator, OpenIDConnectRequestStorage: store, Config: cfg,
	}
	clientCredentials := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: p.tokens, AccessTokenStorage: store, Config: cfg},
		Config:       cfg,
	}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: p.tokens, RefreshTokenStrategy: p.tokens, TokenRevocationStorage: store, Config: cfg,
	}
	oidcRefresh := &openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: idToken, Config: cfg}
	device := &deviceGrant{
		store: store, idTokens: idToken, refreshTokens: p.tokens,
		accessTokens: &oauth2.HandleHelper{AccessTokenStrategy: p.tokens, AccessTokenStorage: store, Config: cfg},
	}
	proofKey := &pkce.Handler{AuthorizeCodeStrategy: p.tokens, Storage: store, Config: cfg}

	// PKCE comes after whatever issues codes. The implicit handler is not
	// among them: response_type=token alone is not offered (RFC 9700 §2.1.2).
	cfg.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, oidcCode, oidcImplicit, oidcHybrid, proofKey}
	cfg.ClientAuthenticationStrategy = p.engineClientAuth
	made := &engine{authorize: fosite.NewOAuth2Provider(store, cfg), grants: map[string]*fosite.Fosite{}}
	for grantType, handlers := range map[string]fosite.TokenEndpointHandlers{
		grantCode:              {code, idTokenOnly{oidcCode}, proofKey},
		grantClientCredentials: {clientCredentials},
		grantRefresh:           {refresh, oidcRefresh},
		grantDevice:            {device},
	} {
		own := *cfg
		own.TokenEndpointHandlers = handlers
		made.grants[grantType] = fosite.NewOAuth2Provider(store, &own)
	}
	return made
}

// engine is fosite: for authorization requests, and for each grant alone. With the
// handlers of all grants in one, those that have nothing to do make an error each
// time, with the stack at that place.
type engine struct {
	authorize *fosite.Fosite
	grants    map[string]*fosite.Fosite // by grant_type
}

// idTokenOnly is the handler that adds the ID token to what a code brings. To the
// request itself it has nothing to say, and fosite's own says so with a stack, which
// costs as much as signing the ID token.
type idTokenOnly struct {
	*openid.OpenIDConnectExplicitHandler
}

func (idTokenOnly) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return fosite.ErrUnknownRequest
}

// fosite has a request copied without most of its parameters, four times in a flow,
// before the store sees it, since a store might keep them. Ours keeps none but the
// challenge of PKCE (enginestore.go), so it is given the request as it is.
type (
	wholeAuthorizeRequest struct{ fosite.AuthorizeRequester }
	wholeAccessRequest    struct{ fosite.AccessRequester }
)

func (r *wholeAuthorizeRequest) Sanitize([]string) fosite.Requester { return r }
func (r *wholeAccessRequest) Sanitize([]string) fosite.Requester    { return r }

// noHasher refuses every secret: clientauth.go compares them, not fosite.
type noHasher struct{}

var errNoHasher = errors.New("client secrets are not compared here")

func (noHasher) Compare(context.Context, []byte, []byte) error { return errNoHasher }
func (noHasher) Hash(context.Context, []byte) ([]byte, error)  { return nil, errNoHasher }
