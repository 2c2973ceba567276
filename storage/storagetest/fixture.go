package storagetest

import (
	"errors"
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
		ID:           id,
		ClientID:     "client of " + id,
		Subject:      "alice",
		SessionID:    "sid of " + id,
		SessionBound: true,
		Scopes:       []string{"openid", "offline_access"},
		Audience:     []string{"http://api.example"},
		RedirectURI:  "http://client.example/callback?a=b&c=<d>",
		Nonce:        "nonce of " + id,
		Claims:       []byte(`{"userinfo":{"name":null}}`),
		ACR:          "1",
		AMR:          []string{"pwd", "otp"},
		AuthTime:     start.Add(-time.Hour - 1),
		RequestedAt:  start.Add(-time.Minute - 2),
		CreatedAt:    start,
		ExpiresAt:    start.Add(24 * time.Hour),
	}
}

// newCode returns a code that lasts a minute.
func newCode(id, grantID string) storage.Code {
	return storage.Code{
		ID:                  storage.DigestOf(id),
		GrantID:             grantID,
		CodeChallenge:       "challenge of " + id,
		CodeChallengeMethod: "S256",
		JKT:                 "key of " + id,
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
		JKT:       "key of " + id,
		IssuedAt:  start,
		ExpiresAt: start.Add(time.Hour),
	}
}

// newRefreshToken returns a refresh token that lasts two hours.
func newRefreshToken(id, grantID string) storage.RefreshToken {
	return storage.RefreshToken{
		ID:        storage.DigestOf(id),
		GrantID:   grantID,
		JKT:       "key of " + id,
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
		Resources: []string{"https://api.example"},
		UpdatedAt: start,
	}
}

func newKey(id string) storage.Key {
	return storage.Key{
		ID: id, Use: "sig", Algorithm: "RS256", Material: []byte{0, 1, 0xff},
		CreatedAt: start, ActiveFrom: start.Add(time.Minute + 4), ExpiresAt: start.Add(time.Hour + 5),
	}
}

func newClient(id string) storage.Client {
	return storage.Client{
		ID:                id,
		Metadata:          []byte(`{"client_name":"<` + id + `>"}`),
		Origins:           []string{"https://" + id + ".example", "https://shared.example"},
		Version:           "version of " + id,
		SecretHash:        storage.DigestOf("secret of " + id),
		SecretExpiresAt:   start.Add(time.Hour + 6),
		RegistrationToken: storage.DigestOf("registration token of " + id),
		CreatedAt:         start.Add(-time.Hour - 7),
		UpdatedAt:         start,
		UsedAt:            start.Add(time.Minute + 8),
	}
}

// newOnce returns an identifier that lasts five minutes.
func newOnce(id string) storage.Once {
	return storage.Once{ID: storage.DigestOf(id), ExpiresAt: start.Add(5 * time.Minute)}
}

// newPushedRequest returns a pushed request that lasts ninety seconds.
func newPushedRequest(id string) storage.PushedRequest {
	return storage.PushedRequest{
		ID:        storage.DigestOf(id),
		ClientID:  "client of " + id,
		Form:      map[string][]string{"scope": {"openid"}, "state": {"<state> of " + id, ""}},
		JKT:       "key of " + id,
		CreatedAt: start,
		ExpiresAt: start.Add(90 * time.Second),
	}
}

// newDeviceCode returns a device code that lasts ten minutes.
func newDeviceCode(id string) storage.DeviceCode {
	return storage.DeviceCode{
		ID:        storage.DigestOf(id),
		UserCode:  "user code of " + id,
		ClientID:  "client of " + id,
		Scopes:    []string{"openid"},
		Audience:  []string{"http://api.example"},
		Interval:  5*time.Second + 1,
		CreatedAt: start,
		ExpiresAt: start.Add(10 * time.Minute),
	}
}

// newSessionClient returns what a session that lasts three hours reached.
func newSessionClient(sid, clientID string) storage.SessionClient {
	return storage.SessionClient{
		SID: sid, ClientID: clientID, Subject: "alice at " + clientID, ClientSID: sid + " at " + clientID, ExpiresAt: start.Add(3 * time.Hour),
	}
}
