package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidclab/oidclab/provider/localtls"
)

// Bounds on requests to URLs that a client or a stranger chose.
const (
	outboundTimeout  = 5 * time.Second // for the whole exchange
	maxDocumentBody  = 64 << 10        // bytes of a JWK Set, a request object, a sector document
	maxAnswerHeaders = 16 << 10        // bytes
)

// How many requests are under way, and how many of them to one site. Anybody can
// have documents fetched, by an authorization request with a request_uri say, so
// clients are told of a sign-out beside that: no document delays it.
const (
	fetchesAtOnce, fetchesOfASite   = 32, 4
	signOutsAtOnce, signOutsOfASite = 64, backchannelAtOnce // those of one session need not wait
)

// A request that waits for a document is under way all the time (atonce.go). So one in
// four may be such a request, and one in sixteen for the same site: who names a slow
// one does not keep the provider from everything else.
const fetchingRequests, fetchingOfASite = 4, 16

// What can go wrong, for those who asked for the fetch. Each text completes a
// sentence that begins with the name of the URL, "The jwks_uri …". All that can
// go wrong on the network reads the same, so that an answer of the provider
// tells nothing about machines that only the provider can reach; the log knows
// more.
var (
	errURLNotAllowed     = errors.New("is not an https URL with a host and without a user name")
	errHTTPNotAllowed    = errors.New("is not an https URL, and the provider calls no other unless insecure_private_addresses is on")
	errAddressNotAllowed = errors.New("leads to this machine or into a private network, where the provider calls nobody unless insecure_private_addresses is on")
	errRedirected        = errors.New("answers with a redirect, which is not followed")
	errNotFetched        = errors.New("gave no usable answer")
)

// outbound makes all requests to URLs that come from a client or a stranger:
// jwks_uri, request_uri, sector_identifier_uri, back-channel logout (OIDC
// Registration §9.3: protect against server-side request forgery). It asks
// public addresses only, decided on the address that a name resolved to; it
// follows no redirect, uses no proxy, keeps no cookie and no connection, and
// waits for nobody longer than its timeout.
//
// It does not look at the port, nor at public addresses that lead back into
// the operator's own network: a firewall has to.
type outbound struct {
	private   bool // InsecurePrivateAddresses
	trusted   trustedOrigins
	timeout   time.Duration
	log       *slog.Logger
	dialer    net.Dialer
	transport http.RoundTripper
	fetches   *turns // of documents
	signOuts  *turns // that clients are told of

	closing context.Context //nolint:containedctx // its end closes every connection
	close   func()
}

// newOutbound makes what New gives to the provider. Its close ends every
// request and every connection, and returns when the requests have ended.
func newOutbound(cfg *Config) *outbound {
	o := &outbound{
		private: cfg.InsecurePrivateAddresses, trusted: cfg.TrustedOrigins, timeout: outboundTimeout, log: cfg.Logger,
		fetches: newTurns(fetchesAtOnce, fetchesOfASite), signOuts: newTurns(signOutsAtOnce, signOutsOfASite),
	}
	requests := maxConcurrentRequests(cfg)
	o.fetches.most, o.fetches.mostEach = max(1, requests/fetchingRequests), max(1, requests/fetchingOfASite)
	o.dialer.ControlContext = o.control
	var cancel context.CancelFunc
	o.closing, cancel = context.WithCancel(context.Background())
	transport := &http.Transport{
		Proxy:                  nil, // a proxy would resolve the names, out of sight of the guard
		DialContext:            o.guarded(cfg.DialContext),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.timeout,
		DisableCompression:     true, // nothing may grow after it was counted
		DisableKeepAlives:      true, // the next request may be far away, and strangers hold no connection
		MaxResponseHeaderBytes: maxAnswerHeaders,
	}
	o.transport = localtls.Trusting(transport, cfg.RootCAs)
	if cfg.WrapTransport != nil {
		o.transport = cfg.WrapTransport(o.transport)
	}
	o.close = sync.OnceFunc(func() {
		cancel()
		o.fetches.end()
		o.signOuts.end()
	})
	return o
}

