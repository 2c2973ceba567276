package native

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/oidclab/oidclab/clients/internal/loopback"
)

// The reasons for which a login is refused. Callers compare with errors.Is;
// what the authorization server itself refused is an *AuthorizationError or a
// *TokenError.
var (
	// ErrTimeout says that nobody signed in before Config.Timeout.
	ErrTimeout = errors.New("nobody signed in before the time was up")
	// ErrInsecureURL says that a URL uses http to a host that is not this
	// machine, or a scheme that is no web address at all.
	ErrInsecureURL = errors.New("want an https URL, or http on this machine (RFC 6749 §3.1)")
	// ErrIssuer says that another authorization server answered: a mix-up.
	ErrIssuer = errors.New("the response is from another issuer (RFC 9207 §2.4)")
	// ErrResponse says that the callback carried neither a code nor an error.
	ErrResponse = errors.New("the response is malformed (RFC 6749 §4.1.2)")
	// ErrIDToken says that the ID token is missing, or fails a check.
	ErrIDToken = errors.New("the ID token is refused (OpenID Connect Core §3.1.3.7)")
	// ErrUserInfo says that the userinfo endpoint speaks of another person.
	ErrUserInfo = errors.New("the userinfo answer is refused (OpenID Connect Core §5.3.2)")
	// ErrBackend says that Config.Via answers with less than it must.
	ErrBackend = errors.New("the backend's answer is refused")
)

// Config says where and as whom to sign in. Only Issuer or Via is required.
type Config struct {
	// Issuer is the URL of the OpenID Provider.
	Issuer string
	// ClientID is the public client's identifier; empty means "native".
	ClientID string
	// Scopes to ask for; nil means openid, profile, email and offline_access.
	Scopes []string
	// Via is the URL of a frontend-driven application's backend. It replaces
	// Issuer, ClientID and Scopes, which the backend then decides.
	Via string
	// Open shows a URL in the person's browser; nil means that the URL is only
	// printed. A failure is reported on Out and does not end the login.
	Open func(ctx context.Context, url string) error
	// Out is where the person reads the URL to visit; nil means nowhere.
	Out io.Writer
	// Timeout bounds the whole login; zero means five minutes.
	Timeout time.Duration
	// InsecureHTTP allows http URLs to hosts other than this machine.
	InsecureHTTP bool
	// HTTPClient reaches the issuer or the backend; nil means one that dials
	// loopback for names below localhost and believes RootCAs.
	HTTPClient *http.Client
	// RootCAs are the authorities that certify the issuer or the backend; nil
	// means the system's.
	RootCAs *x509.CertPool
	// Logger is told of refused callbacks; nil discards.
	Logger *slog.Logger
}

// server is what a login is done against: an issuer, or a backend that stands
// between the program and the issuer.
type server interface {
	// metadata tells who will answer, and where the person signs in.
	metadata() metadata
	// redeem trades the code for tokens that are verified.
	redeem(ctx context.Context, code string, l login) (*Result, error)
}

// metadata is the part of the authorization server's metadata which the
// front channel needs (RFC 8414 §2, RFC 9207 §3).
type metadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	SendsIssuer           bool   `json:"authorization_response_iss_parameter_supported"`
	ClientID              string `json:"-"`
	Scope                 string `json:"-"`
}

// login is what the program alone knows of one login. Nothing of it is stored.
type login struct {
	redirectURI string
	state       string // binds the response to this login (RFC 6749 §10.12)
	nonce       string // binds the ID token to this login (OIDC Core §3.1.2.1)
	verifier    string // binds the code to this program (RFC 7636)
}

