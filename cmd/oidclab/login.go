package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/clients/native"
)

type loginOptions struct {
	cfg       native.Config
	scope     string
	save      string
	noBrowser bool
	device    bool
}

func (a *app) newLogin() *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in from the command line",
		Long: "Sign in from the command line through the browser (RFC 8252), at the lab's provider or any other.\n" +
			"The client must be public and have the redirect URI http://127.0.0.1/callback, any port. With\n" +
			"--device the browser may be on another machine (RFC 8628), and the client needs that grant.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			o.cfg.Scopes = strings.Fields(o.scope)
			o.cfg.Out, o.cfg.Logger = cmd.ErrOrStderr(), a.logger
			if !o.noBrowser {
				o.cfg.Open = native.OpenBrowser
			}
			return o.login(ctx, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.cfg.Issuer, "issuer", "http://op.lab.localhost:8080", "sign in at this provider's `URL`")
	flags.StringVar(&o.cfg.ClientID, "client-id", "native", "as this client")
	flags.StringVar(&o.scope, "scope", "openid profile email offline_access", "ask for these scopes")
	flags.StringVar(&o.cfg.Via, "via", "", "sign in through the frontend-driven backend at this `URL` instead: it decides issuer, client and scope")
	flags.StringVar(&o.save, "save", "", "save the tokens to this `FILE`, readable by you only")
	flags.BoolVar(&o.device, "device", false, "print a code to type in at the provider, in a browser on any machine")
	flags.BoolVar(&o.noBrowser, "no-browser", false, "print the URL instead of opening the browser")
	flags.DurationVar(&o.cfg.Timeout, "timeout", 5*time.Minute, "give up after this time")
	flags.BoolVar(&o.cfg.InsecureHTTP, "insecure-http", false, "allow http to other machines")
	return cmd
}

// login signs a person in and tells out who it is.
func (o *loginOptions) login(ctx context.Context, out io.Writer) (err error) {
	if o.save != "" { // before the person signs in, not after
		if err := native.CheckSave(o.save); err != nil {
			return err
		}
	}
	if o.cfg.RootCAs, err = trustedFor(cmp.Or(o.cfg.Via, o.cfg.Issuer)); err != nil {
		return err
	}
	login := native.Login
	if o.device {
		login = native.LoginOnDevice
	}
	result, err := login(ctx, o.cfg)
	if errors.Is(err, context.Canceled) {
		return errors.New("stopped before anybody signed in")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; %s", err, trustHint)
	}
	if err != nil {
		return err
	}
	if o.save != "" {
		if err := native.Save(o.save, result); err != nil {
			return err
		}
	}
	return printLogin(out, result, o.save)
}

// printLogin tells who signed in, never the tokens.
func printLogin(w io.Writer, r *native.Result, saved string) error {
	fmt.Fprintf(w, "Signed in as %s.\n\n", printable(r.Name()))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  issuer\t%s\n", printable(r.Issuer))
	if r.Via != "" {
		fmt.Fprintf(table, "  via\t%s\n", printable(r.Via))
	}
	fmt.Fprintf(table, "  client_id\t%s\n", printable(r.ClientID))
	fmt.Fprintf(table, "  sub\t%s\n", printable(r.Subject))
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		if !protocolClaims[name] {
			fmt.Fprintf(table, "  %s\t%s\n", printable(name), claimText(r.Claims[name]))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nGot an access token%s.\n", lifetime(r.Tokens))
	if saved != "" {
		_, err := fmt.Fprintf(w, "Saved to %s.\n", saved)
		return err
	}
	return nil
}

// protocolClaims are about the ID token rather than the person, or printed
// already.
var protocolClaims = map[string]bool{
	"iss": true, "sub": true, "aud": true, "azp": true, "exp": true, "iat": true, "nbf": true, "auth_time": true,
	"nonce": true, "at_hash": true, "c_hash": true, "s_hash": true, "jti": true, "sid": true, "rat": true, "acr": true, "amr": true,
}

func lifetime(t native.Tokens) string {
	text := ""
	if !t.Expiry.IsZero() {
		text = " for " + time.Until(t.Expiry).Round(time.Second).String()
	}
	if t.Refresh != "" {
		text += ", and a refresh token"
	}
	return text
}

func claimText(v any) string {
	if s, ok := v.(string); ok {
		return printable(s)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return printable(string(data))
}

// printable quotes what could move the terminal's cursor: it comes from
// outside.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
