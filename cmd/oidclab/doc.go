// Command oidclab runs an OpenID Provider, or a whole laboratory of clients
// around one, on this machine.
//
//	oidclab up           the laboratory: provider, clients, resource server
//	oidclab serve        the provider alone
//	oidclab login        sign in from the command line
//	oidclab bench        measure how fast a provider is
//	oidclab keys         list or rotate the signing keys of a running provider
//	oidclab db           check, count, compact or dump the embedded store's file
//	oidclab healthcheck  ask whether a provider is ready
//	oidclab version
//	oidclab completion   for bash, zsh, fish and PowerShell
//
// Every flag can also be set as an environment variable: --log-level as
// OIDCLAB_LOG_LEVEL. A flag comes before the variable, the variable before the
// configuration file, the file before the default. Calls to https servers
// believe the system's CAs, those in the file SSL_CERT_FILE, and the local CA of
// --tls. Every failure is one line on standard error and exit status 1.
//
// # Reading order
//
//	root.go      the command, logging, environment variables
//	up.go, serve.go, login.go, bench.go, keys.go, db.go, healthcheck.go, version.go   one command each
//	listen.go    the listener and the HTTP server's end
//	tls.go       https: the certificate, and whom our own calls believe
//	control.go   the control plane, and how commands reach it
//	ready.go     how scripts learn that it serves
//	store.go     the store: where it is, and what may become of it
//	data.go      the data directory
package main
