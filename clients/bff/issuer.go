package bff

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// issuer knows the provider's metadata once somebody needed it.
type issuer struct {
	url    string
	client *http.Client

	mu    sync.Mutex
	known *provider
}

// provider is the metadata (OpenID Connect Discovery §3, RFC 8414 §2). The
// fields are those that go-oidc does not keep itself.
type provider struct {
	*oidc.Provider
	RevocationEndpoint string `json:"revocation_endpoint"`
	EndSessionEndpoint string `json:"end_session_endpoint"`
	SendsIssuer        bool   `json:"authorization_response_iss_parameter_supported"`
	JWKSURI            string `json:"jwks_uri"`
	// SigningAlgorithms of ID tokens.
	SigningAlgorithms []string `json:"id_token_signing_alg_values_supported"`

	keys oidc.KeySet // for ID tokens and logout tokens; go-oidc's own is for the former only
}

// discover returns the metadata, from the provider at first use. A failure is
// not remembered, so that a provider that starts later is found.
func (i *issuer) discover(ctx context.Context) (*provider, error) {
	i.mu.Lock()
	known := i.known
	i.mu.Unlock()
	if known != nil {
		return known, nil
	}
	op, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.url)
	if err != nil {
		return nil, errProviderDown.after(outline("discovery", err))
	}
	p := &provider{Provider: op}
	if err := op.Claims(p); err != nil {
		return nil, errProviderDown.after(outline("discovery", err))
	}
	// The key set fetches keys long after this call, so it gets a context that stays.
	p.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.WithoutCancel(ctx), i.client), p.JWKSURI)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known = p
	return p, nil
}

// keySet returns the keys that the provider signs with.
func (i *issuer) keySet(ctx context.Context) (oidc.KeySet, error) {
	op, err := i.discover(ctx)
	if err != nil {
		return nil, err
	}
	return op.keys, nil
}

// oauth returns the client's side of the code flow. AuthStyleInHeader is
// client_secret_basic (RFC 6749 §2.3.1); without it x/oauth2 would try both
// ways, and spend the code on the wrong one.
func (b *BFF) oauth(op *provider) *oauth2.Config {
	endpoint := op.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &oauth2.Config{
		ClientID:     b.cfg.ClientID,
		ClientSecret: b.cfg.ClientSecret,
		Endpoint:     endpoint,
		RedirectURL:  b.cfg.BaseURL + "/callback",
		Scopes:       []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess, "notes:read", "notes:write"},
	}
}

// revoke tells the provider that a token is no longer needed (RFC 7009 §2.1).
// For a refresh token the provider ends the access tokens with it.
func (b *BFF) revoke(ctx context.Context, op *provider, token, hint string) error {
	if op.RevocationEndpoint == "" {
		return errors.New("the provider has no revocation endpoint")
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, op.RevocationEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(b.cfg.ClientID), url.QueryEscape(b.cfg.ClientSecret))
	resp, err := b.http.Do(req)
	if err != nil {
		return errProviderDown.after(err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is read from it
	switch {
	case resp.StatusCode >= 500:
		return errProviderDown.after(fmt.Errorf("revocation: status %d", resp.StatusCode))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("revocation: status %d", resp.StatusCode)
	}
	return nil
}

// tokenError sorts what the token endpoint answered: a refusal in the words of
// RFC 6749 §5.2 is the provider's decision; everything else (no answer, 5xx,
// 429, no JSON) says only that the provider is not working at the moment.
func tokenError(err error) (code string, decided bool) {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || refused.ErrorCode == "" {
		return "", false
	}
	if s := refused.Response.StatusCode; s >= 500 || s == http.StatusTooManyRequests {
		return "", false
	}
	return refused.ErrorCode, true
}

// safeCause words an error for the log. x/oauth2 puts the whole response body
// into some of its errors, and a body may hold a token.
func safeCause(err error) string {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Sprintf("token endpoint: %d %s", refused.Response.StatusCode, clip(refused.ErrorCode))
	}
	return clip(err.Error())
}

// outline keeps of a go-oidc error what may be logged: the network's error, or
// the status without the body that follows it.
func outline(what string, err error) error {
	if network, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", what, network)
	}
	status, _, _ := strings.Cut(err.Error(), ": ")
	return fmt.Errorf("%s: %s", what, clip(status))
}
