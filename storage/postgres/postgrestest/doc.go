// Package postgrestest gives tests a real PostgreSQL. It starts a server of its
// own in a temporary directory, on a Unix socket and as an unprivileged user,
// from whatever PostgreSQL is installed. OIDCLAB_POSTGRES may hold the URL of
// a server to use instead.
//
//	store, err := postgres.Open(t.Context(), postgrestest.URL(t), nil)
//
// The server ends with the test process, however that ends: it belongs to a
// shell that reads from the process's pipe, and stops it when the pipe breaks.
package postgrestest
