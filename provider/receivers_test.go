package provider_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// pipes is a network in memory, so that a bubble's clock can pass over what a
// server takes its time for.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

// newPipes serves a network whose hosts all are one handler.
func newPipes(t *testing.T, handler http.HandlerFunc) *pipes {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = server.Serve(p) }()
	t.Cleanup(func() { server.Close() })
	return p
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// receivers are relying parties that are told of sign-outs, and how they take
// it. The host names the client: http://rp-0.localhost/logout?of=rp-0.
type receivers struct {
	t      *testing.T
	answer http.HandlerFunc
	log    safeBuffer

	mu   sync.Mutex
	told map[string][]string // client → logout tokens
}

func (rs *receivers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	form, parseErr := url.ParseQuery(string(body))
	client := strings.TrimSuffix(r.Host, ".localhost")
	if err != nil || parseErr != nil || r.Method != http.MethodPost || r.URL.RequestURI() != "/logout?of="+client ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(form) != 1 {
		rs.t.Errorf("received %s %s, %s, form %v", r.Method, r.URL, r.Header.Get("Content-Type"), form)
	}
	rs.mu.Lock()
	rs.told[client] = append(rs.told[client], form.Get("logout_token"))
	rs.mu.Unlock()
	if rs.answer != nil {
		rs.answer(w, r)
	}
}

// times is how often each client was told.
func (rs *receivers) times() map[string]int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	times := map[string]int{}
	for client, tokens := range rs.told {
		times[client] = len(tokens)
	}
	return times
}

// receiving is a provider in process, in a bubble, with n clients that hear of
// sign-outs: rp-0 and so on.
func receiving(t *testing.T, n int, config provider.Config, answer http.HandlerFunc) (*inProcess, *receivers) {
	t.Helper()
	rs := &receivers{t: t, answer: answer, told: map[string][]string{}}
	config.Clients = append(config.Clients, providertest.DefaultClients()...)
	for i := range n {
		config.Clients = append(config.Clients, receiver(fmt.Sprintf("rp-%d", i)))
	}
	config.FixedKeys = fixedKeys()
	config.InsecurePrivateAddresses = true
	config.DialContext = newPipes(t, rs.ServeHTTP).dial
	config.Logger = slog.New(slog.NewTextHandler(&rs.log, nil))
	return serving(t, config), rs
}

func receiver(id string) provider.Client {
	return provider.Client{
		ID: id, TokenEndpointAuthMethod: "none", IDTokenSignedResponseAlg: "ES256", SkipConsent: true,
		RedirectURIs: []string{providertest.RedirectURI}, PostLogoutRedirectURIs: []string{providertest.PostLogoutRedirectURI},
		BackchannelLogoutURI: "http://" + id + ".localhost/logout?of=" + id,
	}
}

// joins signs alice in at a client and returns the ID token.
func (op *inProcess) joins(t *testing.T, client string) string {
	t.Helper()
	code := op.authorize(t, online().with(params{"client_id": client})).Get("code")
	return op.token(t, redeem(code).with(params{"client_id": client})).text("id_token")
}

// signsOut sends a logout request that needs no question.
func (op *inProcess) signsOut(t *testing.T, idToken string) {
	t.Helper()
	rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
	if got, want := rec.Header().Get("Location"), providertest.PostLogoutRedirectURI+"?state=bye-0123456789"; got != want {
		t.Errorf("signed out with %d to %q", rec.Code, got)
	}
	if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != "login_required" {
		t.Errorf("afterwards: error %q", got)
	}
}
