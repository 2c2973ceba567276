package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oidclab/oidclab/provider"
)

// shutdownTime is how long requests under way may take at the end.
const shutdownTime = 3 * time.Second

// Serve serves until ctx is done, lets the requests under way end, and returns
// nil. If a listener fails, it stops the others and returns the error. It can
// be called once.
func (l *Lab) Serve(ctx context.Context) error {
	group, groupContext := errgroup.WithContext(ctx)
	for _, s := range l.servers() {
		group.Go(func() error {
			if err := s.listen(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("lab: serve %s: %w", s.party.Origin, err)
			}
			return nil
		})
		group.Go(func() error {
			<-groupContext.Done()
			return l.shutdown(context.WithoutCancel(ctx), s.Server)
		})
	}
	return group.Wait()
}

// server serves one listener: that of a party, or in layout "hosts" of all.
type server struct {
	*http.Server
	party Party
}

// listen serves until the server is shut down. Who speaks plain http to a
// server with TLS is told so, with status 400, by net/http.
func (s server) listen() error {
	if s.TLSConfig != nil {
		return s.ServeTLS(s.party.listener, "", "") // the certificate is in the configuration
	}
	return s.Serve(s.party.listener)
}

func (l *Lab) servers() []server {
	if l.dispatch != nil {
		return []server{{provider.NewServer(l.dispatch, l.tls, l.log), l.parties[0]}}
	}
	var list []server
	for _, p := range l.parties {
		list = append(list, server{provider.NewServer(l.handlers[p.Name], l.tls, l.log), p})
	}
	return list
}

func (l *Lab) shutdown(ctx context.Context, s *http.Server) error {
	bounded, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	err := s.Shutdown(bounded)
	if errors.Is(err, context.DeadlineExceeded) {
		l.log.WarnContext(ctx, "closed requests that took too long", "after", shutdownTime)
		return s.Close()
	}
	return err
}
