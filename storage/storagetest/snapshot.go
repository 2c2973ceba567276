package storagetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidclab/oidclab/storage"
)

// universe is every identifier that a test uses, so that all of a store can
// be read.
type universe struct {
	grants    []string
	digests   []storage.Digest
	consents  []storage.ConsentID
	clients   []string
	sids      []string
	userCodes []string
	origins   []string
}

// snapshot is all that a store answers. Errors but ErrNotFound are in it too.
type snapshot map[string]any

func (all snapshot) note(name string, err error, records ...any) {
	switch {
	case err == nil:
		all[name] = records
	case !errors.Is(err, storage.ErrNotFound):
		all[name] = err.Error()
	}
}

// snapshot reads all of a store.
func (u *universe) snapshot(ctx context.Context, s storage.Store) snapshot {
	all := snapshot{}
	for _, id := range u.grants {
		g, err := s.Grant(ctx, id)
		all.note("grant "+id, err, g)
	}
	for i, id := range u.digests {
		all.readDigest(ctx, s, i, id)
	}
	for _, id := range u.consents {
		consent, err := s.Consent(ctx, id.Subject, id.ClientID)
		all.note(fmt.Sprintf("consent %+v", id), err, consent)
	}
	for _, id := range u.clients {
		client, err := s.Client(ctx, id)
		all.note("client "+id, err, client)
	}
	for _, sid := range u.sids {
		if clients, err := s.SessionClients(ctx, sid); err != nil || len(clients) > 0 {
			all.note("clients of "+sid, err, clients)
		}
	}
	for _, userCode := range u.userCodes {
		code, err := s.DeviceCodeOf(ctx, userCode)
		all.note("device code of "+userCode, err, code)
	}
	for _, origin := range u.origins {
		if has, err := s.HasOrigin(ctx, origin); has || err != nil {
			all.note("origin "+origin, err)
		}
	}
	clients, err := s.Clients(ctx)
	all.note("clients", err, clients)
	keys, err := s.Keys(ctx)
	all.note("keys", err, keys)
	return all
}

// readDigest notes whatever is under a digest.
func (all snapshot) readDigest(ctx context.Context, s storage.Store, i int, id storage.Digest) {
	code, codeGrant, err := s.Code(ctx, id)
	all.note(fmt.Sprintf("code %d", i), err, code, codeGrant)
	access, accessGrant, err := s.AccessToken(ctx, id)
	all.note(fmt.Sprintf("access token %d", i), err, access, accessGrant)
	refresh, refreshGrant, err := s.RefreshToken(ctx, id)
	all.note(fmt.Sprintf("refresh token %d", i), err, refresh, refreshGrant)
	session, err := s.Session(ctx, id)
	all.note(fmt.Sprintf("session %d", i), err, session)
	if seen, err := s.Seen(ctx, id); seen || err != nil {
		all.note(fmt.Sprintf("seen %d", i), err)
	}
	pushed, err := s.PushedRequest(ctx, id)
	all.note(fmt.Sprintf("pushed request %d", i), err, pushed)
	device, err := s.DeviceCode(ctx, id)
	all.note(fmt.Sprintf("device code %d", i), err, device)
}
