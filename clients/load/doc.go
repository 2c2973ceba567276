// Package load measures how fast an OpenID Provider is, any that has a login form:
// it does what browsers and clients do, many at once, and checks every answer.
//
// # A flow
//
//	step  from     to        what                                              section
//	1     client   itself    state, nonce and PKCE verifier, anew              RFC 6749 §10.12, RFC 7636 §4.1
//	2     browser  provider  GET the authorization request, follow redirects   RFC 6749 §4.1.1
//	      browser  provider  POST the login form, then the consent form if any
//	3     browser  client    code, state and iss at the redirect URI           RFC 6749 §4.1.2, RFC 9207
//	4     client   provider  POST the token request                            RFC 6749 §4.1.3, RFC 7636 §4.5
//	5     client   itself    verifies the ID token                             OIDC Core §3.1.3.7
//
// Every flow has a cookie jar of its own, so every one of them logs in. Discovery
// and the keys are read once for all. The other operations are one request each:
// refresh (RFC 6749 §6; its ID token is verified, too), client credentials (§4.4)
// and introspection (RFC 7662), whose answer must be "active".
//
// # Ratios
//
// A figure of one machine says little about another, or about the same one when
// others use it. So the run begins with what the machine can do at best (Limits),
// and each result is told as a ratio to that, too (Ratios).
//
// # Reading order
//
//	load.go      Config and Run; config.go: what of it cannot be run
//	flow.go      one flow: the steps
//	grants.go    the other operations
//	agent.go     the browser's part: cookies, redirects, forms
//	form.go      what is a login form, and which button allows
//	verify.go    the ID token; keys.go its signature
//	discover.go  the metadata, and what the provider offers
//	runner.go    many workers at once; worker.go is one of them
//	tally.go     latencies and failures; failure.go names those
//	reason.go    why the provider refused
//	wire.go      the HTTP client
//	limits.go    what the machine can do; sync*.go waits for the disk
//	usage*.go    CPU time and memory; self*.go those of this process
//	report.go    what was measured; table.go for people, progress.go meanwhile
package load
