// Package bff is the backend-for-frontend client: the standard code flow of a
// confidential client, run by the page's own server (RFC 10017 §6.1). The
// browser gets a session cookie and never a token to call an API with.
//
//	path                what                                             channel
//	GET /login          state, nonce, verifier; on to the provider       front   OpenID Connect Core §3.1.2.1
//	GET /callback       the response, checked and redeemed               front   RFC 6749 §4.1.2, RFC 9207
//	  → /token          code, verifier, client_secret_basic              back    RFC 6749 §4.1.3, RFC 7636 §4.5
//	  → /jwks           the ID token's checks                            back    OpenID Connect Core §3.1.3.7
//	  → /userinfo       more about the same user                         back    OpenID Connect Core §5.3
//	GET /               the page; after a logout, the returned state     front   RP-Initiated Logout §3
//	GET /bff/session    who, claims, what is held where; no token        page
//	POST /bff/renew     → /token, refresh_token                          back    RFC 6749 §6, OpenID Connect Core §12
//	/bff/api/…          the listed calls, with the access token          back    RFC 6750 §2.1
//	POST /logout        ends the session; → /revoke; where to log out    back    RFC 7009, RP-Initiated Logout §2
//	POST /backchannel-logout
//	                    the provider's session is over: so is this   back    Back-Channel Logout §2.5
//
// What a browser brings, and what it opens:
//
//	cookie              SameSite  opens
//	__Host-bff-login    Lax       the record of a login that this browser began
//	__Host-bff          Strict    the session
//	__Host-bff-logout   Lax       nothing; it is compared with the returned state
//
// Both records lie in one bbolt file, under the hash of their name and sealed
// with a key made from the cookie: they survive a restart, and the file alone
// yields no token.
//
// # Reading order
//
//	flow.go      the flow, from /login to the end of the session
//	idtoken.go   the ID token's checks
//	session.go   what is kept for a browser, and what its page sees of it
//	renew.go     renewal: one at a time, and what ends a session
//	proxy.go     the way to the API
//	csrf.go      the three defences against other sites' requests
//	refusal.go   every reason to say no, and the two writers of it
//	cookies.go, vault.go, issuer.go, bff.go   the mechanics
//
// The checks of a logout token are in clients/internal/backchannel.
package bff
