package provider

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/time/rate"

	"github.com/oidclab/oidclab/storage"
)

// Provider is an OpenID Provider. It is an http.Handler for the whole of its
// issuer's paths.
type Provider struct {
	issuer    string
	base      string // the issuer's path, "" for most
	secure    bool   // the issuer is https
	explain   bool
	log       *slog.Logger
	store     storage.Store
	lifetimes Lifetimes

	// clients are those of the configuration; see registry.go for the others.
	clients map[string]*client
	// registered are some of those.
	registered clientCache
	users      *directory
	scopes     []string
	// resources are the resource servers of the configuration.
	resources []string
	// requests is the configuration's, with its defaults.
	requests Requests
	// scopeTexts are the consent page's words for the operator's own scopes.
	scopeTexts map[string]string
	// origins are the web origins of the configuration's clients; see cors.go.
	origins   map[string]bool
	registrar *registrar
	demoUsers []string

	// userCodeGuesses bounds how many user codes are tried (RFC 8628 §5.1).
	userCodeGuesses *visitorLimit
	// strangers bounds what is kept for clients that anybody can be.
	strangers *visitorLimit
	// atOnce bounds how many requests are under way.
	atOnce *atOnce
	// readiness is for who asks at /readyz.
	readiness *readiness

	keys *keyring
	// unsignedIDTokens is Config.InsecureUnsignedIDTokens.
	unsignedIDTokens bool
	outbound         *outbound
	// background is what goes on after its request was answered.
	background sync.WaitGroup
	stop       context.CancelFunc // ends what would go on for ever
	// clientKeys verifies what clients sign.
	clientKeys *clientKeys

	sealer *sealer
	csrf   macs
	// browserSeals are for the cookie of browsers in which somebody signed in.
	browserSeals macs
	// browserStates and checkSession are for the page at /session.
	browserStates macs
	checkSession  checkSessionPage
	tokens        *tokens
	subjects      *subjects
	// proofNonces is nil where DPoP proofs need none.
	proofNonces *proofNonces
	oauth       *engine
	pages       *pages
	document    staticDocument
	handler     http.Handler
}

