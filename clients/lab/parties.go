package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// Layout says how the parties are told apart.
type Layout string

const (
	// Hosts gives each party a host name of its own, all on one port.
	Hosts Layout = "hosts"
	// Ports gives each party a port of its own, all on localhost.
	Ports Layout = "ports"
)

// The names of the parties, as the recorder and the transcripts use them.
const (
	home         = "home"
	op           = "provider"
	implicitSPA  = "implicit"
	pkceSPA      = "pkce"
	bffBackend   = "bff"
	drivenSPA    = "frontenddriven"
	drivenServer = "frontenddriven-backend"
	apiServer    = "api"
)

const (
	defaultOPHost = "op.lab.localhost"
	site          = ".lab.localhost"
	homeHost      = "lab.localhost"
)

// Party is one of those that speak to each other.
type Party struct {
	Name   string // "provider", "bff", …
	Kind   string // its colour and shape: user, frontend, backend, provider or api
	Origin string // scheme, host and port, no slash at the end

	listener net.Listener
}

// place is a list of all parties, in the order of their ports.
func place(opHost string) []struct{ name, kind, host string } {
	return []struct{ name, kind, host string }{
		{home, "user", homeHost},
		{op, "provider", opHost},
		{implicitSPA, "frontend", "implicit" + site},
		{pkceSPA, "frontend", "pkce" + site},
		{bffBackend, "backend", "bff" + site},
		{drivenSPA, "frontend", "frontenddriven" + site},
		{drivenServer, "backend", "frontenddriven-backend" + site},
		{apiServer, "api", "api" + site},
	}
}

// parties gives each party its origin and, in layout "ports", its listener.
// The listeners that it opened are closed again if one cannot be.
func (cfg *Config) parties(ctx context.Context) ([]Party, error) {
	tcp, ok := cfg.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("lab: cannot serve on a %s address", cfg.Listener.Addr().Network())
	}
	var list []Party
	for i, p := range place(cfg.OPHost) {
		listener, host := cfg.Listener, p.host
		if cfg.Layout == Ports {
			host = "localhost"
			if i > 0 {
				var err error
				if listener, err = cfg.listenBeside(ctx, tcp, i); err != nil {
					return nil, errors.Join(err, closeListeners(list))
				}
			}
		}
		origin := cfg.scheme() + "://" + authority(cfg.scheme(), host, listener.Addr().(*net.TCPAddr).Port)
		list = append(list, Party{Name: p.name, Kind: p.kind, Origin: origin, listener: listener})
	}
	return list, nil
}

func (cfg *Config) scheme() string {
	if cfg.TLS != nil {
		return "https"
	}
	return "http"
}

// HostNames are the names that a certificate for the lab's parties must have.
func HostNames(layout Layout, opHost string) []string {
	if layout == Ports {
		return []string{"localhost"}
	}
	var list []string
	for _, p := range place(cmp.Or(opHost, defaultOPHost)) {
		list = append(list, p.host)
	}
	return list
}

// listenBeside opens the listener of the party number i, i ports above the first.
func (cfg *Config) listenBeside(ctx context.Context, first *net.TCPAddr, i int) (net.Listener, error) {
	port := 0
	if !cfg.AnyPorts {
		if port = first.Port + i; port > 65535 {
			return nil, fmt.Errorf("lab: layout %q needs the ports %d to %d, and the last port is 65535", Ports, first.Port, first.Port+len(place(""))-1)
		}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(first.IP.String(), strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("lab: layout %q needs the ports %d to %d, and %d is in use: %w", Ports, first.Port, first.Port+len(place(""))-1, port, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return listener, nil
}

// closeListeners closes all but the first, which is the caller's.
func closeListeners(list []Party) error {
	var errs []error
	for i, p := range list {
		if i > 0 && p.listener != list[0].listener {
			errs = append(errs, closeListener(p.listener))
		}
	}
	return errors.Join(errs...)
}

// closeListener closes a listener, unless Serve has done so already.
func closeListener(ln net.Listener) error {
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// authority is host and port as a browser writes them: the scheme's own port
// stays out.
func authority(scheme, host string, port int) string {
	if scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// checkOPHost refuses what no browser would find on this machine, and the
// name of another party.
func checkOPHost(host string) error {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || u.Port() != "" || strings.ToLower(host) != host ||
		!strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, ".") || strings.Contains(host, "..") {
		return fmt.Errorf("lab: the provider's host %q is no lower-case name below localhost, such as op.idp.localhost", host)
	}
	for _, p := range place(host) {
		if p.name != op && p.host == host {
			return fmt.Errorf("lab: the provider's host %q is the host of %s", host, p.name)
		}
	}
	return nil
}

// origins returns the origin of each party by its name.
func origins(list []Party) map[string]string {
	by := make(map[string]string, len(list))
	for _, p := range list {
		by[p.Name] = p.Origin
	}
	return by
}

// addresses maps the host and port of each party, as a client dials them, to
// where it listens: that may be one of this machine's addresses only, which no
// name would tell.
func addresses(list []Party) map[string]string {
	by := make(map[string]string, len(list))
	for _, p := range list {
		tcp := *p.listener.Addr().(*net.TCPAddr)
		if tcp.IP.IsUnspecified() {
			tcp.IP = net.IPv4(127, 0, 0, 1)
		}
		_, host, _ := strings.Cut(p.Origin, "://")
		host, _, _ = strings.Cut(host, ":")
		by[net.JoinHostPort(host, strconv.Itoa(tcp.Port))] = tcp.String()
	}
	return by
}
