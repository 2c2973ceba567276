// Package native signs a person in from a program without a web page of its
// own: the loopback redirect of OAuth for native apps (RFC 8252).
//
// # The flow
//
//	step  from          to                what                                     section
//	1     program       itself            listens on 127.0.0.1, any free port      RFC 8252 §7.3
//	2     program       issuer            discovery                                OIDC Discovery §4
//	3     program       itself            makes state, nonce and PKCE verifier     RFC 6749 §10.12, RFC 7636 §4.1
//	4     program       system browser    opens the authorization URL              RFC 8252 §4.1
//	5     browser       127.0.0.1:PORT    GET /callback?code&state&iss             RFC 6749 §4.1.2, RFC 9207
//	6     program       issuer            POST /token with the verifier            RFC 6749 §4.1.3, RFC 7636 §4.5
//	7     program       itself            verifies the ID token                    OIDC Core §3.1.3.7
//	8     program       issuer            GET /userinfo, same subject              OIDC Core §5.3
//	9     program       browser           answers the callback with a page
//
// With Config.Via the steps 2, 6, 7 and 8 are the backend's of a
// frontend-driven application: GET /auth/config and POST /auth/exchange. The
// program then never sees the provider's tokens, only the application's.
//
// # Which requests end the wait
//
// Any page in the browser and any process of the machine can send a request to
// the loopback port. A request that does not carry this login's state is
// therefore refused with 400 and the wait goes on: otherwise a forged callback
// could abort an honest login (RFC 6749 §10.12, RFC 8252 §8.9). The first
// response that does carry it ends the wait, whatever it says, and no second
// one is taken.
//
// # Without a browser here
//
// LoginOnDevice is the device grant (RFC 8628): the program gets a code, the
// person types it in at the provider, in a browser on any machine, and the program
// asks the token endpoint until they have decided.
//
// # Reading order
//
//	flow.go      Login: the steps
//	device.go    LoginOnDevice: its steps
//	verify.go    what an ID token and a userinfo answer must satisfy
//	callback.go  the listener: which requests count
//	via.go       the same steps through a frontend-driven backend
//	result.go    what a login gives, and how it is saved
//	browser.go   opening the system's browser
package native
