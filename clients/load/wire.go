package load

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/oidclab/oidclab/clients/internal/loopback"
)

// maxBody bounds what is read of an answer.
const maxBody = 1 << 20

// wire is how all workers reach the provider. It is fasthttp's client because the
// load generator shares the machine with the server that it measures: net/http's
// costs several times as much per exchange.
type wire struct {
	client  *fasthttp.Client
	timeout time.Duration
	// secrets stand in no failure, whatever the provider says.
	secrets []string

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func newWire(cfg *Config) *wire {
	w := &wire{timeout: cfg.Timeout, conns: map[net.Conn]struct{}{}}
	for _, secret := range []string{cfg.ClientSecret, cfg.Password} {
		if len(secret) >= 6 { // a shorter one is a part of many words
			w.secrets = append(w.secrets, secret)
		}
	}
	dial := loopback.Transport().DialContext // names below localhost are this machine
	w.client = &fasthttp.Client{
		Name: "oidclab-bench", TLSConfig: cfg.TLS,
		MaxConnsPerHost: 1 << 16, MaxIdleConnDuration: 3 * time.Second, // before the server closes them
		MaxIdemponentCallAttempts: 1, // an exchange that fails is counted, not tried again
		ReadBufferSize:            64 << 10, MaxResponseBodySize: maxBody,
		DisablePathNormalizing: true,
		Dial: func(addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), cfg.Timeout)
			defer cancel()
			conn, err := dial(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return w.keep(conn)
		},
	}
	return w
}

// tracked is a connection that close can end.
type tracked struct {
	net.Conn
	wire *wire
}

func (w *wire) keep(conn net.Conn) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	t := &tracked{Conn: conn, wire: w}
	w.conns[t] = struct{}{}
	return t, nil
}

func (t *tracked) Close() error {
	t.wire.mu.Lock()
	delete(t.wire.conns, t)
	t.wire.mu.Unlock()
	return t.Conn.Close()
}

// close ends every connection, and with it every exchange under way.
func (w *wire) close() {
	w.mu.Lock()
	conns := make([]net.Conn, 0, len(w.conns))
	for conn := range w.conns {
		conns = append(conns, conn)
	}
	w.closed = true
	w.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// exchange is one worker's request and response, which it uses again and again.
type exchange struct {
	wire     *wire
	request  fasthttp.Request
	response fasthttp.Response
	// exchanges is how many it had.
	exchanges int64
}

// begin clears the request and sets its method and URL.
func (e *exchange) begin(method, url string) *fasthttp.Request {
	e.request.Reset()
	e.request.Header.SetMethod(method)
	e.request.SetRequestURI(url)
	return &e.request
}

// do sends the request. where names it in failures.
func (e *exchange) do(where string) error {
	e.exchanges++
	e.response.Reset()
	e.request.SetTimeout(e.wire.timeout)
	if err := e.wire.client.Do(&e.request, &e.response); err != nil {
		return noAnswer(where, err, e.wire.timeout)
	}
	return nil
}

// unexpected is the failure for a status that is not the one of success, with the reason
// that came with it.
func (e *exchange) unexpected(where string) error {
	kind, why := "status "+strconv.Itoa(e.response.StatusCode())+" at "+where, e.reason()
	if why.code != "" {
		kind += ": " + why.code
	}
	return failf(kind, "%s", why.detail())
}
