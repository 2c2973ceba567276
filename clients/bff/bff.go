package bff

import (
	"cmp"
	"crypto/rand"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/oidclab/oidclab/clients/internal/backchannel"
	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/internal/records"
	"github.com/oidclab/oidclab/clients/internal/web"
)

// Config is what a BFF must know.
type Config struct {
	Issuer       string // the provider's issuer, exactly as it is registered
	ClientID     string
	ClientSecret string // for client_secret_basic
	BaseURL      string // this backend's origin, no slash at the end; BaseURL/callback is the redirect URI
	APIURL       string // the resource server's origin, no slash at the end
	HomeURL      string // the link "lab home" on the page; "" = none
	DBPath       string // the bbolt file with the sessions; its directory exists

	// HTTPClient calls the provider and the API. nil = dials loopback for
	// *.localhost, ten seconds at most.
	HTTPClient *http.Client
	Logger     *slog.Logger // nil = discard

	SessionLifetime time.Duration // from login to the latest end; 0 = 8 hours
	SessionIdle     time.Duration // without a request; 0 = 30 minutes
}

// BFF is the backend for frontend: the page's server, the OpenID Connect client
// and the only way from the page to the API.
type BFF struct {
	cfg      Config
	log      *slog.Logger
	http     *http.Client
	op       issuer
	db       *records.DB
	logins   *vault[login]
	sessions *vault[session]
	renewals singleflight.Group
	handler  http.Handler

	backchannel *backchannel.Receiver
}

//go:embed web
var pages embed.FS

// New opens the session store and returns the client. It does not talk to the
// provider yet, which may start later.
func New(cfg Config) (*BFF, error) {
	if _, err := url.Parse(cfg.BaseURL); err != nil || cfg.BaseURL == "" || cfg.Issuer == "" {
		return nil, errors.Join(errors.New("bff: Issuer and BaseURL must be set"), err)
	}
	cfg.SessionLifetime = cmp.Or(cfg.SessionLifetime, 8*time.Hour)
	cfg.SessionIdle = cmp.Or(cfg.SessionIdle, 30*time.Minute)
	b := &BFF{
		cfg:  cfg,
		log:  cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		http: withoutRedirects(cmp.Or(cfg.HTTPClient, loopback.Client())),
	}
	b.op = issuer{url: cfg.Issuer, client: b.http}
	var err error
	if b.db, err = records.Open(cfg.DBPath); err != nil {
		return nil, err
	}
	var errs [3]error
	b.logins, errs[0] = newVault[login](b.db, "logins")
	b.sessions, errs[1] = newVault[session](b.db, "sessions")
	b.backchannel, errs[2] = backchannel.New(b.db, backchannel.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, Keys: b.op.keySet, SignInLifetime: cfg.SessionLifetime, Logger: b.log,
	})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	b.handler = b.routes()
	return b, nil
}

// Close releases the session store.
func (b *BFF) Close() error { return b.db.Close() }

func (b *BFF) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.handler.ServeHTTP(w, r) }

func (b *BFF) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", b.handleLogin)
	mux.HandleFunc("GET /callback", b.handleCallback)
	mux.HandleFunc("POST /logout", b.handleLogout)
	mux.HandleFunc("GET /bff/session", b.handleSession)
	mux.HandleFunc("POST /bff/renew", b.handleRenew)
	for _, call := range proxied {
		mux.HandleFunc(call.method+" /bff"+call.path, b.proxy(call))
	}
	mux.HandleFunc("/bff/", b.handleNotProxied)

	files, err := fs.Sub(pages, "web")
	if err != nil {
		panic(err) // the folder is embedded under this very name
	}
	page := web.Site{Files: files, Config: map[string]string{"home": b.cfg.HomeURL, "issuer": b.cfg.Issuer}}.Handler()
	mux.Handle("GET /{$}", b.afterLogout(page))
	mux.Handle("/", page)

	// The provider comes without a browser: neither a cookie nor what the guard
	// asks of pages.
	outer := http.NewServeMux()
	outer.Handle("/backchannel-logout", b.backchannel)
	outer.Handle("/", b.guard(mux))
	return outer
}

// guard stands before every route of the page's.
func (b *BFF) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Answers differ from session to session; the page's own files say otherwise.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := checkCSRF(r); err != nil {
			b.refuseJSON(w, r, err)
			return
		}
		// A HEAD would spend a login as a GET does, and answer nothing.
		if r.Method == http.MethodHead && (r.URL.Path == "/login" || r.URL.Path == "/callback") {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withoutRedirects makes every answer final. No endpoint that this backend calls
// redirects, and following one would carry tokens to a place of its choice.
func withoutRedirects(c *http.Client) *http.Client {
	final := *c
	final.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &final
}

// newSecret returns a value that nobody can guess: 130 random bits as text.
func newSecret() string { return rand.Text() }

// secretLength is the length of what newSecret returns.
const secretLength = 26
