package provider

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// maxStreams is how many requests of one HTTP/2 connection may be under way: no
// fewer than RFC 9113 §6.5.2 recommends, and a part of those that the provider
// has under way.
const maxStreams = 100

// NewServer returns an HTTP server that bounds how long a request may take to come
// and its answer to go: whoever is slower holds a connection, and what serves it,
// for nothing. config is for https, nil for http.
//
// It does not bound how many connections there are. Who found none free would hear
// nothing, while on a connection there is an answer that says when to come again,
// and health checks have theirs. The operating system bounds open files.
func NewServer(handler http.Handler, config *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		TLSConfig:         config.Clone(), // nil stays nil
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
