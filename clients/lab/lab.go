package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oidclab/oidclab/clients/internal/records"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/recorder"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// sweepInterval is how often the provider's store drops what has expired.
const sweepInterval = time.Second

// Config is everything that a Lab needs. Listener and DataDir have no default.
type Config struct {
	// Listener is where the lab serves; in layout "ports" it is the home
	// page's. It is the lab's own once New has succeeded.
	Listener net.Listener
	// Layout is Hosts, the default, or Ports.
	Layout Layout
	// AnyPorts, in layout "ports", lets the system choose the further ports.
	// Otherwise they are the ones that follow the Listener's.
	AnyPorts bool
	// OPHost is the provider's host name in layout "hosts"; empty means
	// "op.lab.localhost". One outside lab.localhost, such as
	// "op.idp.localhost", puts the provider on another site than the clients.
	OPHost string
	// TLS makes every party's origin https; its certificates are for all
	// HostNames. Nil means plain http.
	TLS *tls.Config
	// RootCAs returns the authorities that the parties believe when they call each
	// other and whom the clients name. Each party asks when it first calls an https
	// URL. Nil means the system's.
	RootCAs func() *x509.CertPool
	// DataDir keeps all state between runs. It exists and is the lab's alone.
	DataDir string
	// Store is the provider's store, which stays the caller's; nil is a file in
	// DataDir.
	Store storage.Store
	// NoSync leaves flushing the provider's store to the operating system: for
	// data that nobody will miss.
	NoSync bool

	// Provider is the provider's configuration. Its clients and scopes come
	// beside the lab's own; where it is and how it reaches the others is the
	// lab's to say.
	Provider provider.Config
	// Logger receives what happens, without secrets; nil discards.
	Logger *slog.Logger
}

// Lab is a provider with its clients and its resource server.
type Lab struct {
	log      *slog.Logger
	parties  []Party
	recorder *recorder.Log
	provider *provider.Provider
	handlers map[string]http.Handler // by party
	dispatch http.Handler            // by host, in layout "hosts"
	tls      *tls.Config             // nil: plain http
	started  []closer
	close    func() error
}

// closer ends something that New started.
type closer struct {
	what string
	end  func() error
}

// New opens the stores and makes all parties. Nothing is served before Serve.
// If New fails, everything that it opened is closed again, and the Listener is
// still the caller's.
func New(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	parties, err := cfg.parties(ctx)
	if err != nil {
		return nil, err
	}
	l := &Lab{log: cfg.Logger, parties: parties, handlers: map[string]http.Handler{}, tls: cfg.TLS}
	l.close = sync.OnceValue(l.closeStarted)
	l.opened("listeners", func() error { return closeListeners(parties) })

	names := map[string]string{}
	for _, p := range parties {
		names[p.Origin] = p.Name
	}
	l.recorder = recorder.New(recorder.Options{Parties: names})
	if err := l.compose(ctx, cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if cfg.Layout == Hosts {
		l.dispatch = newDispatcher(parties, l.handlers)
	}
	// Last, so that the caller keeps the Listener if anything before fails.
	l.opened("listener", func() error { return closeListener(cfg.Listener) })
	return l, nil
}

func (cfg *Config) complete() error {
	if cfg.Listener == nil || cfg.DataDir == "" {
		return errors.New("lab: Listener and DataDir must be set")
	}
	if cfg.Layout == "" {
		cfg.Layout = Hosts
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := CheckLayout(cfg.Layout, cfg.OPHost); err != nil {
		return err
	}
	if cfg.OPHost == "" {
		cfg.OPHost = defaultOPHost
	}
	return nil
}

// CheckLayout says whether New would accept the layout with the provider's
// host name, for a caller that has something to lose before it calls New.
func CheckLayout(layout Layout, opHost string) error {
	switch {
	case layout != Hosts && layout != Ports:
		return fmt.Errorf("lab: layout %q is neither %q nor %q", layout, Hosts, Ports)
	case layout == Ports && opHost != "":
		return fmt.Errorf("lab: in layout %q the provider has no host of its own", Ports)
	case opHost == "":
		return nil
	}
	return checkOPHost(opHost)
}

// compose opens the provider's store, which also claims the directory if it is
// there, and then makes one party after the other.
func (l *Lab) compose(ctx context.Context, cfg Config) error {
	store, err := l.openStore(cfg)
	if err != nil {
		return err
	}
	secrets, err := loadSecrets(cfg.DataDir)
	if err != nil {
		return err
	}
	c := composer{lab: l, cfg: cfg, at: origins(l.parties), reach: addresses(l.parties), secrets: secrets}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return c.provider(ctx, store) },
		c.implicit, c.pkce, c.bff, c.frontendDriven, c.api, c.home,
	} {
		if err := step(ctx); errors.Is(err, records.ErrInUse) {
			return fmt.Errorf("%w: %w", storage.ErrInUse, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// openStore opens the provider's store, unless the caller has.
func (l *Lab) openStore(cfg Config) (storage.Store, error) {
	if cfg.Store != nil {
		return cfg.Store, nil
	}
	store, err := bolt.Open(filepath.Join(cfg.DataDir, "provider.db"),
		&bolt.Options{NoSync: cfg.NoSync, SweepInterval: sweepInterval, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l.opened("provider's store", store.Close)
	return store, nil
}

// opened notes what Close has to end. What is opened last ends first.
func (l *Lab) opened(what string, end func() error) {
	l.started = append(l.started, closer{what, end})
}

func (l *Lab) closeStarted() error {
	var errs []error
	for _, c := range slices.Backward(l.started) {
		if err := c.end(); err != nil {
			errs = append(errs, fmt.Errorf("lab: close %s: %w", c.what, err))
		}
	}
	return errors.Join(errs...)
}

// Close ends everything and closes the stores. Call it after Serve returned.
// Further calls return what the first one did.
func (l *Lab) Close() error { return l.close() }

// HomeURL is the address of the home page.
func (l *Lab) HomeURL() string { return l.Origin(home) + "/" }

// Issuer is the provider's issuer identifier.
func (l *Lab) Issuer() string { return l.Origin(op) }

// Origin is the origin of the party with this name, "" if there is none.
func (l *Lab) Origin(name string) string { return origins(l.parties)[name] }

// Parties lists the parties, the home page first.
func (l *Lab) Parties() []Party { return slices.Clone(l.parties) }

// Provider is the lab's provider.
func (l *Lab) Provider() *provider.Provider { return l.provider }

// Recorder has the HTTP exchanges between the parties.
func (l *Lab) Recorder() *recorder.Log { return l.recorder }