// Login signs a person in and returns who it is, verified. It blocks until the
// browser has come back, ctx is done or Config.Timeout has passed.
func Login(ctx context.Context, cfg Config) (*Result, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, ErrTimeout)
	defer cancel()
	ctx = oidc.ClientContext(ctx, cfg.HTTPClient) // go-oidc and x/oauth2 both look there

	// 1. Listen before anything else: the port is part of the redirect URI.
	//    RFC 8252 §7.3; §8.3 asks for the literal address, not "localhost".
	ln, err := listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	defer ln.Close()

	// 2. Learn where to send the person, and who must answer.
	srv, err := cfg.discover(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	meta := srv.metadata()

	// 3. Make this login's secrets, 256 bits each. RFC 7636 §4.1.
	l := login{
		redirectURI: "http://" + ln.Addr().String() + callbackPath,
		state:       oauth2.GenerateVerifier(),
		nonce:       oauth2.GenerateVerifier(),
		verifier:    oauth2.GenerateVerifier(),
	}

	// 4. Send the person to the system's browser: an embedded one could read
	//    the password (RFC 8252 §8.12).
	target, err := authorizationURL(meta, l, cfg.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	callback := serveCallback(ln, l.state, cfg.Logger)
	defer callback.close()
	cfg.show(ctx, target)

	// 5. Take the one response that carries our state, and check it.
	params, err := callback.wait(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	code, err := checkResponse(params, meta)

	// 6. to 8. Redeem the code, verify what came back.
	var result *Result
	if err == nil {
		result, err = srv.redeem(ctx, code, l)
	}

	// 9. Only now does the browser learn how it went.
	callback.answer(result, err)
	if err != nil {
		return nil, because(ctx, err)
	}
	return result, nil
}

// authorizationURL builds the authorization request. RFC 6749 §4.1.1, OIDC
// Core §3.1.2.1, RFC 7636 §4.3.
func authorizationURL(meta metadata, l login, insecure bool) (string, error) {
	// What is handed to the system's browser must be a web address: the
	// metadata is the server's word, and "file:" would open a local file.
	if err := checkURL(meta.AuthorizationEndpoint, insecure); err != nil {
		return "", fmt.Errorf("authorization endpoint: %w", err)
	}
	u, err := url.Parse(meta.AuthorizationEndpoint)
	if err != nil {
		return "", fmt.Errorf("authorization endpoint: %w", err)
	}
	q := u.Query() // the endpoint may have parameters of its own (RFC 6749 §3.1)
	q.Set("response_type", "code")
	q.Set("client_id", meta.ClientID)
	q.Set("redirect_uri", l.redirectURI)
	q.Set("scope", meta.Scope)
	q.Set("state", l.state)
	q.Set("nonce", l.nonce)
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(l.verifier))
	q.Set("code_challenge_method", "S256")
	if slices.Contains(strings.Fields(meta.Scope), oidc.ScopeOfflineAccess) {
		// Offline access asks for the person's word (OIDC Core §11), and a
		// public client must not get it unseen (RFC 8252 §8.6).
		q.Set("prompt", "consent")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// checkResponse checks an authorization response whose state is ours.
func checkResponse(params url.Values, meta metadata) (code string, err error) {
	// A parameter must not be given twice. RFC 6749 §3.1.
	for name, values := range params {
		if len(values) != 1 {
			return "", fmt.Errorf("%w: %q is given %d times", ErrResponse, name, len(values))
		}
	}
	// The issuer, before anything else in the response is believed, errors
	// included. RFC 9207 §2.4: compare it if it is there, require it if the
	// server's metadata announces it.
	if iss := params.Get("iss"); (meta.SendsIssuer || iss != "") && iss != meta.Issuer {
		return "", fmt.Errorf("%w: expected %q, got %q", ErrIssuer, meta.Issuer, iss)
	}
	// RFC 6749 §4.1.2.1.
	if params.Get("error") != "" {
		return "", &AuthorizationError{Code: params.Get("error"), Description: params.Get("error_description")}
	}
	if code = params.Get("code"); code == "" {
		return "", fmt.Errorf("%w: no code", ErrResponse)
	}
	return code, nil
}

// discover is step 2. OIDC Discovery §4.
func (cfg Config) discover(ctx context.Context) (server, error) {
	if cfg.Via != "" {
		return discoverVia(ctx, cfg)
	}
	return cfg.discoverIssuer(ctx)
}

func (cfg Config) discoverIssuer(ctx context.Context) (*direct, error) {
	if err := checkURL(cfg.Issuer, cfg.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	// go-oidc compares the issuer in the document with ours, byte by byte
	// (§4.3).
	provider, err := oidc.NewProvider(ctx, cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery at %s: %w", cfg.Issuer, err)
	}
	d := &direct{provider: provider}
	if err := provider.Claims(&d.meta); err != nil {
		return nil, fmt.Errorf("discovery at %s: %w", cfg.Issuer, err)
	}
	d.meta.ClientID, d.meta.Scope = cfg.ClientID, strings.Join(cfg.Scopes, " ")
	return d, nil
}

// direct is a login at the issuer itself.
type direct struct {
	provider *oidc.Provider
	meta     metadata
}

func (d *direct) metadata() metadata { return d.meta }

// redeem is steps 6 to 8.
func (d *direct) redeem(ctx context.Context, code string, l login) (*Result, error) {
	config := d.oauth()
	config.RedirectURL = l.redirectURI

	// 6. The code, once, with the verifier that belongs to its challenge.
	//    RFC 6749 §4.1.3, RFC 7636 §4.5.
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return nil, tokenError(err)
	}
	return d.result(ctx, token, l.nonce)
}

// oauth is this public client. It names itself in the body and has no secret to
// send. Left to guess, x/oauth2 would try the header first and spend the code.
func (d *direct) oauth() oauth2.Config {
	config := oauth2.Config{ClientID: d.meta.ClientID, Endpoint: d.provider.Endpoint()}
	config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	return config
}

// result is steps 7 and 8.
func (d *direct) result(ctx context.Context, token *oauth2.Token, nonce string) (*Result, error) {
	// 7. Who signed in.
	idToken, err := d.verifyIDToken(ctx, token, nonce)
	if err != nil {
		return nil, err
	}
	// 8. What the provider tells about the person beyond the ID token.
	claims, err := d.userInfo(ctx, token, idToken)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	scope, _ := token.Extra("scope").(string)
	return &Result{
		Issuer: idToken.Issuer, ClientID: d.meta.ClientID, Subject: idToken.Subject, Claims: claims,
		Tokens: Tokens{Access: token.AccessToken, Type: token.Type(), Refresh: token.RefreshToken, ID: raw, Scope: scope, Expiry: token.Expiry},
	}, nil
}

// show is step 4. The URL is printed in any case: there may be no browser
// here, or the wrong one.
func (cfg Config) show(ctx context.Context, target string) {
	if cfg.Open == nil {
		fmt.Fprintf(cfg.Out, "To sign in, visit\n\n  %s\n\n", target)
		return
	}
	fmt.Fprintf(cfg.Out, "Opening the browser to sign in. If none opens, visit\n\n  %s\n\n", target)
	if err := cfg.Open(ctx, target); err != nil {
		fmt.Fprintf(cfg.Out, "The browser could not be opened (%v).\n", err)
	}
}

func (cfg Config) withDefaults() Config {
	if cfg.ClientID == "" {
		cfg.ClientID = "native"
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Minute
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Transport: loopback.Trusting(cfg.RootCAs), Timeout: 10 * time.Second}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// listen takes a loopback port of the system's choice, over IPv6 where there
// is no IPv4 (RFC 8252 §7.3).
func listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		if ln6, err6 := lc.Listen(ctx, "tcp", "[::1]:0"); err6 == nil {
			return ln6, nil
		}
	}
	return ln, err
}

// checkURL accepts https URLs, and http ones of this machine.
func checkURL(raw string, insecureHTTP bool) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q: %w", raw, ErrInsecureURL)
	}
	if u.Scheme == "https" || u.Scheme == "http" && (insecureHTTP || isLoopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("%q: %w", raw, ErrInsecureURL)
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// because names the cause when a step failed only since the time was up or the
// person gave up.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}
