// Package implicit serves the implicit client: a single-page application
// without a backend, which gets its tokens in the fragment of its own URL (OpenID
// Connect Core §3.2). Current practice is not to use this flow (RFC 9700
// §2.1.2); the lab has it for comparison. Go only hands out the files.
//
//	step                           channel   who          specification
//	discovery                      back      page → op    OpenID Connect Discovery §4
//	state, nonce                   inside    page         OpenID Connect Core §3.2.2.1
//	GET /authorize id_token token  front     page → op    OpenID Connect Core §3.2.2.1
//	/callback#access_token&…       front     op → page    OpenID Connect Core §3.2.2.5
//	GET /jwks, ID token checks     back      page → op    OpenID Connect Core §3.2.2.11
//	at_hash                        inside    page         OpenID Connect Core §3.2.2.9
//	GET /userinfo                  back      page → op    OpenID Connect Core §5.3
//	GET /authorize prompt=none     front     frame → op   OpenID Connect Core §3.1.2.1
//	GET /logout                    front     page → op    RP-Initiated Logout
//
// Read web/flow.js from top to bottom: it is the whole flow. Then web/page.js
// (the buttons), web/silent.js (the frame's half of silent renewal), and the
// mechanics in clients/internal/web/chrome: idtoken.js, frame.js.
package implicit
