package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// client returns a registered client, of the configuration or one that
// registered itself. storage.ErrNotFound if there is none.
func (p *Provider) client(ctx context.Context, id string) (*client, error) {
	if c := p.clients[id]; c != nil {
		return c, nil
	}
	record, err := p.store.Client(ctx, id)
	if err != nil {
		return nil, err
	}
	return p.registeredClient(record)
}

// namedClient returns the client that a request names, or unknown if there is
// no such client.
func (p *Provider) namedClient(ctx context.Context, id string, unknown error) (*client, error) {
	c, err := p.client(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, unknown
	}
	return c, err
}

// registeredClient reads the record of a client that registered itself.
func (p *Provider) registeredClient(record storage.Client) (*client, error) {
	var metadata Client
	if err := json.Unmarshal(record.Metadata, &metadata); err != nil {
		return nil, fmt.Errorf("stored client: %w", err)
	}
	metadata.ID = record.ID
	c := newClient(metadata, p.lifetimes, p.scopes)
	c.secretHash, c.secretExpiresAt = record.SecretHash, record.SecretExpiresAt
	if c.TokenEndpointAuthMethod == authSecretJWT {
		c.sharedSecret = p.derivedSecret(c.ID)
	}
	return c, nil
}

// derivedSecret is the secret of a client that registered itself to sign with it
// (client_secret_jwt). The hash alone would not do for that, and what can be
// derived again need not be stored.
func (p *Provider) derivedSecret(clientID string) string {
	return base64.RawURLEncoding.EncodeToString(p.keys.derive("client secret " + clientID))
}

// engineClient is the client of a grant, for fosite.
func (p *Provider) engineClient(ctx context.Context, id string) (*client, error) {
	return p.namedClient(ctx, id, fosite.ErrNotFound)
}