// get fetches a document. accept is the media type to ask for, "" for any; what
// arrives is for the caller's parser to judge, not for its Content-Type. Only
// status 200 counts. A document of more than maxDocumentBody is an error.
func (o *outbound) get(ctx context.Context, rawURL, accept string) ([]byte, error) {
	header := http.Header{}
	if accept != "" {
		header.Set("Accept", accept)
	}
	var body []byte
	err := o.exchange(ctx, o.fetches, http.MethodGet, rawURL, header, nil, func(response *http.Response) (err error) {
		body, err = document(response)
		return err
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}

// postForm tells a client of a sign-out: it sends a form and returns the status of
// the answer, whose body it does not read.
func (o *outbound) postForm(ctx context.Context, rawURL string, form url.Values) (status int, err error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	err = o.exchange(ctx, o.signOuts, http.MethodPost, rawURL, header, strings.NewReader(form.Encode()), func(response *http.Response) error {
		status = response.StatusCode
		return nil
	})
	return status, err
}

// exchange sends one request and lets read have the answer, all within the
// timeout, waiting for a turn included. The error is one of those above, or
// that of ctx if the caller went away.
//
//nolint:revive // the arguments of a request, and what reads its answer
func (o *outbound) exchange(
	ctx context.Context, turns *turns, method, rawURL string, header http.Header, body io.Reader, read func(*http.Response) error,
) error {
	// 1. The URL, before anything is sent.
	if err := checkOutboundURL(rawURL, o.private || o.trusted.have(rawURL)); err != nil {
		return err
	}
	// 2. The time, and a turn.
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	defer context.AfterFunc(o.closing, cancel)()
	giveBack, err := turns.take(ctx, rawURL)
	if err != nil {
		return o.failed(caller, rawURL, err)
	}
	defer giveBack()
	// 3. The request. Not through an http.Client, which would follow redirects.
	request, err := http.NewRequestWithContext(ctx, method, rawURL, body)
	if err != nil {
		return o.failed(caller, rawURL, err)
	}
	request.Header = header
	request.Header.Set("User-Agent", "oidclab")
	response, err := o.transport.RoundTrip(request)
	if err != nil {
		return o.failed(caller, rawURL, err)
	}
	defer response.Body.Close()
	// 4. The answer.
	if response.StatusCode >= 300 && response.StatusCode < 400 && response.Header.Get("Location") != "" {
		return o.failed(caller, rawURL, errRedirected)
	}
	if err := read(response); err != nil {
		return o.failed(caller, rawURL, err)
	}
	return nil
}

// document reads the body of an answer that has the whole of it.
func document(response *http.Response) ([]byte, error) {
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	if coding := response.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, errors.New("an encoded body, which was not asked for")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocumentBody {
		return nil, fmt.Errorf("more than %d bytes", maxDocumentBody)
	}
	return body, nil
}

// failed logs the cause and returns what may be told to anybody: also for those
// who cannot use the document that they got. The URL may
// itself be a secret (RFC 9101 §10.5.1), so the log has its host only.
func (o *outbound) failed(ctx context.Context, rawURL string, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	host := ""
	if u, err := url.Parse(rawURL); err == nil {
		host = u.Host
	}
	o.log.InfoContext(ctx, "outbound request failed", "host", host, "cause", cause)
	for _, told := range []error{errAddressNotAllowed, errRedirected} {
		if errors.Is(cause, told) {
			return told
		}
	}
	return errNotFetched
}

// guarded wraps dial, or dialSystem if it is nil, so that no connection comes
// into use whose other end is not allowed, none outlives close, and none is
// waited for longer than the timeout: net/http lets a dial go on after its
// request has ended.
func (o *outbound) guarded(dial dialFunc) dialFunc {
	if dial == nil {
		dial = o.dialSystem
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		defer context.AfterFunc(o.closing, cancel)()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := o.checkPeer(conn.RemoteAddr()); err != nil && !o.trusted.listenAt(addr) {
			return nil, errors.Join(err, conn.Close())
		}
		forget := context.AfterFunc(o.closing, func() { _ = conn.Close() })
		return &guardedConn{conn, forget}, nil
	}
}

// dialSystem connects as usual, and to this machine for the names below
// "localhost", which the system's resolver often does not know.
func (o *outbound) dialSystem(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := o.dialer
	if o.trusted.listenAt(addr) {
		dialer.ControlContext = nil
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && isLocalName(host) {
		addr = net.JoinHostPort("localhost", port)
	}
	return dialer.DialContext(ctx, network, addr)
}

// dialFunc is the type of Config.DialContext.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// guardedConn is a connection that close closes.
type guardedConn struct {
	net.Conn
	forget func() bool
}

// Close closes the connection.
func (c *guardedConn) Close() error {
	c.forget()
	return c.Conn.Close()
}
