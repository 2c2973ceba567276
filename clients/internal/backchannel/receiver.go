package backchannel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/oidclab/oidclab/clients/internal/records"
)

// maxBody bounds what is read of a logout request.
const maxBody = 64 << 10

// Config is what a Receiver must know.
type Config struct {
	Issuer   string // the provider's
	ClientID string // of the client that it tells
	// Keys returns the provider's keys.
	Keys func(context.Context) (oidc.KeySet, error)
	// SignInLifetime is from a sign-in to its latest end.
	SignInLifetime time.Duration
	// Dropped, if set, is called after a session was written down as over. It
	// ends at once what can be found of its sign-ins without their browsers.
	Dropped func(context.Context, Logout) error
	Logger  *slog.Logger // nil = discard
}

// Logout is what a logout token says: the session SID of the provider's is over,
// or every session of the user Subject, if SID is "".
type Logout struct {
	SID     string
	Subject string // "" if the token does not name the user
}

// SignIn is what a client knows of a sign-in.
type SignIn struct {
	SID     string // the ID token's "sid"; "" if it had none
	Subject string
	Began   time.Time
}

// Concerns reports whether a sign-in of before the logout is over by it.
func (l Logout) Concerns(s SignIn) bool {
	if l.SID == "" {
		return l.Subject == s.Subject
	}
	return l.SID == s.SID && (l.Subject == "" || l.Subject == s.Subject)
}

// Receiver serves a client's backchannel_logout_uri.
type Receiver struct {
	cfg  Config
	log  *slog.Logger
	used *records.Records[struct{}]
	over *records.Records[ended]
}

// ended is the note that a session, or every session of a user, is over.
type ended struct {
	Subject string    `json:"sub"`
	At      time.Time `json:"at"`
}

// New makes a receiver that keeps its records in db.
func New(db *records.DB, cfg Config) (*Receiver, error) {
	used, usedErr := records.Bucket[struct{}](db, "logout-tokens")
	over, overErr := records.Bucket[ended](db, "provider-sessions")
	return &Receiver{
		cfg: cfg, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)), used: used, over: over,
	}, errors.Join(usedErr, overErr)
}

// ServeHTTP receives a logout token. It needs no cookie and no other
// authentication: the token is the provider's by its signature.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // §2.8
	// Half a logout is none: the work goes on if the provider hangs up.
	ctx := context.WithoutCancel(req.Context())
	// 1. The request: one logout token in a posted form. §2.5.
	compact, err := readToken(w, req)
	if err != nil {
		r.refuse(w, req, err)
		return
	}
	// 2. The token's checks. §2.6.
	token, err := r.check(ctx, compact)
	if err != nil {
		r.refuse(w, req, err)
		return
	}
	// 3. It comes once. Only a token that passed every check is remembered, or
	//    anybody could fill the records (step 8).
	err = r.used.Add(token.ID, struct{}{}, token.Expiry.Time().Add(skew))
	if errors.Is(err, records.ErrExists) {
		err = errUsed
	}
	if err != nil {
		r.refuse(w, req, err)
		return
	}
	// 4. The end of the sign-ins. If it fails, the same token may come again. §2.7.
	logout := Logout{SID: token.SID, Subject: token.Subject}
	if err := r.end(ctx, logout); err != nil {
		r.refuse(w, req, errors.Join(errStore.after(err), r.used.Delete(token.ID)))
		return
	}
	r.log.InfoContext(ctx, "signed out at the provider", "sub", token.Subject, "one_session", token.SID != "")
	// 5. The provider gets an answer without content. §2.8.
	w.WriteHeader(http.StatusOK)
}

func readToken(w http.ResponseWriter, req *http.Request) (string, error) {
	if req.Method != http.MethodPost {
		return "", errMethod
	}
	if media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return "", errForm
	}
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	if err := req.ParseForm(); err != nil {
		return "", errForm
	}
	// The form alone: what stands in the URL is not the token's place. Other
	// values are ignored (§2.5).
	tokens := req.PostForm["logout_token"]
	if len(tokens) != 1 || tokens[0] == "" {
		return "", errOne
	}
	return tokens[0], nil
}

// end writes down what is over, and drops what can be found of it.
func (r *Receiver) end(ctx context.Context, logout Logout) error {
	now := time.Now()
	key := "sid:" + logout.SID
	if logout.SID == "" {
		key = "sub:" + logout.Subject
	}
	if err := r.over.Put(key, ended{Subject: logout.Subject, At: now}, now.Add(r.cfg.SignInLifetime)); err != nil {
		return err
	}
	if r.cfg.Dropped == nil {
		return nil
	}
	return r.cfg.Dropped(ctx, logout)
}

// Ended reports whether a sign-in is over because a session at the provider is.
//
// When a sign-in began does not count where a session has a name: distinct
// sessions have distinct names (§2.1), so none comes back under one that has
// ended, and what has it although it began later was under way when the logout
// token came, its code not yet redeemed. By the clock it would stand. A user does
// come back, so among the sign-ins of a user only the clock can tell.
func (r *Receiver) Ended(s SignIn) (bool, error) {
	if s.SID != "" {
		note, err := r.over.Get("sid:" + s.SID)
		if err == nil && (Logout{SID: s.SID, Subject: note.Subject}).Concerns(s) {
			return true, nil
		}
		if err != nil && !errors.Is(err, records.ErrNotFound) {
			return false, err
		}
	}
	note, err := r.over.Get("sub:" + s.Subject)
	if errors.Is(err, records.ErrNotFound) {
		return false, nil
	}
	return err == nil && !s.Began.After(note.At), err
}
