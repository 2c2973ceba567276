package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/localtls"
)

// tlsOptions say whether to serve https, and with whose certificate.
type tlsOptions struct {
	local     bool
	cert, key string
}

func (o *tlsOptions) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.local, "tls", false, "serve https, certified by a local CA that is made once and kept")
	flags.StringVar(&o.cert, "tls-cert", "", "serve https with the certificate in this PEM `FILE`")
	flags.StringVar(&o.key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
}

// fill takes the file's settings if neither a flag nor the environment gave any:
// together they say one thing.
func (o *tlsOptions) fill(given func(name string) bool, file *provider.File) {
	if !given("tls") && !given("tls-cert") && !given("tls-key") {
		*o = tlsOptions{file.TLS, file.TLSCert, file.TLSKey}
	}
}

func (o *tlsOptions) on() bool { return o.local || o.cert != "" || o.key != "" }

func (o *tlsOptions) scheme() string {
	if o.on() {
		return "https"
	}
	return "http"
}

// check refuses what says two things, or half of one.
func (o *tlsOptions) check() error {
	switch {
	case o.local && (o.cert != "" || o.key != ""):
		return errors.New("--tls is for a certificate of the local CA, --tls-cert and --tls-key for one of your own: choose one")
	case o.cert != "" && o.key == "":
		return errors.New("--tls-cert needs the certificate's private key in --tls-key")
	case o.key != "" && o.cert == "":
		return errors.New("--tls-key needs the certificate that it belongs to in --tls-cert")
	}
	return nil
}

// security is what the options come to.
type security struct {
	server *tls.Config       // nil: plain http
	own    *x509.Certificate // that of the server
	ca     string            // the local CA's file, if it certified the server
	// roots are whom our own calls believe, nil for the system's.
	roots func() *x509.CertPool
}

// secure reads or makes the certificate. hosts are the names under which clients
// look for the server, extra those that a local certificate has beside them.
func (a *app) secure(ctx context.Context, o *tlsOptions, hosts, extra []string) (*security, error) {
	s := &security{}
	var cert tls.Certificate
	var err error
	switch {
	case o.local:
		cert, s.ca, err = o.issue(append(hosts, extra...))
	case o.on():
		cert, err = o.read()
	}
	if err != nil {
		return nil, err
	}
	s.roots, err = trustedLater()
	switch {
	case err != nil && !o.on(): // it may never be needed
		a.logger.WarnContext(ctx, "calls to https servers believe the system's CAs only", "reason", err.Error())
		return s, nil
	case err != nil:
		return nil, err
	case !o.on():
		return s, nil
	}
	s.server, s.own = localtls.ServerConfig(cert), cert.Leaf
	if !o.local {
		others := s.roots
		s.roots = sync.OnceValue(func() *x509.CertPool {
			roots := others()
			roots.AddCert(s.own) // whoever signed it
			return roots
		})
	}
	return s, nil
}

// issue lets the local CA certify hosts.
func (o *tlsOptions) issue(hosts []string) (cert tls.Certificate, file string, err error) {
	dir, err := caDir()
	if err != nil {
		return cert, "", fmt.Errorf("no place for the local CA: %w; set XDG_STATE_HOME, or bring a certificate with --tls-cert and --tls-key", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return cert, "", fmt.Errorf("no place for the local CA: %s: %w; set XDG_STATE_HOME, or bring a certificate with --tls-cert and --tls-key", filepath.Dir(dir), pathReason(err))
	}
	ca, err := localtls.Open(dir)
	if err != nil {
		return cert, "", err
	}
	cert, err = ca.Issue(hosts)
	if errors.Is(err, localtls.ErrNotLocal) {
		err = fmt.Errorf("%w; bring a certificate with --tls-cert and --tls-key", err)
	}
	return cert, ca.File, err
}

// read reads the person's own certificate and key.
func (o *tlsOptions) read() (cert tls.Certificate, err error) {
	var text [2][]byte
	for i, path := range []string{o.cert, o.key} {
		if text[i], err = os.ReadFile(path); err != nil {
			return cert, fmt.Errorf("%s %s: %w", []string{"--tls-cert", "--tls-key"}[i], path, pathReason(err))
		}
	}
	if cert, err = tls.X509KeyPair(text[0], text[1]); err != nil {
		return cert, fmt.Errorf("--tls-cert %s with --tls-key %s: %s", o.cert, o.key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return cert, nil
}

// refusedFor says why clients that look for hosts will refuse the certificate.
func (s *security) refusedFor(hosts []string) error {
	if s.own == nil {
		return nil
	}
	if now := time.Now(); now.Before(s.own.NotBefore) || now.After(s.own.NotAfter) {
		return fmt.Errorf("the certificate is good from %s to %s only", s.own.NotBefore.Format(time.DateOnly), s.own.NotAfter.Format(time.DateOnly))
	}
	var missing []string
	for _, host := range hosts {
		if s.own.VerifyHostname(host) != nil {
			missing = append(missing, host)
		}
	}
	if missing != nil {
		return fmt.Errorf("the certificate is not for %s", strings.Join(missing, ", "))
	}
	return nil
}

// checkSelf returns the question whether our own provider serves at addr, which
// may be "" where the issuer says it. Whatever stands in front is left aside.
func (s *security) checkSelf(issuer, addr string) func(context.Context) error {
	_, rest, _ := strings.Cut(issuer, "://")
	base := "http://" + rest
	if s.server != nil {
		base = "https://" + rest
	}
	return func(ctx context.Context) error { return checkReady(ctx, base, dialLocal(addr), s.self()) }
}

// self is the configuration of a client that asks our own server: it believes
// the very certificate, whatever others think of it.
func (s *security) self() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if s.own == nil || !state.PeerCertificates[0].Equal(s.own) {
				return errors.New("another server answers")
			}
			return nil
		},
	}
}

// greet tells a person how browsers come to believe the local CA.
func (s *security) greet(w io.Writer) {
	if s.ca != "" {
		fmt.Fprintf(w, "\nThe local CA signed the certificate. Import it once into your browser, as an authority for\nwebsites; curl takes it with --cacert, other programs in SSL_CERT_FILE:\n\n  %s\n", s.ca)
	}
}

// trustHint is the way out for who does not believe a server's certificate.
const trustHint = "SSL_CERT_FILE can name a file with the CAs to believe"

// caDir is where the local CA is kept: in one place, whatever --data says, so
// that it is trusted once.
func caDir() (string, error) {
	dir, err := stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "ca"), nil
}

// trusted are the authorities that our own calls believe.
func trusted() (*x509.CertPool, error) {
	roots, err := trustedLater()
	if err != nil {
		return nil, err
	}
	return roots(), nil
}

// trustedLater are the same, read at the first call.
func trustedLater() (func() *x509.CertPool, error) {
	dir, err := caDir()
	if err != nil {
		dir = "" // no place, so no local CA
	}
	return localtls.LateRoots(dir)
}

// trustedFor is trusted for calls to a URL: nil, the system's, where no
// certificate plays a part.
func trustedFor(url string) (*x509.CertPool, error) {
	if !strings.HasPrefix(url, "https:") {
		return nil, nil //nolint:nilnil // nobody is asked
	}
	return trusted()
}

// thisMachine is what this machine is called beside the hosts of URLs, and the
// host to listen on if the local CA can certify it.
func thisMachine(listen string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(listen); err == nil && localtls.IsLocal(host) {
		names = append(names, host)
	}
	return names
}
