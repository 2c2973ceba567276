// Package pkce serves the public client: a single-page application without a
// backend, which runs the authorization code flow with PKCE in the browser
// (RFC 7636, RFC 10017 §6.3). Go only hands out the files.
//
//	step                        channel   who          specification
//	discovery                   back      page → op    OpenID Connect Discovery §4
//	state, nonce, verifier      inside    page         RFC 7636 §4.1
//	GET /authorize, S256        front     page → op    RFC 6749 §4.1.1, RFC 7636 §4.3
//	GET /callback?code&state    front     op → page    RFC 6749 §4.1.2, RFC 9207
//	POST /token, code_verifier  back      page → op    RFC 7636 §4.5
//	GET /jwks, ID token checks  back      page → op    OpenID Connect Core §3.1.3.7
//	GET /userinfo               back      page → op    OpenID Connect Core §5.3
//	POST /token, refresh_token  back      page → op    RFC 6749 §6, RFC 9700 §4.14.2
//	GET /authorize prompt=none  front     frame → op   OpenID Connect Core §3.1.2.1
//	GET /session, postMessage   inside    page ↔ frame Session Management §3.1
//	POST /revoke, GET /logout   both      page → op    RFC 7009, RP-Initiated Logout
//
// A person may have the tokens bound to a key of the browser (DPoP, RFC 9449).
// The browser keeps the key and shows it to no script. Then the authorization
// request names the key (dpop_jkt), and the requests with tokens and for tokens,
// but for revocation, carry a proof that is signed with it.
//
// Read web/flow.js from top to bottom: it is the whole flow. Then web/page.js
// (the buttons), web/dpop.js (the key and its proofs), web/session.js (how a
// sign-out at the provider is noticed), web/silent.js (the frame's half of
// silent renewal), and the mechanics in clients/internal/web/chrome: idtoken.js,
// frame.js.
package pkce
