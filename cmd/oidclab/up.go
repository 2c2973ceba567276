package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
)

type upOptions struct {
	listen string
	layout string
	opHost string
	config string
	store  storeOptions
	fresh  bool
	// noRegistration turns dynamic registration off.
	noRegistration bool
	tls            tlsOptions
	ready          ready
	// control says where commands are taken.
	control controlOptions
}

func (a *app) newUp() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the lab: the provider, the reference clients and their resource server",
		Long: "Run the lab, until Ctrl-C: the provider, the reference clients and their resource server.\n" +
			"Then open the address that it prints. What happened is kept for the next time.",
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
			if err := o.fill(cmd, file); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return a.up(ctx, &o, file, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", defaultListen, "listen on this `ADDRESS`; port 0 takes a free one")
	flags.StringVar(&o.layout, "layout", string(lab.Hosts), "tell the parties apart by \"hosts\" on one port, or by \"ports\" on localhost")
	flags.StringVar(&o.opHost, "op-host", "", "the provider's host `NAME`, to put it on another site: op.idp.localhost (default op.lab.localhost)")
	flags.StringVar(&o.config, "config", "", "read users, more clients and scopes from this YAML or JSON `FILE`")
	o.store.flags(cmd, "keep the state in this `DIR` (default: oidclab in your state directory)")
	flags.BoolVar(&o.fresh, "fresh", false, "forget the state first, but not the local CA")
	flags.BoolVar(&o.noRegistration, "no-registration", false, "let no client register itself")
	o.tls.flags(flags)
	o.control.flags(flags)
	o.ready.flags(flags)
	completes(cmd, "layout", string(lab.Hosts), string(lab.Ports))
	return cmd
}

// fill takes from the file what neither a flag nor the environment gave.
func (o *upOptions) fill(cmd *cobra.Command, file *provider.File) error {
	if file.Issuer != "" {
		return fmt.Errorf("%s: issuer: the lab's provider has its own; move it with --op-host", o.config)
	}
	given := cmd.Flags().Changed
	if file.Listen != "" && !given("listen") {
		o.listen = file.Listen
	}
	o.tls.fill(given, file)
	if enabled := !o.noRegistration; given("no-registration") {
		file.Registration.Enabled = &enabled
	}
	o.store.fill(given, file)
	if o.store.dir == "" {
		var err error
		if o.store.dir, err = stateDir(); err != nil {
			return fmt.Errorf("no place for the data: %w; choose one with --data", err)
		}
	}
	return nil
}

// check refuses options that contradict each other.
func (o *upOptions) check() error {
	if o.fresh && o.store.url != "" {
		return errors.New("--fresh forgets what is in the data directory only, and with --store the provider's state is not there; start clean with another schema or database")
	}
	return firstError(o.store.checkURL(), o.tls.check())
}

// up runs the lab until ctx is done.
func (a *app) up(ctx context.Context, o *upOptions, file *provider.File, out io.Writer) (err error) {
	relaxCollector()
	// 1. The address comes first: every party's URL follows from its port.
	ln, err := a.listen(ctx, o.listen)
	if err != nil {
		return err
	}
	defer ln.Close()

	// 2. The certificate, which is for all parties' hosts, and the control plane.
	if err := lab.CheckLayout(lab.Layout(o.layout), o.opHost); err != nil {
		return labError(o.store.dir, err)
	}
	secure, err := a.secureUp(ctx, o)
	if err != nil {
		return err
	}
	control, err := a.openControl(ctx, &o.control, secure.server)
	if err != nil {
		return err
	}
	defer control.close()

	// 3. The directory. What could fail before must not cost anybody their state.
	if err := makeDir(o.store.dir); err != nil {
		return err
	}
	if o.fresh {
		if err := a.clearDir(&o.store); err != nil {
			return err
		}
	}

	// 4. The provider's store, if it is not in the directory.
	store, closeStore, err := a.openDatabase(ctx, &o.store)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, closeStore()) }()

	// 5. The parties.
	cfg := file.Config()
	cfg.Explain = file.Explain == nil || *file.Explain // it is for learning
	_, port, _ := net.SplitHostPort(o.listen)
	l, err := lab.New(ctx, lab.Config{
		Listener: ln, Layout: lab.Layout(o.layout), AnyPorts: port == "0" || port == "", OPHost: o.opHost, DataDir: o.store.dir, Store: store, NoSync: o.store.keeping() == provider.Ephemeral,
		TLS: secure.server, RootCAs: secure.roots, Provider: cfg, Logger: a.logger,
	})
	if err != nil {
		return labError(o.store.dir, err)
	}
	defer func() { err = firstError(err, l.Close()) }()

	// 6. Serve, and say so once it is true.
	line := readyLine{Issuer: l.Issuer(), Port: portOf(ln.Addr()), CA: secure.ca, Control: control.address(), Store: o.store.name(), Durability: o.store.keeping(), Home: l.HomeURL(), Parties: map[string]string{}}
	for _, p := range l.Parties() {
		line.Parties[p.Name] = p.Origin
	}
	addr := ln.Addr().String()
	if o.layout == string(lab.Ports) {
		addr = "" // the provider has a port of its own
	}
	return o.ready.run(ctx, control.beside(a, l.Serve, l.Provider().Control), func(ctx context.Context) error {
		return o.ready.announce(ctx, out, line, secure.checkSelf(l.Issuer(), addr), func(w io.Writer) error { return o.greet(w, l, file, secure, control) })
	})
}

// secureUp gets the certificate. One that lacks a party's name is refused: the
// parties call each other.
func (a *app) secureUp(ctx context.Context, o *upOptions) (*security, error) {
	hosts := lab.HostNames(lab.Layout(o.layout), o.opHost)
	secure, err := a.secure(ctx, &o.tls, hosts, thisMachine(o.listen))
	if err != nil {
		return nil, err
	}
	if err := secure.refusedFor(hosts); err != nil {
		return nil, fmt.Errorf("--tls-cert %s: %w", o.tls.cert, err)
	}
	return secure, nil
}

// labError names the directory if that is the reason.
func labError(dir string, err error) error {
	if _, isPath := errors.AsType[*fs.PathError](err); isPath || errors.Is(err, storage.ErrInUse) {
		return dataError(dir, err)
	}
	if isBroken(err) {
		return fmt.Errorf("cannot use the data directory %s: %w; start clean with --fresh, or choose another with --data", dir, err)
	}
	return err
}

// greet tells a person where to click.
func (o *upOptions) greet(w io.Writer, l *lab.Lab, file *provider.File, secure *security, control *controlListener) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "The lab is running. It is not for production. Open\n\n  %s\n\n", l.HomeURL())
	for _, p := range l.Parties()[1:] { // the first one is the home page
		fmt.Fprintf(table, "  %s\t%s\n", p.Name, p.Origin)
	}
	fmt.Fprintf(table, "\n  users\t%s\n", userList(file.Users))
	fmt.Fprintf(table, "  registration\t%s\n", registrationText(&file.Registration))
	o.store.greet(table)
	control.greet(table)
	secure.greet(table)
	fmt.Fprintf(table, "\nOn the command line: oidclab login --issuer %s\nCtrl-C stops it.\n", l.Issuer())
	return table.Flush()
}
