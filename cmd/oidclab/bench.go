package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/clients/load"
)

type benchOptions struct {
	cfg      load.Config
	scope    string
	only     []string
	json     bool
	ca       string
	insecure bool
}

func newBench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a provider is",
		Long: "Measure how fast a provider is, ours or any other with a login form: whole flows with code\n" +
			"and PKCE, each with a login of its own and an ID token that is verified, refreshes, client\n" +
			"credentials and introspections. What this machine can do at best is measured in the same run,\n" +
			"and the figures are told as ratios to it, too.\n\n" +
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
				return whatToDo(err)
			}
			return o.print(cmd.OutOrStdout(), report)
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
	flags.StringSliceVar(&o.only, "only", nil, "measure these only, of flows, refresh, client-credentials and introspection (default: what the provider offers)")
	flags.DurationVar(&o.cfg.Duration, "duration", 10*time.Second, "run each operation for this time")
	flags.IntVar(&o.cfg.Flows, "flows", 0, "run this many flows, however long it takes")
	flags.DurationVar(&o.cfg.Warmup, "warmup", time.Second, "run each operation for this time before it is measured")
	flags.IntVar(&o.cfg.Concurrency, "concurrency", 16, "run this many flows at once")
	flags.IntVar(&o.cfg.TokenConcurrency, "token-concurrency", 64, "run this many of the other operations at once")
	flags.DurationVar(&o.cfg.Timeout, "timeout", 10*time.Second, "count an exchange as failed after this time; an operation ends where nothing has succeeded for as long")
	flags.IntVar(&o.cfg.ServerPID, "server-pid", 0, "read the CPU time and memory of the server with this process `ID` (Linux)")
	flags.DurationVar(&o.cfg.LimitTime, "limit-time", 400*time.Millisecond, "measure each limit of this machine for this time")
	flags.StringVar(&o.cfg.Dir, "dir", "", "measure a synced write in this `DIR` (default: the one for temporary files)")
	flags.DurationVar(&o.cfg.ProgressEvery, "progress", 5*time.Second, "tell how far it is so often; on a terminal it is told twice a second")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.StringVar(&o.ca, "ca", "", "believe servers that the authorities in this PEM `FILE` certify")
	flags.BoolVar(&o.insecure, "insecure", false, "believe every server, whatever its certificate")
	completes(cmd, "client-auth", load.AuthBasic, load.AuthPost, load.AuthNone)
	return cmd
}

// flagOf is the flag for a field of the configuration.
var flagOf = map[string]string{
	"Issuer": "issuer", "ClientID": "client-id", "AuthMethod": "client-auth", "RedirectURI": "redirect-uri", "Username": "username",
	"Scopes": "scope", "Operations": "only", "Flows": "flows", "Duration": "duration", "Warmup": "warmup", "Timeout": "timeout",
	"LimitTime": "limit-time", "ProgressEvery": "progress", "Concurrency": "concurrency", "TokenConcurrency": "token-concurrency",
}

// whatToDo names the flag that an error is about, or that helps.
func whatToDo(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; name the authority with --ca, or believe any certificate with --insecure", err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w; does it speak http?", err)
	}
	if wrong, ok := errors.AsType[*load.ConfigError](err); ok {
		return fmt.Errorf("--%s %s", flagOf[wrong.Field], wrong.Problem)
	}
	return err
}

// print tells what was measured, and whether all went well.
func (o *benchOptions) print(w io.Writer, report *load.Report) error {
	if o.json {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return err
		}
	} else if err := report.WriteTable(w); err != nil {
		return err
	}
	switch failed := report.Failed(); {
	case failed > 0:
		return fmt.Errorf("%d of %d operations failed", failed, failed+report.Done())
	case report.Stopped:
		return errors.New("stopped before the end")
	}
	return nil
}

// prepare completes the configuration from the flags.
func (o *benchOptions) prepare() error {
	o.cfg.Scopes = strings.Fields(o.scope)
	for _, name := range o.only {
		if operation := load.Operation(name); !slices.Contains(o.cfg.Operations, operation) {
			o.cfg.Operations = append(o.cfg.Operations, operation)
		}
	}
	// The server is probably on this machine, and needs the rest of it: use half of
	// the processors, and memory rather than time, unless Go's own variables say else.
	if os.Getenv("GOMAXPROCS") == "" {
		o.cfg.Processors = max(1, runtime.NumCPU()/2)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
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
