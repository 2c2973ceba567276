// Package api is the resource server that all of the lab's clients call: who
// am I, and a few notes. It decides by the access token alone, which it verifies
// itself (RFC 9068 §4); it asks the issuer for keys and for nothing else.
//
//	request               token needs    answer
//	GET  /                -              a short page for people
//	GET  /api/me          any            200 {sub, iss, client_id, scope, name?, exp, jkt?}
//	GET  /api/notes       notes:read     200 {notes: [{id, text, created_at}]}
//	POST /api/notes       notes:write    201 the note; body {text}
//	OPTIONS /api/…        -              204, CORS preflight
//
//	refusal                                      status  WWW-Authenticate (RFC 6750 §3)
//	no token                                     401     Bearer, and DPoP (RFC 9449 §7.1)
//	more than one Authorization header           400     error="invalid_request"
//	a token that fails a check of verify.go      401     error="invalid_token", and which check
//	a bound token as a bearer token, or by whom
//	the key is not of                            401     DPoP error="invalid_token"
//	a proof that fails a check of dpop.go        401     DPoP error="invalid_dpop_proof", and which check
//	the token's scope does not cover the call    403     error="insufficient_scope"
//	the issuer's keys cannot be had              503     - (Retry-After): nothing is known about the token
//
// Several issuers may be trusted, each with an audience of its own: the
// provider, and an application that issues tokens itself. A token of one with
// the audience of the other is refused, so neither can speak for the other.
//
// A token that names a key (cnf.jkt) is bound to it: it comes with a DPoP proof
// that is signed with the key, is for this request and is used once (RFC 9449).
// Whoever steals such a token, and not the key, has nothing.
//
// An access token stays good until it expires, even after its user signed out
// or the provider revoked it: that is the price of verifying without asking.
//
// Reading order: verify.go (the checks), dpop.go (who has the key), keys.go (the issuers' keys), api.go
// (routes), notes.go, problem.go (the one writer of errors), cors.go.
package api
