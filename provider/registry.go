package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

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

// loadRegistrations makes ready for the clients that registered themselves
// before and for those that will.
func (p *Provider) loadRegistrations(ctx context.Context, r Registration) error {
	stored, err := p.store.Clients(ctx)
	if err != nil {
		return fmt.Errorf("read clients: %w", err)
	}
	for _, record := range stored {
		c, err := p.registeredClient(record)
		if err != nil {
			return err
		}
		p.origins.add(c.RedirectURIs)
	}
	p.registrar = newRegistrar(r, len(stored))
	return nil
}

// registeredClient reads the record of a client that registered itself.
func (p *Provider) registeredClient(record storage.Client) (*client, error) {
	var metadata Client
	if err := json.Unmarshal(record.Metadata, &metadata); err != nil {
		return nil, fmt.Errorf("stored client %s: %w", record.ID, err)
	}
	metadata.ID = record.ID
	c := newClient(metadata, p.lifetimes, p.scopes)
	// The configuration may have lost a scope since.
	c.scopes = slices.DeleteFunc(slices.Clone(c.scopes), func(s string) bool { return !slices.Contains(p.scopes, s) })
	c.secretHash, c.secretExpiresAt = record.SecretHash, record.SecretExpiresAt
	if c.TokenEndpointAuthMethod == authSecretJWT {
		c.sharedSecret = p.derivedSecret(c.ID, c.secretExpiresAt)
	}
	return c, nil
}

// derivedSecret is the secret of a client that registered itself to sign with it
// (client_secret_jwt). The hash alone would not do for that, and what can be
// derived again need not be stored. expires is when it does: the next secret,
// after that, is another.
func (p *Provider) derivedSecret(clientID string, expires time.Time) string {
	purpose := fmt.Sprintf("client secret %s %d", clientID, expires.Unix())
	return base64.RawURLEncoding.EncodeToString(p.keys.derive(purpose))
}

// engineClient is the client of a grant, for fosite.
func (p *Provider) engineClient(ctx context.Context, id string) (*client, error) {
	return p.namedClient(ctx, id, fosite.ErrNotFound)
}
