package storage

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// The reasons for which a store refuses. Callers compare with errors.Is.
var (
	// ErrNotFound says that no such record exists.
	ErrNotFound = errors.New("not found")
	// ErrUsed says that what may be used once was used already. If that is a
	// code or a refresh token, the store has revoked the grant it belongs to.
	ErrUsed = errors.New("already used")
	// ErrRevoked says that the grant was revoked.
	ErrRevoked = errors.New("revoked")
	// ErrExists says that a record with this key, which is to be inserted, is
	// there already.
	ErrExists = errors.New("already exists")
	// ErrSeen says that an identifier that may come once came before.
	ErrSeen = errors.New("seen before")
	// ErrEnded says that a session ended before a request that relied on it.
	ErrEnded = errors.New("session has ended")
	// ErrChanged says that a record is no longer what the request has read.
	ErrChanged = errors.New("changed meanwhile")
	// ErrFull says that there are as many records of a sort as there may be.
	ErrFull = errors.New("full")
	// ErrInUse says that another process holds the store.
	ErrInUse = errors.New("in use by another process")
	// ErrBroken says that a store writes no more. It has told its log when it broke.
	ErrBroken = errors.New("the store stopped writing after a failure; it has to be opened again")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Digest is the SHA-256 of a secret that its holder presents: the signature
// part of a code or token, or the value of a session cookie. A store never
// sees the secret itself.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a secret value.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// MarshalText writes a digest as unpadded base64url.
func (d Digest) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return errors.New("not a digest")
	}
	*d = Digest(b)
	return nil
}

// IsZero reports whether no digest was set.
func (d Digest) IsZero() bool { return d == Digest{} }

// Store keeps the provider's state. Reads see committed state only and return
// records whatever their expiry: what an expired record means is the caller's
// decision. All writes go through Commit.
//
// Returned records are the caller's own: changing them changes nothing stored.
type Store interface {
	// Grant returns one grant. ErrNotFound.
	Grant(ctx context.Context, id string) (Grant, error)
	// Code returns a code and its grant, read in one transaction. ErrNotFound.
	Code(ctx context.Context, id Digest) (Code, Grant, error)
	// AccessToken returns an access token and its grant. ErrNotFound.
	AccessToken(ctx context.Context, id Digest) (AccessToken, Grant, error)
	// RefreshToken returns a refresh token and its grant. ErrNotFound.
	RefreshToken(ctx context.Context, id Digest) (RefreshToken, Grant, error)
	// Session returns a single-sign-on session. ErrNotFound.
	Session(ctx context.Context, id Digest) (Session, error)
	// Consent returns what a user allowed a client. ErrNotFound.
	Consent(ctx context.Context, subject, clientID string) (Consent, error)
	// SessionClients returns the clients that the session with this "sid"
	// signed the user in at, in the order of their IDs. None: an empty list.
	SessionClients(ctx context.Context, sid string) ([]SessionClient, error)
	// Client returns a dynamically registered client. ErrNotFound.
	Client(ctx context.Context, id string) (Client, error)
	// Clients returns every dynamically registered client, oldest first.
	Clients(ctx context.Context) ([]Client, error)
	// HasOrigin reports whether a dynamically registered client has this web
	// origin. It is asked for each request that a browser sends from another
	// site, with whatever that request says.
	HasOrigin(ctx context.Context, origin string) (bool, error)
	// Seen reports whether an identifier was noted by Changes.Once.
	Seen(ctx context.Context, id Digest) (bool, error)
	// PushedRequest returns a pushed authorization request. ErrNotFound.
	PushedRequest(ctx context.Context, id Digest) (PushedRequest, error)
	// DeviceCode returns a device authorization by its device code. ErrNotFound.
	DeviceCode(ctx context.Context, id Digest) (DeviceCode, error)
	// DeviceCodeOf returns a device authorization by its user code. ErrNotFound.
	DeviceCodeOf(ctx context.Context, userCode string) (DeviceCode, error)
	// Keys returns every key, oldest first.
	Keys(ctx context.Context) ([]Key, error)
	// KeysVersion returns a number that is another one after each commit that
	// changes the keys. It is cheaper than Keys: whoever has read the number and
	// then the keys asks for the keys again when the number is another.
	KeysVersion(ctx context.Context) (uint64, error)

	// Commit checks the preconditions of c and applies all of it, or nothing,
	// in one transaction; it returns after the transaction is durable.
	// It may be called from many goroutines. See Changes for the errors.
	// If ctx ends before the transaction has begun, nothing is applied and
	// ctx's error is returned; afterwards ctx no longer matters.
	Commit(ctx context.Context, c Changes) error
	// Sweep removes at most limit records that expired before now, the oldest
	// first, and returns how many it removed. Codes and refresh tokens expire
	// with their grant, not before it: a spent one must be recognised when it
	// comes back. A record whose ExpiresAt is zero, or that has none, stays, and
	// so does every key: DeleteKeys removes it. What has expired and cannot be
	// read, in a damaged store, is in nobody's way: the rest goes. If the store
	// would have to read it, it stays, and is an error of the sweep that met it.
	Sweep(ctx context.Context, now time.Time, limit int) (int, error)

	// Ping reports whether the store can serve. It answers within two seconds,
	// also where what the store is on does not answer at all.
	Ping(ctx context.Context) error
	// Close releases the store. Commits under way finish first.
	Close() error
}

