package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/valyala/fasthttp"
)

// metadata is what the run needs of the provider's metadata (OIDC Discovery 1.0
// §3, RFC 9207 §3).
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	SendsIssuer           bool     `json:"authorization_response_iss_parameter_supported"`
	Algorithms            []string `json:"id_token_signing_alg_values_supported"`
	Grants                []string `json:"grant_types_supported"`
}

// remote is what was learned of it before the run.
type remote struct {
	metadata
	keys *keySet
	// authorize is the authorization request but for what each flow makes anew.
	authorize string
}

// discover reads the metadata and the keys. OIDC Discovery 1.0 §4.
func discover(ctx context.Context, w *wire, cfg *Config) (*remote, error) {
	e := &exchange{wire: w}
	p := &remote{}
	where := strings.TrimSuffix(cfg.Issuer, "/") + "/.well-known/openid-configuration"
	if err := e.readJSON(ctx, where, &p.metadata); err != nil {
		return nil, err
	}
	// "The issuer value returned MUST be identical to the Issuer URL" (§4.3).
	if p.Issuer != cfg.Issuer {
		return nil, fmt.Errorf("%w: the provider at %s says that it is %q", ErrDiscovery, cfg.Issuer, p.Issuer)
	}
	if p.AuthorizationEndpoint == "" || p.TokenEndpoint == "" || p.JWKSURI == "" {
		return nil, fmt.Errorf("%w: %s lacks an authorization_endpoint, token_endpoint or jwks_uri", ErrDiscovery, where)
	}
	var keys jose.JSONWebKeySet
	if err := e.readJSON(ctx, p.JWKSURI, &keys); err != nil {
		return nil, err
	}
	p.keys = newKeySet(keys, p.Algorithms)
	var err error
	p.authorize, err = authorizationRequest(p.AuthorizationEndpoint, cfg)
	return p, err
}

// choose leaves out what the provider does not offer, or refuses it if it was
// asked for by name.
func (p *remote) choose(cfg *Config, report *Report) error {
	asked := cfg.Operations
	if asked == nil {
		asked = Operations()
	}
	var offered []Operation
	for _, operation := range asked {
		why := p.lacks(operation)
		switch {
		case why == "":
			offered = append(offered, operation)
		case cfg.Operations != nil:
			return fmt.Errorf("%s: %w: %s", operation, ErrNotOffered, why)
		default:
			if report.Skipped == nil {
				report.Skipped = map[Operation]string{}
			}
			report.Skipped[operation] = why
		}
	}
	cfg.Operations = offered
	return nil
}

// lacks says why an operation cannot be run; "" if it can.
func (p *remote) lacks(operation Operation) string {
	switch {
	case operation == Refresh && !p.offers("refresh_token"),
		operation == ClientCredentials && !p.offers("client_credentials"):
		return "the grant is not in the metadata's grant_types_supported"
	case operation == Introspection && p.IntrospectionEndpoint == "":
		return "the metadata has no introspection_endpoint"
	}
	return ""
}

// offers reports whether the metadata names the grant. Without a list it is
// authorization_code and implicit (RFC 8414 §2).
func (p *remote) offers(grant string) bool { return slices.Contains(p.Grants, grant) }

// authorizationRequest is the part of it that all flows share. RFC 6749 §4.1.1.
func authorizationRequest(endpoint string, cfg *Config) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("%w: authorization endpoint: %w", ErrDiscovery, err)
	}
	q := u.Query() // the endpoint may have parameters of its own (RFC 6749 §3.1)
	q.Set("response_type", "code")
	q.Set("client_id", cfg.ClientID)
	q.Set("redirect_uri", cfg.RedirectURI)
	q.Set("scope", strings.Join(cfg.Scopes, " "))
	q.Set("code_challenge_method", "S256")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (e *exchange) readJSON(ctx context.Context, where string, v any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.begin("GET", where)
	if err := e.do(where); err != nil {
		return fmt.Errorf("%w: %w", ErrDiscovery, err)
	}
	if to := e.response.Header.Peek(fasthttp.HeaderLocation); len(to) > 0 && e.response.StatusCode()/100 == 3 {
		return fmt.Errorf("%w: %s leads to %q, which is not followed: name the provider by its own issuer", ErrDiscovery, where, to)
	}
	if e.response.StatusCode() != 200 {
		return fmt.Errorf("%w: %s answers with status %d%s", ErrDiscovery, where, e.response.StatusCode(), says(e.reason().detail()))
	}
	if err := json.Unmarshal(e.response.Body(), v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDiscovery, where, err)
	}
	return nil
}
