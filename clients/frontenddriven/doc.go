// Package frontenddriven is the frontend-driven client: the browser begins and
// checks the flow, a backend on another origin redeems the code, and the
// application gives its page tokens of its own. The provider's tokens stay in
// the backend. There is no cookie, so there is nothing for a forged request to
// ride on (CSRF), and the two halves need not share a site.
//
//	step                                 channel  who             specification
//	GET  /auth/config                    back     page → backend  (the application's own)
//	state, nonce, verifier               inside   page            RFC 7636 §4.1
//	GET  /authorize, S256                front    page → op       RFC 6749 §4.1.1
//	GET  /callback?code&state&iss        front    op → page       RFC 6749 §4.1.2, RFC 9207
//	POST /auth/exchange                  back     page → backend  (the application's own)
//	  POST /token, secret and verifier   back     backend → op    RFC 6749 §4.1.3, RFC 7636 §4.5
//	  ID token                           inside   backend         OpenID Connect Core §3.1.3.7
//	  GET /userinfo                      back     backend → op    OpenID Connect Core §5.3
//	  the application's own pair         inside   backend         RFC 9068, RFC 8725 §3.11
//	GET  /api/…                          back     page → api      RFC 6750 §2.1
//	POST /auth/refresh                   back     page → backend  RFC 9700 §4.14.2
//	  POST /token, refresh_token         back     backend → op    RFC 6749 §6
//	  GET /userinfo                      back     backend → op    OpenID Connect Core §5.3
//	POST /auth/logout                    back     page → backend  (the application's own)
//	  POST /revoke                       back     backend → op    RFC 7009
//	GET  /logout                         front    page → op       RP-Initiated Logout §2
//	POST /backchannel-logout             back     op → backend    Back-Channel Logout §2.5
//
// A login is a family: one provider refresh token in the backend, one
// application refresh token in the page. Renewing one renews the other.
//
//	event                                          family  provider's refresh token  answer of /auth/refresh
//	current application refresh token              goes on rotated                   200, the next pair
//	an application refresh token that was used     ends    revoked                   401 invalid_grant
//	the provider says invalid_grant                ends    was dead already          401 invalid_grant
//	the provider is down: 5xx, timeout, refused    goes on as it was                 503, Retry-After
//	the provider refuses otherwise                 goes on as it was                 502
//	FamilyLifetime after the login                 ends    forgotten                 401 invalid_grant
//	POST /auth/logout                              ends    revoked                   -
//	the provider's session ends                    ends    dropped                   401 invalid_grant
//
// There is no grace for a refresh token that is sent twice: of two requests at
// the same time one succeeds, the other is reuse and ends the family. A page
// that copies its session storage into a second tab ("duplicate tab") so signs
// both out. An access token which was handed out before stays good at the API
// until it expires, five minutes at most, also after a sign-out at the provider:
// the API asks nobody about it.
//
// The refresh token of the application travels in the Authorization header, at
// /auth/refresh and at /auth/logout, and neither reads a body.
//
// A native application may use the same backend: it takes /auth/config, uses a
// loopback redirect URI (RFC 8252 §7.3) and calls the same endpoints.
//
// Reading order: web/flow.js (the browser's half), flow.go (the backend's half),
// both from top to bottom; then provider.go and idtoken.go (calls to the
// provider), tokens.go (the application's own), families.go, request.go (what is
// let in), refusal.go (the one writer of errors). The checks of a logout token
// are in clients/internal/backchannel.
package frontenddriven
