package provider

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns an HTTP server that bounds how long a request may take to come
// and its answer to go: whoever is slower holds a connection, and what serves it,
// for nothing. config is for https, nil for http.
func NewServer(handler http.Handler, config *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		TLSConfig:         config.Clone(), // nil stays nil
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
