package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/internal/records"
	"github.com/oidclab/oidclab/clients/internal/web"
)

// Config says whom the resource server trusts and who may call it.
type Config struct {
	// BaseURL is the server's own origin, shown on its page and named by DPoP
	// proofs. May be empty: then no token that is bound to a key is accepted.
	BaseURL string
	// HomeURL is where the page's link "Lab home" leads; "" = no link.
	HomeURL string
	// Issuers are the issuers whose access tokens are accepted; at least one.
	Issuers []Issuer
	// AllowedOrigins are the browser origins that may read answers (CORS), as
	// scheme://host:port, compared exactly. None = no page of another origin.
	AllowedOrigins []string
	// DBPath is the file of the notes; its directory must exist.
	DBPath string
	// HTTPClient fetches the issuers' keys; nil = loopback.Client().
	HTTPClient *http.Client
	// Logger gets refusals and failures, never a token; nil = discard.
	Logger *slog.Logger
}

// Issuer is one issuer of access tokens.
type Issuer struct {
	// URL is the issuer identifier, compared exactly with "iss".
	URL string
	// Audience is what "aud" must contain in this issuer's tokens.
	Audience string
	// JWKSURL is where its keys are; "" = as its metadata at URL says
	// (RFC 8414 §3, OpenID Connect Discovery §4).
	JWKSURL string
	// SubjectsOf names the issuer whose subject identifiers this one's are; "" =
	// its own. An application that signs its users in through a provider and
	// copies the provider's "sub" may be declared so, and its users then find
	// the notes that they wrote with the provider's own tokens.
	SubjectsOf string
}

// API is the resource server, an http.Handler.
type API struct {
	issuers map[string]*trusted
	origins map[string]bool
	notes   *notebook
	db      *records.DB
	base    string // BaseURL
	proofs  *usedProofs
	logger  *slog.Logger
	routes  http.Handler
}

// New opens the notes and returns the server. It talks to no issuer yet: keys
// are fetched when the first token of an issuer arrives.
func New(cfg Config) (*API, error) {
	if len(cfg.Issuers) == 0 {
		return nil, fmt.Errorf("api: no issuer is trusted, so no token could ever be accepted")
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = loopback.Client()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{issuers: map[string]*trusted{}, origins: map[string]bool{}, logger: cfg.Logger, base: cfg.BaseURL, proofs: newUsedProofs(time.Now())}
	for _, i := range cfg.Issuers {
		if i.URL == "" || i.Audience == "" {
			return nil, fmt.Errorf("api: issuer %q with audience %q: both must be set", i.URL, i.Audience)
		}
		if a.issuers[i.URL] != nil {
			return nil, fmt.Errorf("api: issuer %q is listed twice", i.URL)
		}
		a.issuers[i.URL] = newTrusted(i, cfg.HTTPClient)
	}
	for _, origin := range cfg.AllowedOrigins {
		a.origins[origin] = true
	}
	page, err := renderPage(cfg)
	if err != nil {
		return nil, err
	}
	if a.db, err = records.Open(cfg.DBPath); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.notes, err = openNotebook(a.db); err != nil {
		a.db.Close()
		return nil, fmt.Errorf("api: %w", err)
	}
	a.routes = a.mux(page)
	return a, nil
}

// Close releases the notes' file.
func (a *API) Close() error { return a.db.Close() }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.routes.ServeHTTP(w, r) }

func (a *API) mux(page http.Handler) http.Handler {
	calls := http.NewServeMux()
	calls.Handle("GET /api/me", a.authorized("", a.handleMe))
	calls.Handle("GET /api/notes", a.authorized("notes:read", a.handleListNotes))
	calls.Handle("POST /api/notes", a.authorized("notes:write", a.handleAddNote))
	calls.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, r, &problem{status: http.StatusNotFound, code: "not_found", description: "There is no such resource; see GET / for those that there are."})
	})

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /chrome/", web.Site{}.Handler())
	mux.Handle("/api/", a.cors(calls))
	return mux
}

// authorized lets a request through whose token is good, is used by whom it is
// for, and covers scope ("" = any good token will do).
func (a *API) authorized(scope string, next func(http.ResponseWriter, *http.Request, *Token)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, p := readCredential(r)
		if p != nil {
			a.refuse(w, r, p)
			return
		}
		token, err := a.Verify(r.Context(), given.token)
		if err == nil {
			err = a.checkPossession(r, given, token)
		}
		if err != nil {
			if errors.Is(err, ErrKeysUnavailable) || errors.Is(err, ErrBusy) {
				a.logger.WarnContext(r.Context(), "cannot decide", "error", err)
			}
			a.refuse(w, r, problemOf(err, given.scheme))
			return
		}
		if !token.allows(scope) {
			a.refuse(w, r, insufficientScope(scope, token.Scope, given.scheme))
			return
		}
		next(w, r, token)
	})
}

// handleMe serves GET /api/me: what the token says about its bearer.
func (a *API) handleMe(w http.ResponseWriter, _ *http.Request, t *Token) {
	writeJSON(w, http.StatusOK, struct {
		Subject  string `json:"sub"`
		Issuer   string `json:"iss"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		Name     string `json:"name,omitempty"`
		Expires  int64  `json:"exp"`
		Key      string `json:"jkt,omitempty"`
	}{t.Subject, t.Issuer, t.ClientID, t.Scope, t.Name, t.Expires.Unix(), t.Key})
}
