// Package provider is an OpenID Provider: an http.Handler for everything below
// its issuer. The engine is ory/fosite, which parses, validates and issues;
// what it leaves out, or does otherwise than the specifications ask, is here.
//
// # Endpoints
//
//	path                                      file            specification
//	/.well-known/openid-configuration         metadata.go     OIDC Discovery 1.0
//	/.well-known/oauth-authorization-server   metadata.go     RFC 8414
//	/jwks                                     metadata.go     RFC 7517
//	/authorize                                authorize.go    RFC 6749 §3.1, OIDC Core §3, RFC 9207
//	/par                                      pushed.go       RFC 9126
//	/login, /consent                          login.go, consent.go
//	/token                                    token.go        RFC 6749 §3.2, RFC 7636, RFC 9449
//	/device_authorization, /device            device.go       RFC 8628
//	/userinfo                                 userinfo.go     OIDC Core §5.3, RFC 6750, RFC 9449
//	/introspect                               introspect.go   RFC 7662
//	/revoke                                   revoke.go       RFC 7009
//	/logout                                   logout.go       OIDC RP-Initiated, Front-Channel and Back-Channel Logout 1.0
//	/register                                 register.go     RFC 7591, OIDC Registration 1.0
//	/register/{client_id}                     registermanage.go   RFC 7592
//	/session                                  checksession.go OIDC Session Management 1.0
//	/healthz, /readyz                         metadata.go, readiness.go
//
// # From an authorization request to tokens
//
//	browser                  provider                                   store
//	GET /authorize     →     validate (authorization.go)
//	                   ←     303 /login?request=…  the request, sealed (seal.go)
//	POST /login        →     check the form and the password        →   session
//	                   ←     303 /consent?request=…
//	POST /consent      →     issue code and tokens (engine.go)      →   consent, grant, code
//	                   ←     303 redirect_uri?code=…&iss=… (response.go)
//	client
//	POST /token        →     check client, code and verifier
//	                         collect the writes (work.go)           →   code used, tokens
//	                   ←     200 tokens, after the commit
//
// Nothing is stored for a visitor who does not sign in: the pending request
// travels through the pages, encrypted. A request's writes form one unit of
// work, which the store applies or refuses as a whole, so a code is redeemed at
// most once, whatever the concurrency.
//
// Several providers may share a store. What must hold for all of them is decided
// there, at the commit: who redeems a code, who registers the last client that
// there is room for, whose change of a client comes first. What a provider keeps
// of the store in memory it asks about again before it relies on it.
//
// # Reading order
//
//	config.go         what a provider is told: clients, users, lifetimes
//	provider.go       how it is put together; routes.go: what is served where;
//	                  server.go: what an HTTP server of it bounds; atonce.go: how many
//	                  requests are under way; limits.go: what they may carry
//	authorize.go      the authorization endpoint, numbered; authorization.go: its checks
//	requestobject.go  requests in a signed JWT; pushed.go: requests that a client pushes; claimsrequest.go, acr.go, resource.go: what else they may ask for
//	token.go          the token endpoint, numbered; clientauth.go, clientassertion.go: who asks
//	engine.go         which parts of fosite are used, and how
//	enginestore.go    the storage that fosite sees; work.go: a request's unit of work
//	dpop.go           proofs that the sender has a key; dpopbinding.go: what is bound to it
//	tokens.go         access tokens; idtoken.go: ID tokens; keys.go: what signs them;
//	                  jws.go: how
//	opaque.go         codes, refresh tokens and cookies, and under what they are stored;
//	                  mac.go: what shows that they are ours
//	keyrotation.go    the life of a signing key; signingkeys.go, rsakeys.go: how they are made
//	                  and stored; signingset.go: those of one moment
//	control.go        the control plane: what only an operator may do
//	outbound.go       requests to URLs of clients; outboundguard.go: whom they may reach;
//	                  outboundturns.go: how many at once
//	login.go          the login page; users.go: whose passwords; loginthrottle.go: how often
//	                  they may be wrong; knownbrowser.go: who is not locked out by
//	                  others; password.go: how many are hashed at once
//	sso.go            the browser's session; participants.go: the clients of it
//	logout.go         how it ends, numbered; backchannel.go, frontchannel.go, checksession.go: who hears of it
//	clientkeys.go     what clients sign; jwks.go: the keys that verify it; ed25519.go:
//	                  an algorithm of two names
//	register.go       registration, numbered; registerdocument.go: what it reads;
//	                  registrar.go: who may; validateclient.go: the checks, for the
//	                  configuration too; registry.go: how clients are found;
//	                  clientcache.go: and not decoded each time; clientlife.go: how
//	                  they end that nobody uses; cors.go: whose scripts may call
//	device.go         the device grant; devicepage.go: its page; visitorlimit.go,
//	                  buckets.go: how often a visitor may try; stranger.go: how often, whom nobody knows
//	pages.go          the pages; pagewords.go: what they say of scopes and errors;
//	                  blanklogin.go: the one that everybody sees, rendered in advance
//	pairwise.go       by which names a client knows a user and a session
//	errors.go         every error answer, and the checks behind them; grantrefusal.go: why a
//	                  code or refresh token gives nothing
package provider
