// Package localtls makes https work on one machine. A certificate authority of
// its own, which a person trusts once, signs the servers' certificates.
//
// The authority is made at the first use and kept in a directory:
//
//	oidclab-ca.pem      its certificate, to be trusted
//	oidclab-ca-key.pem  its private key, for the owner only
//
// Trusting it costs little: by its name constraints it can certify localhost,
// the names below it and loopback addresses, and nothing else (RFC 5280
// §4.2.1.10). A certificate that it signs is made at each start and never kept.
//
// # Reading order
//
//	ca.go      the authority: read, or made if there is none
//	issue.go   certificates for servers
//	server.go  what a server offers: versions, cipher suites, protocols
//	roots.go   whom a client believes
//	client.go  a client that reads them when it needs them
package localtls
