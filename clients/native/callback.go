package native

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// callbackPath is the path of the redirect URI.
const callbackPath = "/callback"

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// page is what the browser shows at the end.
type page struct {
	OK     bool
	Title  string
	Detail string
}

// callback is the loopback listener of one login: it lets one response
// through, and holds the browser until the program knows what to tell it.
type callback struct {
	server    *http.Server
	host      string // what the Host header must be
	state     string
	logger    *slog.Logger
	taken     atomic.Bool
	responses chan url.Values
	answers   chan page
}

func serveCallback(ln net.Listener, state string, logger *slog.Logger) *callback {
	c := &callback{
		host: ln.Addr().String(), state: state, logger: logger,
		responses: make(chan url.Values, 1), answers: make(chan page, 1),
	}
	c.server = &http.Server{
		Handler:           c,
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // it would print what strangers send
	}
	c.server.SetKeepAlivesEnabled(false) // one answer, then the program ends
	go c.server.Serve(ln)                //nolint:errcheck // ends with close
	return c
}

// ServeHTTP decides which request is the authorization response.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A page whose own host name suddenly points at 127.0.0.1 is "same origin"
	// with this listener; the Host header gives it away (DNS rebinding).
	if r.Host != c.host {
		c.refuse(w, http.StatusBadRequest, "The request is for another host.")
		return
	}
	if r.URL.Path != callbackPath {
		http.NotFound(w, r) // /favicon.ico
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		c.refuse(w, http.StatusMethodNotAllowed, "The response of a code flow comes with GET.")
		return
	}
	// RFC 6749 §10.12. In constant time, as for any secret.
	params := r.URL.Query()
	if len(params["state"]) != 1 || subtle.ConstantTimeCompare([]byte(params.Get("state")), []byte(c.state)) != 1 {
		c.logger.WarnContext(r.Context(), "refused a callback with another state, still waiting for the right one")
		c.refuse(w, http.StatusBadRequest, "The state is not the one of the sign-in that is under way (RFC 6749 §10.12). That one goes on.")
		return
	}
	// One response per login: a reload, or a replay from the history.
	if !c.taken.CompareAndSwap(false, true) {
		c.refuse(w, http.StatusBadRequest, "This sign-in was answered already.")
		return
	}
	c.responses <- params
	select {
	case p := <-c.answers:
		status := http.StatusOK
		if !p.OK {
			status = http.StatusBadRequest
		}
		writePage(w, status, p)
	case <-r.Context().Done(): // the browser went away; the login goes on
	}
}

// wait returns the parameters of the response that carries the right state.
func (c *callback) wait(ctx context.Context) (url.Values, error) {
	select {
	case params := <-c.responses:
		return params, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// answer tells the browser how the login went. Details of a failure belong to
// the terminal: what failed may be this very page's request.
func (c *callback) answer(result *Result, err error) {
	if err != nil {
		c.answers <- page{Title: "Not signed in", Detail: "The command line says which check failed. You can close this window."}
		return
	}
	c.answers <- page{OK: true, Title: "Signed in as " + result.Name(), Detail: "You can close this window and return to the command line."}
}

// close lets an answer under way reach the browser, then ends the listener.
func (c *callback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c.server.Shutdown(ctx) != nil { // a browser's spare connection, still unused
		c.server.Close()
	}
}

func (c *callback) refuse(w http.ResponseWriter, status int, detail string) {
	writePage(w, status, page{Title: "Not accepted", Detail: detail})
}

// writePage writes the page, which is complete in itself: by the time a
// browser would ask for a style sheet, the listener is gone.
func writePage(w http.ResponseWriter, status int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash()+"'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	pageTemplate.Execute(w, p) //nolint:errcheck // the browser went away
}

// styleHash is the CSP source expression for the page's one style element.
func styleHash() string {
	_, style, _ := strings.Cut(pageSource, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
