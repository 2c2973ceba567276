package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oidclab/oidclab/provider"
)

// shutdownTime is how long requests under way may take at the end.
const shutdownTime = 3 * time.Second

// listen opens the listener, and warns if others can reach it.
func (a *app) listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		a.logger.WarnContext(ctx, "other machines can connect: oidclab is not for production", "listen", ln.Addr().String())
	}
	return ln, nil
}

// wsaAddrInUse is EADDRINUSE on Windows.
const wsaAddrInUse = syscall.Errno(10048)

func listenError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaAddrInUse) {
		return fmt.Errorf("cannot listen on %s: the port is in use; choose another with --listen 127.0.0.1:0", addr)
	}
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("cannot listen on %s: permission denied; choose a port above 1023 with --listen", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, reason(err))
}

// reason strips what the caller's sentence says already: "Get "http://…": dial
// tcp 127.0.0.1:8080: connect: connection refused" becomes its last part.
func reason(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("its certificate is refused: %w; %s", bad.Err, trustHint)
	}
	return err
}

// issuerAt is the issuer of a provider that listens at addr: "localhost" for
// this machine, since that is what browsers treat as secure over http, and what
// the local CA certifies.
func issuerAt(scheme string, addr net.Addr, listen string) string {
	host := "localhost"
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return scheme + "://" + addr.String()
	}
	if !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified() {
		host, _, _ = net.SplitHostPort(listen)
	}
	if tcp.Port == map[string]int{"http": 80, "https": 443}[scheme] { // which browsers leave out
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// serveUntil serves until ctx is done, then lets the requests under way end. It
// serves https if config is not nil; who speaks plain http then is told so, with
// status 400, by net/http.
func (a *app) serveUntil(ctx context.Context, ln net.Listener, config *tls.Config, handler http.Handler) error {
	server := provider.NewServer(handler, config, a.logger)
	served := make(chan error, 1)
	go func() {
		if config != nil {
			served <- server.ServeTLS(ln, "", "") // the certificate is in config
			return
		}
		served <- server.Serve(ln)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	a.logger.InfoContext(ctx, "shutting down", "listen", ln.Addr().String())
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		a.logger.WarnContext(ctx, "closed requests that took too long", "after", shutdownTime)
		return server.Close()
	}
	return nil
}
