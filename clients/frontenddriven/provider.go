package frontenddriven

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// scope is what the application asks the provider for. offline_access brings
// the refresh token to which the application's own are tied (OpenID Connect
// Core §11). The API's scopes are not among them: the API gets the
// application's tokens, never the provider's.
const scope = "openid profile email offline_access"

// maxUserInfo bounds what is read of a UserInfo answer.
const maxUserInfo = 256 << 10

// provider is how this backend talks to the provider.
type provider struct {
	cfg    Config
	client *http.Client
	flight singleflight.Group

	mu    sync.Mutex
	known *endpoints // nil until discovery succeeded
}

// endpoints is what the provider's metadata say.
type endpoints struct {
	oauth         oauth2.Endpoint
	keys          oidc.KeySet
	userInfo      string
	revocation    string
	endSession    string
	authorization string
	sendsIssuer   bool
}

func newProvider(cfg Config, client *http.Client) *provider {
	own := *client
	own.Transport = outage{next: client.Transport}
	// No endpoint redirects, and following one would carry tokens elsewhere.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &provider{cfg: cfg, client: &own}
}

// outage makes errors of answers that say nothing about the request: 5xx and
// 429. The libraries above would turn them into texts, like any refusal.
type outage struct{ next http.RoundTripper }

var errOutage = errors.New("the provider is not working")

func (o outage) RoundTrip(r *http.Request) (*http.Response, error) {
	next := o.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutage, err)
	}
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%w: status %d", errOutage, resp.StatusCode)
	}
	return resp, nil
}

// discover returns the endpoints, and asks for them until it had an answer once.
// OpenID Connect Discovery §4; go-oidc compares the issuer, §4.3.
func (p *provider) discover(ctx context.Context) (*endpoints, error) {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err, _ := p.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
		defer cancel()
		return p.fetchMetadata(ctx)
	})
	if err != nil {
		return nil, errProviderDown.after(err)
	}
	known = found.(*endpoints)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
	return known, nil
}

// keySet returns the keys that the provider signs with.
func (p *provider) keySet(ctx context.Context) (oidc.KeySet, error) {
	op, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	return op.keys, nil
}

func (p *provider) fetchMetadata(ctx context.Context) (*endpoints, error) {
	op, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		JWKSURI     string `json:"jwks_uri"`
		Revocation  string `json:"revocation_endpoint"`
		EndSession  string `json:"end_session_endpoint"`
		SendsIssuer bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := op.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := op.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // client_secret_basic; guessing would send a code twice
	return &endpoints{
		oauth: endpoint,
		// The key set fetches keys long after this call, so it gets a context that stays.
		keys:          oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), p.client), more.JWKSURI),
		authorization: endpoint.AuthURL, userInfo: op.UserInfoEndpoint(),
		revocation: more.Revocation, endSession: more.EndSession, sendsIssuer: more.SendsIssuer,
	}, nil
}

func (p *provider) oauth(op *endpoints, redirectURI string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: op.oauth, RedirectURL: redirectURI}
}

// redeem sends the code with the client's secret and the browser's verifier.
// RFC 6749 §4.1.3, RFC 7636 §4.5.
func (p *provider) redeem(ctx context.Context, op *endpoints, e exchangeRequest) (*oauth2.Token, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.oauth(op, e.RedirectURI).Exchange(ctx, e.Code, oauth2.VerifierOption(e.Verifier))
	return token, tokenEndpointError(err)
}

// renew sends a refresh token. Its answer holds the next one, or the same again
// where the provider does not rotate. RFC 6749 §6.
func (p *provider) renew(ctx context.Context, op *endpoints, refreshToken string) (*oauth2.Token, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.oauth(op, "").TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	return token, tokenEndpointError(err)
}

// tokenEndpointError tells a dead grant from a provider that is merely down, on
// which the difference between "ended" and "try again" rests. Only an OAuth
// error says something about the grant (RFC 6749 §5.2). No answer, half an
// answer, a 5xx or a proxy's page says nothing.
func tokenEndpointError(err error) error {
	if err == nil {
		return nil
	}
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return errProviderDown.after(err)
	}
	// From here on err itself is not passed on: its text may quote the answer.
	switch answer.ErrorCode {
	case "invalid_grant":
		return errGrant.with("The provider said: " + clip(answer.ErrorDescription))
	case "", "server_error", "temporarily_unavailable":
		return errProviderDown.after(fmt.Errorf("token endpoint: status %d, error %q", answer.Response.StatusCode, answer.ErrorCode))
	default:
		return errProviderRefused.with("It said: " + clip(answer.ErrorCode) + ".")
	}
}

// fetchUserInfo returns the claims of UserInfo, which are those of subject or
// nobody's. OpenID Connect Core §5.3. It is written out because go-oidc's own
// gives no status to tell a refusal by.
func (p *provider) fetchUserInfo(ctx context.Context, op *endpoints, token *oauth2.Token, subject string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, op.userInfo, nil)
	if err != nil {
		return nil, errProviderRefused.after(err)
	}
	token.SetAuthHeader(req)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, errProviderDown.after(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, errUserGone
	default:
		return nil, errProviderRefused.with(fmt.Sprintf("UserInfo answered %d.", resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxUserInfo))
	if err != nil {
		return nil, errProviderDown.after(err)
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return nil, errProviderRefused.with("UserInfo's answer is not a JSON object.")
	}
	// "The sub Claim in the UserInfo Response MUST be verified to exactly match
	// the sub Claim in the ID Token." OpenID Connect Core §5.3.2.
	if claims.Subject != subject {
		return nil, errOtherUser.expected(subject, claims.Subject)
	}
	return body, nil
}

// revoke ends a refresh token at the provider, RFC 7009 §2.1, and with it what
// was issued from it.
func (p *provider) revoke(ctx context.Context, refreshToken string) error {
	op, err := p.discover(ctx)
	if err != nil {
		return err
	}
	if op.revocation == "" {
		return errors.New("the provider has no revocation endpoint")
	}
	form := url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, op.revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 §2.3.1: both are form-encoded before they are put together.
	req.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.ClientSecret))
	resp, err := p.client.Do(req)
	if err != nil {
		return errProviderDown.after(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return errProviderDown.after(fmt.Errorf("revocation: status %d", resp.StatusCode))
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("revocation: status %d", resp.StatusCode)
	}
	return nil
}

// logoutURL is where the browser ends the provider's session. RP-Initiated
// Logout §2. The hint is the one thing of the provider's that the page gets to
// see, as it leaves: an ID token, which says who was signed in and opens nothing.
// The page adds state. "" when the provider has no such endpoint.
func (p *provider) logoutURL(op *endpoints, idToken string) string {
	if op.endSession == "" {
		return ""
	}
	u, err := url.Parse(op.endSession)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.cfg.ClientID)
	q.Set("post_logout_redirect_uri", p.cfg.FrontendURL+"/")
	if idToken != "" {
		q.Set("id_token_hint", idToken)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