// New makes a provider. It returns as soon as it can answer; RSA keys may
// still be in the making, and what needs them waits (see Ready).
func New(ctx context.Context, cfg Config) (*Provider, error) {
	demo := len(cfg.Users) == 0
	if demo {
		cfg.Users = SeedUsers()
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Provider{
		issuer: cfg.Issuer, explain: cfg.Explain, log: cfg.Logger, store: cfg.Store,
		lifetimes: cfg.Lifetimes.or(defaultLifetimes),
		clients:   map[string]*client{}, scopeTexts: map[string]string{}, origins: map[string]bool{},
		userCodeGuesses: newVisitorLimit(guessRate, guessBurst, rate.NewLimiter(allGuessRate, allGuessBurst)),
		strangers:       newVisitorLimit(strangerRate, strangerBurst, rate.NewLimiter(allStrangerRate, allStrangerBurst)),
		scopes:          append([]string(nil), userScopes...), requests: cfg.Requests.withDefaults(),
		unsignedIDTokens: cfg.InsecureUnsignedIDTokens,
		atOnce:           newAtOnce(maxConcurrentRequests(&cfg)),
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	p.secure, p.base = issuer.Scheme == "https", issuer.Path
	for _, scope := range cfg.Scopes {
		p.scopes = append(p.scopes, scope.Name)
		p.scopeTexts[scope.Name] = scope.Description
	}
	for _, c := range cfg.Clients {
		p.clients[c.ID] = newClient(c, p.lifetimes, p.scopes)
		for _, origin := range originsOf(c.RedirectURIs) {
			p.origins[origin] = true
		}
		if c.ResourceServer != "" {
			p.resources = union(p.resources, []string{c.ResourceServer})
		}
	}
	p.readiness = &readiness{ask: p.Ready}
	p.warn(ctx, &cfg)
	p.outbound = newOutbound(&cfg)
	p.clientKeys = newClientKeys(p.outbound)
	if demo {
		for _, u := range cfg.Users {
			p.demoUsers = append(p.demoUsers, u.Username)
		}
	}
	if p.users, err = newDirectory(cfg.Users, newPasswordGate(int(p.atOnce.most)), newLoginThrottle(&cfg)); err != nil {
		return nil, err
	}
	if p.pages, err = newPages(p.base, cfg.HomeURL); err != nil {
		return nil, err
	}
	if err := p.start(ctx, cfg); err != nil {
		return nil, err
	}
	p.handler = p.routes()
	p.lookAfter(ctx)
	return p, nil
}

// lookAfter begins what goes on by itself until Close.
func (p *Provider) lookAfter(ctx context.Context) {
	// Not the caller's ctx: its end must not leave the clients alone.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	if p.registrar.clientLifetime > 0 {
		p.background.Go(func() { p.deleteUnusedClients(background) })
	}
}

// warn says at the start which checks are off.
func (p *Provider) warn(ctx context.Context, cfg *Config) {
	for _, c := range cfg.Clients {
		if c.InsecureHTTPRedirectURIs {
			p.log.WarnContext(ctx, "insecure_http_redirect_uris is on", "client", c.ID)
		}
	}
	if cfg.InsecurePrivateAddresses {
		p.log.WarnContext(ctx, "insecure_private_addresses is on")
	}
	if cfg.InsecureUnsignedIDTokens {
		p.log.WarnContext(ctx, "insecure_unsigned_id_tokens is on")
	}
	if cfg.InsecureUnlimitedLoginAttempts {
		p.log.WarnContext(ctx, "insecure_unlimited_login_attempts is on")
	}
	if cfg.Requests.InsecureUnsignedObjects {
		p.log.WarnContext(ctx, "insecure_unsigned_request_objects is on")
	}
}

// start makes what depends on keys.
func (p *Provider) start(ctx context.Context, cfg Config) error {
	var err error
	if p.keys, err = openKeyring(ctx, &cfg); err != nil {
		return err
	}
	if p.sealer, err = newSealer(p.keys.derive("pending request")); err != nil {
		return err
	}
	p.csrf = newMACs(sha256.New, p.keys.derive("csrf"))
	p.browserSeals = newMACs(sha256.New, p.keys.derive("known browser"))
	p.browserStates = newMACs(sha256.New, p.keys.derive("browser state"))
	if cfg.DPoPNonce {
		p.proofNonces = &proofNonces{newMACs(sha256.New, p.keys.derive("dpop nonce"))}
	}
	if p.checkSession, err = newCheckSessionPage(p.cookieName(stateCookie)); err != nil {
		return err
	}
	engine := engineConfig(p.issuer, p.lifetimes)
	p.subjects = &subjects{
		users: newMACs(sha256.New, p.keys.derive("pairwise subject")), sessions: newMACs(sha256.New, p.keys.derive("pairwise session")),
	}
	p.tokens = &tokens{opaque: newOpaqueTokens(p.keys.derive("token hmac")), issuer: p.issuer, keys: p.keys, subjects: p.subjects}
	p.oauth = newEngine(p, engine)
	p.registrar = newRegistrar(cfg.Registration)
	if err := p.loadRegistrations(ctx); err != nil {
		return err
	}
	document, err := p.metadata()
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	p.document = newStaticDocument(document)
	return nil
}

// Ready waits until the signing keys are there and asks the store whether it
// can serve.
func (p *Provider) Ready(ctx context.Context) error {
	if err := p.keys.wait(ctx); err != nil {
		return err
	}
	return p.store.Ping(ctx)
}

// Close ends requests to other parties and work in the background. It does not
// close the store.
func (p *Provider) Close() error {
	p.stop()
	p.outbound.close()
	p.background.Wait()
	p.keys.close()
	return nil
}

// ServeHTTP serves the provider's endpoints and pages.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// describeScope is what the consent page says of a scope.
func (p *Provider) describeScope(name string) string {
	if text := p.scopeTexts[name]; text != "" {
		return text
	}
	return scopeDescription(name)
}
