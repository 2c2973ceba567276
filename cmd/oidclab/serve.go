package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider"
)

const defaultListen = "127.0.0.1:8080"

type serveOptions struct {
	listen  string
	issuer  string
	config  string
	explain bool
	store   storeOptions
	tls     tlsOptions
	control controlOptions
	ready   ready
	// noRegistration turns dynamic registration off.
	noRegistration bool
}

func (a *app) newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the provider alone",
		Long: "Run the provider alone, until Ctrl-C. Without --config it knows the users alice and bob,\n" +
			"whose passwords are their names, and one client for \"oidclab login\".",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			if err := o.ready.forget(); err != nil {
				return err
			}
			file, err := readConfig(o.config)
			if err != nil {
				return err
			}
			o.fill(cmd, file)
			if err := o.check(); err != nil {
				return err
			}
			return a.serve(ctx, &o, file, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", defaultListen, "listen on this `ADDRESS`; port 0 takes a free one")
	flags.StringVar(&o.issuer, "issuer", "", "the provider's `URL` (default http://localhost:PORT, or https)")
	flags.StringVar(&o.config, "config", "", "read users, clients and scopes from this YAML or JSON `FILE`")
	o.store.flags(cmd, "keep the state in this `DIR` (default: forget it at the end)")
	flags.BoolVar(&o.explain, "explain", false, "say in error answers which check failed")
	flags.BoolVar(&o.noRegistration, "no-registration", false, "let no client register itself")
	o.tls.flags(flags)
	o.control.flags(flags)
	o.ready.flags(flags)
	return cmd
}

// fill takes from the file what neither a flag nor the environment gave.
func (o *serveOptions) fill(cmd *cobra.Command, file *provider.File) {
	given := cmd.Flags().Changed
	if file.Listen != "" && !given("listen") {
		o.listen = file.Listen
	}
	if file.Issuer != "" && !given("issuer") {
		o.issuer = file.Issuer
	}
	if file.Explain != nil && !given("explain") {
		o.explain = *file.Explain
	}
	if on := file.Registration.Enabled; on != nil && !given("no-registration") {
		o.noRegistration = !*on
	}
	o.store.fill(given, file)
	o.tls.fill(given, file)
}

// check refuses options that contradict each other.
func (o *serveOptions) check() error {
	if o.store.url != "" && o.store.dir != "" {
		return errors.New("--data and --store both say where the provider's state is; \"serve\" keeps nothing else, so leave one of them out")
	}
	return firstError(o.store.checkURL(), o.tls.check())
}

// serve runs the provider until ctx is done.
func (a *app) serve(ctx context.Context, o *serveOptions, file *provider.File, out io.Writer) (err error) {
	relaxCollector()
	// 1. The address comes first: the issuer may follow from its port.
	ln, err := a.listen(ctx, o.listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	issuer := o.issuer
	if issuer == "" {
		issuer = issuerAt(o.tls.scheme(), ln.Addr(), o.listen)
	}

	// 2. The certificate, which is for the issuer's host, and the control plane.
	secure, err := a.secureServe(ctx, o, issuer)
	if err != nil {
		return err
	}
	control, err := a.openControl(ctx, &o.control, secure.server)
	if err != nil {
		return err
	}
	defer control.close()

	// 3. The store.
	store, closeStore, err := a.openStore(ctx, &o.store)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, closeStore()) }()

	// 4. The provider.
	cfg := file.Config()
	cfg.Issuer, cfg.Store, cfg.RootCAs, cfg.Explain, cfg.Logger = issuer, store, secure.roots, o.explain, a.logger
	enabled := !o.noRegistration
	cfg.Registration.Enabled = &enabled
	if file.Clients == nil {
		cfg.Clients = []provider.Client{lab.NativeClient()}
	}
	op, err := provider.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, op.Close()) }()

	// 5. Serve, and say so once it is true.
	line := readyLine{Issuer: issuer, Port: portOf(ln.Addr()), CA: secure.ca, Control: control.address(), Store: o.store.name(), Durability: o.store.keeping()}
	return o.ready.run(ctx,
		control.beside(a, func(ctx context.Context) error { return a.serveUntil(ctx, ln, secure.server, op) }, op.Control),
		func(ctx context.Context) error {
			return o.ready.announce(ctx, out, line, secure.checkSelf(issuer, ln.Addr().String()), func(w io.Writer) error { return o.greet(w, &cfg, secure, control) })
		})
}

// secureServe gets the certificate for the issuer's host and what else this
// machine may be called.
func (a *app) secureServe(ctx context.Context, o *serveOptions, issuer string) (*security, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Hostname() == "" {
		return a.secure(ctx, &o.tls, nil, nil) // provider.New says what is wrong with it
	}
	if o.tls.on() && u.Scheme == "http" {
		return nil, fmt.Errorf("issuer %s: with a certificate, the issuer's URL begins with https", issuer)
	}
	hosts := []string{u.Hostname()}
	secure, err := a.secure(ctx, &o.tls, hosts, thisMachine(o.listen))
	if err != nil {
		return nil, err
	}
	if err := secure.refusedFor(hosts); err != nil { // not an error: a proxy in front may not mind
		a.logger.WarnContext(ctx, "clients will refuse the connection", "reason", err.Error())
	}
	return secure, nil
}

// greet tells a person where things are.
func (o *serveOptions) greet(w io.Writer, cfg *provider.Config, secure *security, control *controlListener) error {
	var clients []string
	for _, c := range cfg.Clients {
		clients = append(clients, c.ID)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "The provider is running. It is not for production.\n\n")
	fmt.Fprintf(table, "  issuer\t%s\n", cfg.Issuer)
	fmt.Fprintf(table, "  discovery\t%s/.well-known/openid-configuration\n", cfg.Issuer)
	fmt.Fprintf(table, "  clients\t%s\n", strings.Join(clients, ", "))
	fmt.Fprintf(table, "  users\t%s\n", userList(cfg.Users))
	fmt.Fprintf(table, "  registration\t%s\n", registrationText(&cfg.Registration))
	o.store.greet(table)
	control.greet(table)
	secure.greet(table)
	fmt.Fprintf(table, "\nCtrl-C stops it.\n")
	return table.Flush()
}

// registrationText says who may register clients.
func registrationText(r *provider.Registration) string {
	switch {
	case !r.On():
		return "off"
	case r.InitialAccessToken != "":
		return "with the initial access token"
	default:
		return "by everybody who can reach the provider; --no-registration turns it off"
	}
}

// userList names the users. Only the passwords of those that exist without
// configuration are told: they are public anyway.
func userList(users []provider.User) string {
	if len(users) == 0 {
		return "alice, bob (their passwords are their names)"
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Username)
	}
	return strings.Join(names, ", ")
}

// firstError is the error to report when cleaning up failed, too.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
