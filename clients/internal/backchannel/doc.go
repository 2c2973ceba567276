// Package backchannel is the relying party's side of OpenID Connect
// Back-Channel Logout 1.0: the provider posts a logout token when a session of
// its own ends, and the sign-ins that began in that session end here too.
//
//	step                                   who            section
//	POST /backchannel-logout logout_token  op → backend   §2.5
//	the token's checks                     backend        §2.6
//	"this session is over", written down   backend        §2.7
//	200, or 400 with an error              backend → op   §2.8
//	any call of the browser's              page → backend refused: its sign-in is over
//
// What a client keeps of a sign-in may open only with the browser's help, and a
// sign-in may be under way when the token comes. So none is looked for: it is
// written down that a session of the provider's is over, and whoever uses a
// sign-in asks first whether it still stands (Receiver.Ended). That note
// survives a restart, and stays until the last sign-in that it may concern
// would have ended anyway.
//
// # The records
//
//	bucket             key               value
//	logout-tokens      jti               none: this token was used
//	provider-sessions  "sid:" + sid      when it ended, and whose it was
//	provider-sessions  "sub:" + subject  until when all sessions of the user ended
//
// # Reading order
//
//	token.go     the logout token's checks, as numbered steps
//	receiver.go  the endpoint, and what it writes down
//	refusal.go   the reasons to say no
package backchannel
