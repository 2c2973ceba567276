package provider

import (
	"context"
	"errors"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// The life of a client that registered itself, where Registration.ClientLifetime
// gives it one:
//
//	registered → found by requests, again and again → by none for the lifetime → deleted
//
// Any request that names the client is a use of it. To note each one would be a
// write for each, so a use is noted if none was for a tenth of the lifetime.

const (
	// minClientLifetime keeps clients for long enough to be used at all.
	minClientLifetime = time.Minute
	// useFraction of the lifetime is how exactly uses are noted.
	useFraction = 10
	// maxCleaningInterval is how often unused clients are looked for at least.
	maxCleaningInterval = time.Hour
)

// lastUse is when a client was used last, as far as that was noted.
func lastUse(record *storage.Client) time.Time {
	if record.UsedAt.After(record.UpdatedAt) {
		return record.UsedAt
	}
	return record.UpdatedAt
}

// noteUse notes that a request has found a client. If another request notes it at
// the same moment, or the client has changed, that is noted already.
func (p *Provider) noteUse(ctx context.Context, record storage.Client) {
	now := time.Now().UTC()
	if life := p.registrar.clientLifetime; life == 0 || now.Sub(lastUse(&record)) < life/useFraction {
		return
	}
	c := storage.Changes{RequireClients: []storage.ClientVersion{{ID: record.ID, Version: record.Version}}}
	record.UsedAt, record.Version = now, newVersion()
	c.UpdateClients = []storage.Client{record}
	// The request goes on without it: the next one notes it as well.
	if err := p.store.Commit(ctx, c); err != nil && ctx.Err() == nil && !overtaken(err) {
		p.log.WarnContext(ctx, "cannot note the use of a client", "client", record.ID, "cause", err)
	}
}

// overtaken reports whether another change or the deletion of a client came first.
func overtaken(err error) bool {
	return errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrNotFound)
}

// usedAtStart is when a client counts as used when the provider starts. As long as
// clients lived for ever no use was noted, so none counts.
func (p *Provider) usedAtStart(record *storage.Client) time.Time {
	switch {
	case p.registrar.clientLifetime == 0:
		return time.Time{}
	case record.UsedAt.IsZero():
		return time.Now().UTC()
	}
	return record.UsedAt
}

// deletion is what ends a client: with it goes what users allowed it.
func (p *Provider) deletion(clientID string) (c storage.Changes) {
	c.DeleteClients = []string{clientID}
	for subject := range p.users.bySub {
		c.DeleteConsents = append(c.DeleteConsents, storage.ConsentID{Subject: subject, ClientID: clientID})
	}
	return c
}

// deleteUnusedClients deletes the clients whose life is over, until ctx ends.
// Where several providers share a store each of them does.
func (p *Provider) deleteUnusedClients(ctx context.Context) {
	ticker := time.NewTicker(min(p.registrar.clientLifetime/useFraction, maxCleaningInterval))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := p.deleteUnused(ctx); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "cannot delete unused clients", "cause", err)
		}
	}
}

func (p *Provider) deleteUnused(ctx context.Context) error {
	clients, err := p.store.Clients(ctx)
	if err != nil {
		return err
	}
	for i := range clients {
		unused := time.Since(lastUse(&clients[i]))
		// The last use may be later than the last one that was noted.
		if life := p.registrar.clientLifetime; unused < life+life/useFraction {
			continue
		}
		c := p.deletion(clients[i].ID)
		c.RequireClients = []storage.ClientVersion{{ID: clients[i].ID, Version: clients[i].Version}}
		switch err := p.store.Commit(ctx, c); {
		case overtaken(err): // it is used, or gone
		case err != nil:
			return err
		default:
			p.log.InfoContext(ctx, "unused client deleted", "client", clients[i].ID, "unused", unused.Round(time.Second))
		}
	}
	return nil
}
