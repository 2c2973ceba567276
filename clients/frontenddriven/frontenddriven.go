package frontenddriven

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/internal/records"
	"github.com/oidclab/oidclab/clients/internal/web"
)

// Config is what the application's two halves must know.
type Config struct {
	Issuer       string // the provider's issuer identifier, exactly as it calls itself
	ClientID     string // "" = "frontenddriven"
	ClientSecret string // for client_secret_basic; only the backend holds it
	FrontendURL  string // the page's origin, no slash at the end; FrontendURL/callback is its redirect URI
	BackendURL   string // the backend's origin, no slash at the end; also the "iss" of the application's tokens
	APIURL       string // the resource server's origin, no slash at the end
	Audience     string // "aud" of the application's access tokens; "" = APIURL/frontenddriven
	HomeURL      string // the link "Lab home"; "" = none
	DBPath       string // the bbolt file with the signing key and the families; its directory exists

	// HTTPClient calls the provider. nil = dials loopback for *.localhost, ten
	// seconds at most.
	HTTPClient *http.Client
	Logger     *slog.Logger // nil = discard

	AccessLifetime time.Duration // of an application access token; 0 = 5 minutes
	FamilyLifetime time.Duration // from login to the last moment of its refresh tokens; 0 = 12 hours
}

// App is the application: a page and, on another origin, its backend.
type App struct {
	cfg      Config
	log      *slog.Logger
	op       *provider
	db       *records.DB
	families *families
	mint     *mint

	backchannel *backchannel.Receiver

	frontend http.Handler
	backend  http.Handler
}

//go:embed web
var files embed.FS

// New opens the records and makes the signing key if there is none yet. It does
// not talk to the provider, which may start later.
func New(cfg Config) (*App, error) {
	for name, value := range map[string]string{
		"Issuer": cfg.Issuer, "ClientSecret": cfg.ClientSecret, "FrontendURL": cfg.FrontendURL, "BackendURL": cfg.BackendURL, "APIURL": cfg.APIURL,
	} {
		if value == "" {
			return nil, fmt.Errorf("frontenddriven: %s must be set", name)
		}
	}
	cfg.ClientID = cmp.Or(cfg.ClientID, "frontenddriven")
	cfg.Audience = cmp.Or(cfg.Audience, cfg.APIURL+"/frontenddriven")
	cfg.AccessLifetime = cmp.Or(cfg.AccessLifetime, 5*time.Minute)
	cfg.FamilyLifetime = cmp.Or(cfg.FamilyLifetime, 12*time.Hour)
	a := &App{
		cfg: cfg,
		log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		op:  newProvider(cfg, cmp.Or(cfg.HTTPClient, loopback.Client())),
	}
	page, err := renderPage(cfg)
	if err != nil {
		return nil, err
	}
	if a.db, err = records.Open(cfg.DBPath); err != nil {
		return nil, fmt.Errorf("frontenddriven: %w", err)
	}
	var errs [3]error
	a.families, errs[0] = openFamilies(a.db)
	a.mint, errs[1] = openMint(a.db, cfg)
	a.backchannel, errs[2] = backchannel.New(a.db, backchannel.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, Keys: a.op.keySet, SignInLifetime: cfg.FamilyLifetime, Dropped: a.families.drop, Logger: a.log,
	})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(fmt.Errorf("frontenddriven: %w", err), a.db.Close())
	}
	a.frontend, a.backend = frontend(cfg), a.routes(page)
	return a, nil
}

// Frontend serves the page, at FrontendURL.
func (a *App) Frontend() http.Handler { return a.frontend }

// Backend serves the page's backend, at BackendURL.
func (a *App) Backend() http.Handler { return a.backend }

// Close releases the records.
func (a *App) Close() error { return a.db.Close() }

// frontend hands out files and nothing else: the page calls the backend and the
// API, both of other origins, by itself.
func frontend(cfg Config) http.Handler {
	pages, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return web.Site{
		Files:   pages,
		Config:  map[string]string{"backend": cfg.BackendURL, "api": cfg.APIURL, "home": cfg.HomeURL},
		Connect: []string{web.Origin(cfg.BackendURL), web.Origin(cfg.APIURL)},
	}.Handler()
}

func (a *App) routes(page http.Handler) http.Handler {
	calls := http.NewServeMux()
	calls.HandleFunc("GET /auth/config", a.handleConfig)
	calls.HandleFunc("POST /auth/exchange", a.handleExchange)
	calls.HandleFunc("POST /auth/refresh", a.handleRefresh)
	calls.HandleFunc("POST /auth/logout", a.handleLogout)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /chrome/", web.Site{}.Handler())
	mux.Handle("/auth/", a.cors(calls))
	mux.Handle("/backchannel-logout", a.backchannel) // no page calls it: no CORS
	mux.HandleFunc("GET /jwks", a.handleJWKS)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", a.handleMetadata)
	return mux
}
