package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/clients/load"
)

type benchOptions struct {
	cfg      load.Config
	scope    string
	only     []string
	ca       string
	insecure bool
}

func newBench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a provider is",
		Long: "Measure how fast a provider is, ours or any other with a login form: whole flows with code\n" +
			"and PKCE, each with a login of its own and an ID token that is verified.\n\n" +
			"The defaults fit \"oidclab serve --config testdata/bench.yaml\".",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			if err := o.prepare(); err != nil {
				return err
			}
			o.cfg.Progress, o.cfg.Terminal = cmd.ErrOrStderr(), isTerminal(os.Stderr)
			report, err := load.Run(ctx, o.cfg)
			if err != nil {
				return err
			}
			if err := report.WriteTable(cmd.OutOrStdout()); err != nil {
				return err
			}
			if n := report.Failed(); n > 0 {
				return fmt.Errorf("%d operations failed", n)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.cfg.Issuer, "issuer", "http://localhost:8080", "measure the provider at this `URL`")
	flags.StringVar(&o.cfg.ClientID, "client-id", "bench", "as this client")
	flags.StringVar(&o.cfg.ClientSecret, "client-secret", "bench-secret-bench-secret-bench-secret", "the client's secret")
	flags.StringVar(&o.cfg.AuthMethod, "client-auth", load.AuthBasic, "the client authenticates by basic, post or none")
	flags.StringVar(&o.cfg.RedirectURI, "redirect-uri", "http://localhost:3000/callback", "a redirect `URI` of the client; nothing needs to listen there")
	flags.StringVar(&o.cfg.Username, "username", "alice", "sign in as this user")
	flags.StringVar(&o.cfg.Password, "password", "alice", "the user's password")
	flags.StringVar(&o.scope, "scope", "openid offline_access", "ask for these scopes")
	flags.DurationVar(&o.cfg.Duration, "duration", 10*time.Second, "run each operation for this time")
	flags.IntVar(&o.cfg.Flows, "flows", 0, "run this many flows instead")
	flags.DurationVar(&o.cfg.Warmup, "warmup", time.Second, "run each operation for this time before it is measured")
	flags.IntVar(&o.cfg.Concurrency, "concurrency", 16, "run this many flows at once")
	flags.DurationVar(&o.cfg.Timeout, "timeout", 10*time.Second, "count an exchange as failed after this time")
	flags.IntVar(&o.cfg.ServerPID, "server-pid", 0, "read the CPU time and memory of the server with this process `ID` (Linux)")
	flags.StringVar(&o.ca, "ca", "", "believe servers that the authorities in this PEM `FILE` certify")
	flags.BoolVar(&o.insecure, "insecure", false, "believe every server, whatever its certificate")
	return cmd
}

// prepare completes the configuration from the flags.
func (o *benchOptions) prepare() error {
	o.cfg.Scopes = strings.Fields(o.scope)
	if o.cfg.ServerPID != 0 {
		if err := load.CheckServer(o.cfg.ServerPID); err != nil {
			return fmt.Errorf("--server-pid: %w", err)
		}
	}
	roots, err := o.roots()
	if err != nil {
		return err
	}
	o.cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.insecure} //nolint:gosec // the person said --insecure
	return nil
}

func (o *benchOptions) roots() (*x509.CertPool, error) {
	if o.ca == "" {
		return trustedFor(o.cfg.Issuer)
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca: %s: %w", o.ca, errors.New("it has no certificate in PEM form"))
	}
	return roots, nil
}

// isTerminal reports whether a person sees what is written there.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
