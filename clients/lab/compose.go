package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/oidclab/oidclab/clients/api"
	"github.com/oidclab/oidclab/clients/bff"
	"github.com/oidclab/oidclab/clients/frontenddriven"
	"github.com/oidclab/oidclab/clients/implicit"
	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/pkce"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/localtls"
	"github.com/oidclab/oidclab/storage"
)

// backChannelTimeout bounds one call from server to server.
const backChannelTimeout = 10 * time.Second

// composer makes the parties. Each learns the others' URLs and no more.
type composer struct {
	lab     *Lab
	cfg     Config
	at      map[string]string // origins by party
	reach   map[string]string // where the parties' hosts and ports really listen
	secrets secrets
}

// serve puts a party's handler in its place, with the recorder around it.
func (c *composer) serve(party string, h http.Handler) {
	c.lab.handlers[party] = c.lab.recorder.Handler(party, h)
}

// httpClient is the party's way to the others, with the recorder around it.
func (c *composer) httpClient(party string) *http.Client {
	transport := loopback.Trusting(nil)
	transport.DialContext = c.reaching(transport.DialContext)
	c.lab.opened(party+"'s connections", func() error {
		transport.CloseIdleConnections()
		return nil
	})
	trusting := localtls.Trusting(transport, c.cfg.RootCAs)
	return &http.Client{Transport: c.lab.recorder.Transport(party, trusting), Timeout: backChannelTimeout}
}

// dialFunc connects as net.Dialer.DialContext does.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// reaching is dial that finds the parties where they really listen.
func (c *composer) reaching(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if own, ok := c.reach[addr]; ok {
			addr = own
		}
		return dial(ctx, network, addr)
	}
}

// logger says which party speaks: several of them sign people in and out.
func (c *composer) logger(party string) *slog.Logger { return c.cfg.Logger.With("party", party) }

func (c *composer) file(name string) string { return filepath.Join(c.cfg.DataDir, name) }

// audience of the tokens that the frontend-driven application issues itself.
func (c *composer) drivenAudience() string { return c.at[apiServer] + "/frontenddriven" }

func (c *composer) provider(ctx context.Context, store storage.Store) error {
	cfg := c.cfg.Provider
	cfg.Issuer, cfg.Store, cfg.HomeURL, cfg.Logger = c.at[op], store, c.at[home], c.logger(op)
	cfg.Clients = append(registrations(c.at, c.secrets), cfg.Clients...)
	cfg.Scopes = scopes(cfg.Scopes)
	// Calls to clients: to the lab's own, which hear of sign-outs, on this
	// machine too; to others wherever the configuration allows it.
	cfg.TrustedOrigins = []string{c.at[bffBackend], c.at[drivenServer]}
	cfg.RootCAs, cfg.DialContext = c.cfg.RootCAs, c.reaching(loopback.Transport().DialContext)
	cfg.WrapTransport = func(base http.RoundTripper) http.RoundTripper { return c.lab.recorder.Transport(op, base) }
	p, err := provider.New(ctx, cfg)
	if err != nil {
		return fmt.Errorf("lab: provider: %w", err)
	}
	c.lab.opened(op, p.Close)
	c.lab.provider = p
	c.serve(op, p)
	return nil
}

// scopes are the configured ones and those of the API, unless the configuration
// describes these itself.
func scopes(configured []provider.Scope) []provider.Scope {
	list := slices.Clone(configured)
	for _, own := range notesScopes {
		if !slices.ContainsFunc(configured, func(s provider.Scope) bool { return s.Name == own.Name }) {
			list = append(list, own)
		}
	}
	return list
}

func (c *composer) implicit(context.Context) error {
	c.serve(implicitSPA, implicit.New(implicit.Config{
		Issuer: c.at[op], ClientID: "implicit", APIURL: c.at[apiServer], HomeURL: c.at[home],
	}))
	return nil
}

func (c *composer) pkce(context.Context) error {
	c.serve(pkceSPA, pkce.New(pkce.Config{
		Issuer: c.at[op], ClientID: "pkce", APIURL: c.at[apiServer], HomeURL: c.at[home],
	}))
	return nil
}

func (c *composer) bff(context.Context) error {
	b, err := bff.New(bff.Config{
		Issuer: c.at[op], ClientID: "bff", ClientSecret: c.secrets.BFF,
		BaseURL: c.at[bffBackend], APIURL: c.at[apiServer], HomeURL: c.at[home],
		DBPath:     c.file("bff.db"),
		HTTPClient: c.httpClient(bffBackend),
		Logger:     c.logger(bffBackend),
	})
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	c.lab.opened(bffBackend, b.Close)
	c.serve(bffBackend, b)
	return nil
}

func (c *composer) frontendDriven(context.Context) error {
	app, err := frontenddriven.New(frontenddriven.Config{
		Issuer: c.at[op], ClientID: "frontenddriven", ClientSecret: c.secrets.FrontendDriven,
		FrontendURL: c.at[drivenSPA], BackendURL: c.at[drivenServer], APIURL: c.at[apiServer],
		Audience: c.drivenAudience(), HomeURL: c.at[home],
		DBPath:     c.file("frontenddriven.db"),
		HTTPClient: c.httpClient(drivenServer),
		Logger:     c.logger(drivenServer),
	})
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	c.lab.opened(drivenServer, app.Close)
	c.serve(drivenSPA, app.Frontend())
	c.serve(drivenServer, app.Backend())
	return nil
}

func (c *composer) api(context.Context) error {
	a, err := api.New(api.Config{
		BaseURL: c.at[apiServer], HomeURL: c.at[home],
		Issuers: []api.Issuer{
			{URL: c.at[op], Audience: c.at[apiServer]},
			// The application's users are the provider's: one list of notes each.
			{URL: c.at[drivenServer], Audience: c.drivenAudience(), JWKSURL: c.at[drivenServer] + "/jwks", SubjectsOf: c.at[op]},
		},
		AllowedOrigins: []string{c.at[implicitSPA], c.at[pkceSPA], c.at[drivenSPA]},
		DBPath:         c.file("api.db"),
		HTTPClient:     c.httpClient(apiServer),
		Logger:         c.logger(apiServer),
	})
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	c.lab.opened(apiServer, a.Close)
	c.serve(apiServer, a)
	return nil
}
