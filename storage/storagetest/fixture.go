package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
)

// start is when the tests take place; it has nanoseconds on purpose.
var start = time.Date(2031, time.February, 3, 4, 5, 6, 789012345, time.UTC)

// fixture is a test with its store.
type fixture struct {
	*testing.T
	store storage.Store
}

// commit applies changes that must not be refused. A missing At is start.
func (f *fixture) commit(c storage.Changes) {
	f.Helper()
	if err := f.store.Commit(f.Context(), stamped(c)); err != nil {
		f.Fatalf("Commit: %v", err)
	}
}

// refuse tests that changes are refused with the wanted error.
func (f *fixture) refuse(c storage.Changes, want error) {
	f.Helper()
	if err := f.store.Commit(f.Context(), stamped(c)); !errors.Is(err, want) {
		f.Errorf("Commit: got error %v, want %v", err, want)
	}
}

func stamped(c storage.Changes) storage.Changes {
	if c.At.IsZero() {
		c.At = start
	}
	return c
}

// sweep sweeps and tests how many records went.
func (f *fixture) sweep(now time.Time, limit, want int) {
	f.Helper()
	n, err := f.store.Sweep(f.Context(), now, limit)
	if err != nil || n != want {
		f.Errorf("Sweep at start%+v: removed %d, %v; want %d", now.Sub(start), n, err, want)
	}
}

// equal compares two values; times are equal if they are the same instant.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// grant reads a grant that must be there.
func (f *fixture) grant(id string) storage.Grant {
	f.Helper()
	g, err := f.store.Grant(f.Context(), id)
	if err != nil {
		f.Fatalf("Grant(%q): %v", id, err)
	}
	return g
}

func (f *fixture) revokedAt(grantID string, want time.Time) {
	f.Helper()
	f.equal("RevokedAt of grant "+grantID, f.grant(grantID).RevokedAt, want)
}

// newGrant returns a grant with every field set. It lasts a day.
func newGrant(id string) storage.Grant {
	return storage.Grant{
		ID:          id,
		ClientID:    "client of " + id,
		Subject:     "alice",
		SessionID:   "sid of " + id,
		Scopes:      []string{"openid", "offline_access"},
		Audience:    []string{"http://api.example"},
		RedirectURI: "http://client.example/callback?a=b&c=<d>",
		Nonce:       "nonce of " + id,
		ACR:         "1",
		AMR:         []string{"pwd", "otp"},
		AuthTime:    start.Add(-time.Hour - 1),
		RequestedAt: start.Add(-time.Minute - 2),
		CreatedAt:   start,
		ExpiresAt:   start.Add(24 * time.Hour),
	}
}

// newCode returns a code that lasts a minute.
func newCode(id, grantID string) storage.Code {
	return storage.Code{
		ID:                  storage.DigestOf(id),
		GrantID:             grantID,
		CodeChallenge:       "challenge of " + id,
		CodeChallengeMethod: "S256",
		ExpiresAt:           start.Add(time.Minute),
	}
}

// newAccessToken returns an access token that lasts an hour.
func newAccessToken(id, grantID string) storage.AccessToken {
	return storage.AccessToken{
		ID:        storage.DigestOf(id),
		GrantID:   grantID,
		JTI:       "jti of " + id,
		Scopes:    []string{"openid"},
		Audience:  []string{"http://api.example"},
		IssuedAt:  start,
		ExpiresAt: start.Add(time.Hour),
	}
}

// newRefreshToken returns a refresh token that lasts two hours.
func newRefreshToken(id, grantID string) storage.RefreshToken {
	return storage.RefreshToken{
		ID:        storage.DigestOf(id),
		GrantID:   grantID,
		IssuedAt:  start,
		ExpiresAt: start.Add(2 * time.Hour),
	}
}

// newSession returns a session that lasts three hours.
func newSession(id string) storage.Session {
	return storage.Session{
		ID:        storage.DigestOf(id),
		SID:       "sid of " + id,
		Subject:   "alice",
		ACR:       "1",
		AMR:       []string{"pwd"},
		AuthTime:  start.Add(-time.Second - 3),
		ExpiresAt: start.Add(3 * time.Hour),
	}
}

func newConsent(subject, clientID string) storage.Consent {
	return storage.Consent{
		ConsentID: storage.ConsentID{Subject: subject, ClientID: clientID},
		Scopes:    []string{"openid", "email"},
		Claims:    []string{"nickname"},
		UpdatedAt: start,
	}
}

func newKey(id string) storage.Key {
	return storage.Key{ID: id, Use: "sig", Algorithm: "RS256", Material: []byte{0, 1, 0xff}, CreatedAt: start}
}

// universe is every identifier that a test uses, so that all of a store can
// be read.
type universe struct {
	grants   []string
	digests  []storage.Digest
	consents []storage.ConsentID
}

// snapshot reads all of a store. Errors but ErrNotFound are in it too.
func (u universe) snapshot(ctx context.Context, s storage.Store) map[string]any {
	all := map[string]any{}
	note := func(name string, err error, records ...any) {
		switch {
		case err == nil:
			all[name] = records
		case !errors.Is(err, storage.ErrNotFound):
			all[name] = err.Error()
		}
	}
	for _, id := range u.grants {
		g, err := s.Grant(ctx, id)
		note("grant "+id, err, g)
	}
	for i, id := range u.digests {
		code, codeGrant, err := s.Code(ctx, id)
		note(fmt.Sprintf("code %d", i), err, code, codeGrant)
		access, accessGrant, err := s.AccessToken(ctx, id)
		note(fmt.Sprintf("access token %d", i), err, access, accessGrant)
		refresh, refreshGrant, err := s.RefreshToken(ctx, id)
		note(fmt.Sprintf("refresh token %d", i), err, refresh, refreshGrant)
		session, err := s.Session(ctx, id)
		note(fmt.Sprintf("session %d", i), err, session)
	}
	for _, id := range u.consents {
		consent, err := s.Consent(ctx, id.Subject, id.ClientID)
		note(fmt.Sprintf("consent %+v", id), err, consent)
	}
	keys, err := s.Keys(ctx)
	note("keys", err, keys)
	return all
}
