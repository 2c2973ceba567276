package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newHealthcheck() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck [ISSUER]",
		Short: "Ask whether a provider is ready; the exit status answers",
		Long:  "Ask a provider whether it is ready, for containers and scripts. ISSUER is http://localhost:8080 unless given.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			issuer := "http://localhost:8080"
			if len(args) == 1 {
				issuer = args[0]
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			config, err := trusting(issuer)
			if err != nil {
				return err
			}
			if err := checkReady(ctx, issuer, dialLocal(""), config); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return err
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "give up after this time")
	return cmd
}

// dialFunc connects as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, target string) (net.Conn, error)

// oneRequest is a transport for a single request.
func oneRequest(dial dialFunc, config *tls.Config) *http.Transport {
	return &http.Transport{DialContext: dial, TLSClientConfig: config, DisableKeepAlives: true}
}

// trusting is the client's side of TLS for a URL.
func trusting(rawURL string) (*tls.Config, error) {
	roots, err := trustedFor(rawURL)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// checkReady asks the provider at base whether it serves.
func checkReady(ctx context.Context, base string, dial dialFunc, config *tls.Config) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no http or https URL", base)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("readyz").String(), nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: oneRequest(dial, config)}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", base, reason(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusBadRequest && u.Scheme == "http" {
		return fmt.Errorf("%s is not ready: status 400; does it speak https?", base)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: status %d", base, resp.StatusCode)
	}
	return nil
}

// dialLocal connects to addr if it is given, else to loopback for the names
// below localhost, which the system's resolver often does not know.
func dialLocal(addr string) dialFunc {
	var dialer net.Dialer
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		if addr != "" {
			return dialer.DialContext(ctx, network, addr)
		}
		if host, port, err := net.SplitHostPort(target); err == nil && strings.HasSuffix(host, ".localhost") {
			target = net.JoinHostPort("127.0.0.1", port)
		}
		return dialer.DialContext(ctx, network, target)
	}
}