// Changes is one request's unit of work: what must hold, and what is written
// if it does. The zero value of every field means "nothing".
type Changes struct {
	// At is when the request was handled. It stamps UsedAt, RevokedAt and the
	// like, and must be set if the Changes spend, revoke, decide or poll anything.
	At time.Time

	// RedeemCode marks a code as used. It must exist (ErrNotFound), be unused
	// (ErrUsed) and its grant must not be revoked (ErrRevoked).
	RedeemCode Digest
	// RotateRefreshToken marks a refresh token as used, under the same
	// conditions as RedeemCode.
	RotateRefreshToken Digest
	// When either finds ErrUsed, the grant of the code or token is revoked in
	// the same transaction and nothing else of the Changes is applied
	// (RFC 6749 §4.1.2, RFC 9700 §4.14.2).

	// RequireSession names a session that must be there (ErrEnded): what is
	// issued on its strength must not outlive a sign-out that came first.
	RequireSession Digest
	// RequireSID is the "sid" of a session that must be there (ErrEnded): what
	// takes the session's place must not bring back a "sid" that clients were
	// told has ended.
	RequireSID string
	// RequireClients are clients that must be there (ErrNotFound) and be what was
	// read of them (ErrChanged): of two that change one client at once, the
	// second reads what the first has made of it.
	RequireClients []ClientVersion
	// ClientLimit is how many clients there may be, those of Clients included
	// (ErrFull). Zero: as many as come. A negative one is refused: see Check.
	ClientLimit int
	// Once are identifiers that must not have come before (ErrSeen), and from
	// now on have: the "jti" of a client assertion or of a DPoP proof, the name
	// of a pushed request that is answered.
	Once []Once
	// DecideDevice notes the user's decision on a device authorization. It must
	// exist (ErrNotFound) and be undecided (ErrUsed). The grant that it names
	// must be among Grants or stored (ErrNotFound).
	DecideDevice *DeviceDecision
	// RedeemDeviceCode marks a device code as used. It must exist (ErrNotFound)
	// and be unused (ErrUsed).
	RedeemDeviceCode Digest

	// Grants, Codes, AccessTokens and RefreshTokens are inserted: a key that
	// is there already is ErrExists. The grant of a code or token must be
	// among Grants or stored (ErrNotFound), and not revoked (ErrRevoked).
	Grants        []Grant
	Codes         []Code
	AccessTokens  []AccessToken
	RefreshTokens []RefreshToken
	// Clients, PushedRequests and DeviceCodes are inserted as well (ErrExists,
	// for a DeviceCode's UserCode, too).
	Clients        []Client
	PushedRequests []PushedRequest
	DeviceCodes    []DeviceCode
	// UpdateClients replace clients that must be there (ErrNotFound).
	UpdateClients []Client
	// Sessions, SessionClients and Keys are inserted or replaced.
	Sessions       []Session
	SessionClients []SessionClient
	Keys           []Key
	// Consents add to what the user allowed the client before: see Consent.With.
	Consents []Consent

	// The rest removes or revokes; what is missing is passed over.

	// RevokeGrants ends whole token families.
	RevokeGrants []string
	// RevokeAccessTokens ends single access tokens.
	RevokeAccessTokens []Digest
	EndSessions        []Digest
	// SignOut are "sid" values: every session of that name ends, those of these
	// Changes too, and every grant of it that is SessionBound is revoked. Its
	// SessionClients stay until they expire: who reads them after this commit
	// misses none, for nobody joins a session that is gone (RequireSession), and
	// none takes its place (RequireSID).
	SignOut []string
	// PollDeviceCodes stamps LastPollAt.
	PollDeviceCodes []Digest
	DeleteClients   []string
	DeleteConsents  []ConsentID
	DeleteKeys      []string
}

// Check refuses what only a mistake in the program can ask for: Changes that stamp
// a record without saying when, since a zero UsedAt would leave a redeemed code
// unused, and a limit that nothing can keep. Stores call it.
func (c *Changes) Check() error {
	if c.ClientLimit < 0 {
		return fmt.Errorf("changes with a limit of %d clients", c.ClientLimit)
	}
	stamps := !c.RedeemCode.IsZero() || !c.RotateRefreshToken.IsZero() ||
		c.DecideDevice != nil || !c.RedeemDeviceCode.IsZero() ||
		len(c.RevokeGrants)+len(c.RevokeAccessTokens)+len(c.SignOut)+len(c.PollDeviceCodes) > 0
	if stamps && c.At.IsZero() {
		return errors.New("changes without a time")
	}
	if _, err := c.At.UTC().MarshalJSON(); err != nil {
		return fmt.Errorf("changes: %w", err)
	}
	return nil
}

// Empty reports whether there is nothing to commit.
func (c *Changes) Empty() bool {
	return c.RedeemCode.IsZero() && c.RotateRefreshToken.IsZero() &&
		c.RequireSession.IsZero() && c.RequireSID == "" && c.RedeemDeviceCode.IsZero() && c.DecideDevice == nil &&
		len(c.RequireClients) == 0 && c.ClientLimit == 0 &&
		len(c.Once)+len(c.Grants)+len(c.Codes)+len(c.AccessTokens)+len(c.RefreshTokens) == 0 &&
		len(c.Clients)+len(c.PushedRequests)+len(c.DeviceCodes)+len(c.UpdateClients) == 0 &&
		len(c.Sessions)+len(c.SessionClients)+len(c.Consents)+len(c.Keys) == 0 &&
		len(c.RevokeGrants)+len(c.RevokeAccessTokens)+len(c.SignOut)+len(c.PollDeviceCodes) == 0 &&
		len(c.EndSessions)+len(c.DeleteClients)+len(c.DeleteConsents)+len(c.DeleteKeys) == 0
}
