package provider_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// halfSent is a provider with its control plane on a real socket, for requests whose
// bodies do not come to their end. Its store fails if it is asked for anything but the
// client that a registration access token belongs to.
type halfSent struct {
	*inProcess
	address string
	log     safeBuffer
	served  chan struct{} // a value at the end of each request
	// takers are the routes that take a body by the head of a request that gets as far
	// as the body.
	takers map[string]string
}

func newHalfSent(t *testing.T, readTimeout time.Duration) *halfSent {
	t.Helper()
	op := &halfSent{served: make(chan struct{}, 1), takers: map[string]string{}}
	log := slog.New(slog.NewTextHandler(&op.log, nil))
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op.inProcess = serving(t, provider.Config{Store: store, FixedKeys: fixedKeys(), Clients: deviceClients(), Logger: log})
	op.takersOf(op.json(t, http.MethodPost, "/register", smallest(), nil))
	store.fail("Commit", "AccessToken", "RefreshToken", "Session", "Clients", "HasOrigin")

	mux := http.NewServeMux()
	mux.Handle("/", op.handler)
	mux.Handle("/keys/", op.provider().Control("", nil))
	server := provider.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		op.served <- struct{}{}
	}), nil, log)
	server.ReadTimeout = readTimeout
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go server.Serve(listener) //nolint:errcheck // ends with the test
	op.address = listener.Addr().String()
	return op
}

// takersOf finds the takers. registered is a client's registration.
func (op *halfSent) takersOf(registered answer) {
	const form, object = "\r\nContent-Type: application/x-www-form-urlencoded", "\r\nContent-Type: application/json"
	op.takers["POST /keys/rotate"] = "POST /keys/rotate HTTP/1.1" + object
	for path, methods := range op.provider().Routes() {
		for method := range strings.SplitSeq(methods, ", ") {
			head := method + " " + strings.ReplaceAll(path, "{client_id}", registered.text("client_id")) + " HTTP/1.1"
			switch {
			case method != http.MethodPost && method != http.MethodPut:
				continue
			case method == http.MethodPut:
				head += object + "\r\nAuthorization: Bearer " + registered.text("registration_access_token")
			case path == "/register":
				head += object
			default:
				head += form
			}
			op.takers[method+" "+path] = head
		}
	}
}

// send sends a request with a part of its body.
func (op *halfSent) send(t *testing.T, head string) *net.TCPConn {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", op.address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTCP("tcp", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprint(conn, head+"\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answered reads the answer, and closed is whether the connection ends with it.
func (op *halfSent) answered(t *testing.T, conn net.Conn) (status int, body string, closed bool) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(raw), response.Close
}

// quiet checks that nobody is called to the log, and that the store was left alone.
func (op *halfSent) quiet(t *testing.T, want string) {
	t.Helper()
	got := op.log.String()
	if strings.Contains(got, "level=ERROR") || strings.Contains(got, "level=WARN") || !strings.Contains(got, want) {
		t.Errorf("log, which should say %q:\n%s", want, got)
	}
}

// TestSlowBodiesAtTheProvider: RFC 9110 §15.5.9. Who sends a part and no more is told
// that the rest did not come in time, at every endpoint that takes a body.
func TestSlowBodiesAtTheProvider(t *testing.T) {
	op := newHalfSent(t, time.Nanosecond) // of which headers are not a part
	for taker, head := range op.takers {
		t.Run(taker, func(t *testing.T) {
			status, body, closed := op.answered(t, op.send(t, head))
			if status != http.StatusRequestTimeout || !closed {
				t.Errorf("answer %d, the last one of its connection: %t", status, closed)
			}
			if !strings.Contains(body, "The body came too slowly") || strings.Contains(body, "bytes") {
				t.Errorf("answer %s", body)
			}
			if strings.Contains(body, "<html") && !strings.Contains(body, "Go back and send it again") { // it is not the application's fault
				t.Errorf("page %s", body)
			}
			<-op.served
		})
	}
	op.quiet(t, "request refused")
}

// TestBodiesOfThoseWhoLeave: a client that goes away in the middle of its body costs
// nothing, and is nobody's fault.
func TestBodiesOfThoseWhoLeave(t *testing.T) {
	for how, leave := range map[string]func(*net.TCPConn) error{
		"closes": func(conn *net.TCPConn) error { return conn.Close() },
		"resets": func(conn *net.TCPConn) error {
			if err := conn.SetLinger(0); err != nil {
				return err
			}
			return conn.Close()
		},
	} {
		t.Run(how, func(t *testing.T) {
			op := newHalfSent(t, time.Minute)
			for _, head := range op.takers {
				if err := leave(op.send(t, head)); err != nil {
					t.Fatal(err)
				}
				<-op.served
			}
			op.quiet(t, "request abandoned")
		})
	}
}

// TestBodyThatIsTooShort: what came is not taken for the whole (RFC 9112 §8), and who has
// closed one direction only hears so.
func TestBodyThatIsTooShort(t *testing.T) {
	op := newHalfSent(t, time.Minute)
	for taker, head := range op.takers {
		t.Run(taker, func(t *testing.T) {
			conn := op.send(t, head)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if status, body, _ := op.answered(t, conn); status != http.StatusBadRequest || !strings.Contains(body, "The body broke off") {
				t.Errorf("answer %d\n%s", status, body)
			}
			<-op.served
		})
	}
}

// TestSlowBodyOfAStream: on HTTP/2 one slow body does not end the connection of others.
func TestSlowBodyOfAStream(t *testing.T) {
	certificate, keys := testCertificate(t), fixedKeys()
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: keys})
		only := make(chan net.Conn, 1)
		only <- connectHTTP2(t, certificate, op.handler.ServeHTTP)
		close(only)
		transport := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			if conn := <-only; conn != nil {
				return conn, nil
			}
			return nil, errors.New("a second connection is asked for")
		}}
		defer transport.CloseIdleConnections()
		body, rest := io.Pipe()
		defer rest.Close()
		for _, tt := range []struct {
			method, path string
			body         io.Reader
			want         int
		}{
			{http.MethodPost, "/token", body, http.StatusRequestTimeout},
			{http.MethodGet, "/healthz", nil, http.StatusOK},
		} {
			request, err := http.NewRequestWithContext(t.Context(), tt.method, "https://op.localhost"+tt.path, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatalf("%s: %v", tt.path, err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("%s: %d", tt.path, response.StatusCode)
			}
			synctest.Wait()
		}
	})
}
