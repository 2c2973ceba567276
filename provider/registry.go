package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

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
	p.noteUse(ctx, record)
	if c, ok := p.registered.get(&record); ok {
		return c, nil
	}
	c, err := p.registeredClient(record)
	if err == nil {
		p.registered.put(record, c)
	}
	return c, err
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

// maxFilled is how many records loadRegistrations writes at once.
const maxFilled = 100

// loadRegistrations makes ready for the clients that registered themselves before:
// all can be read, and say their origins. Records of before there were any do not,
// nor, where no use was noted, when they were used.
func (p *Provider) loadRegistrations(ctx context.Context) error {
	stored, err := p.store.Clients(ctx)
	if err != nil {
		return fmt.Errorf("read clients: %w", err)
	}
	var stale []storage.Client
	for _, record := range stored {
		c, err := p.registeredClient(record)
		if err != nil {
			return err
		}
		origins, usedAt := originsOf(c.RedirectURIs), p.usedAtStart(&record)
		if slices.Equal(record.Origins, origins) && record.UsedAt.Equal(usedAt) {
			continue
		}
		record.Origins, record.UsedAt = origins, usedAt
		stale = append(stale, record)
	}
	for batch := range slices.Chunk(stale, maxFilled) {
		if err := p.fill(ctx, batch); err != nil {
			return fmt.Errorf("complete the records of clients: %w", err)
		}
	}
	return nil
}

// fill stores records that were completed. If another process changed one of
// them, or deleted it, meanwhile, they are done one by one, without that one:
// whoever writes a record, writes a complete one.
func (p *Provider) fill(ctx context.Context, records []storage.Client) error {
	var c storage.Changes
	for _, record := range records {
		c.RequireClients = append(c.RequireClients, storage.ClientVersion{ID: record.ID, Version: record.Version})
		record.Version = newVersion()
		c.UpdateClients = append(c.UpdateClients, record)
	}
	err := p.store.Commit(ctx, c)
	switch {
	case !overtaken(err):
		return err
	case len(records) == 1:
		return nil
	}
	for i := range records {
		if err := p.fill(ctx, records[i:i+1]); err != nil {
			return err
		}
	}
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
