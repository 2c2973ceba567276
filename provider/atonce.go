package provider

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// defaultMaxConcurrentRequests is far beyond what is under way at once while each
// request takes milliseconds: so many that more would only wait for each other.
const defaultMaxConcurrentRequests = 1024

// maxConcurrentRequests is the configuration's, or the default.
func maxConcurrentRequests(cfg *Config) int {
	return cmp.Or(cfg.MaxConcurrentRequests, defaultMaxConcurrentRequests)
}

// uncounted are answered however many requests are under way. Who looks whether the
// provider is alive must not find it dead because it is busy: it would be restarted,
// or all replicas taken out of service at once. The style sheet is for the page
// that says so.
var uncounted = []string{pathHealth, pathReady, pathStylesheet}

// atOnce bounds how many requests are under way.
type atOnce struct {
	most  int64
	now   atomic.Int64
	noted rate.Sometimes // when the log was told last
}

func newAtOnce(most int) *atOnce {
	return &atOnce{most: int64(most), noted: rate.Sometimes{Interval: 10 * time.Second}}
}

// enter reports whether one more request may be under way. If so, leave ends it.
func (a *atOnce) enter() bool {
	if a.now.Add(1) > a.most {
		a.now.Add(-1)
		return false
	}
	return true
}

func (a *atOnce) leave() { a.now.Add(-1) }

func (a *atOnce) full() bool { return a.now.Load() >= a.most }

// counted answers 503 in place of a route's handler while too many requests are
// under way (RFC 9110 §15.6.4). A request counts from when its body is there:
// those who send slowly take nobody's place.
func (p *Provider) counted(rt route, next http.HandlerFunc) http.HandlerFunc {
	if slices.Contains(uncounted, rt.path) {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if p.atOnce.full() { // before anything is read
			p.tooBusy(w, r, rt)
			return
		}
		if !awaitBody(r) {
			// With it net/http ended the context: as if whoever sent it had left, which the
			// slow have not. The handler reads and answers as always.
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		if !p.atOnce.enter() {
			p.tooBusy(w, r, rt)
			return
		}
		defer p.atOnce.leave()
		next(w, r)
	}
}

// awaitBody reads a request's body, as far as a handler may, and puts what came in
// its place. Where the body did not come to its end it reports so, and what came is
// followed by the error: who asked the body again might be told that it is complete.
func awaitBody(r *http.Request) (whole bool) {
	const usual = 4 << 10 // bytes; a length that somebody announces may never come
	var come []byte
	var err error
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return true
	case r.ContentLength > 0 && r.ContentLength <= usual:
		come = make([]byte, r.ContentLength)
		var n int
		if n, err = io.ReadFull(r.Body, come); err == nil {
			r.Body = &arrived{bytes.NewReader(come), r.Body}
			return true
		}
		come = come[:n]
	default:
		come, err = io.ReadAll(io.LimitReader(r.Body, max(maxBody, maxRegistration)+1))
	}
	rest := io.Reader(r.Body)
	if err != nil {
		rest = brokenOff{err}
	}
	r.Body = &arrived{io.MultiReader(bytes.NewReader(come), rest), r.Body}
	return err == nil
}

// arrived is a body that is there, and closes as the one that it came from.
type arrived struct {
	io.Reader
	io.Closer
}

// brokenOff is what follows a body that did not come to its end.
type brokenOff struct{ err error }

func (b brokenOff) Read([]byte) (int, error) { return 0, b.err }

// tooBusy answers a request that is one too many. It costs next to nothing, so it
// does not ask the store whose script may read it: those of the configuration's
// clients may.
func (p *Provider) tooBusy(w http.ResponseWriter, r *http.Request, rt route) {
	p.atOnce.noted.Do(func() {
		p.log.WarnContext(r.Context(), "requests refused: too many are under way", "max_concurrent_requests", p.atOnce.most)
	})
	if origin := r.Header.Get("Origin"); rt.cors != nil && p.origins[origin] {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After")
		h.Set("Vary", "Origin")
	}
	const status, code, what = http.StatusServiceUnavailable, "temporarily_unavailable", "Too many requests are under way. Try again in a moment."
	if strings.Contains(r.Header.Get("Accept"), "text/html") { // a person's browser
		retryLater(w, status)
		p.pages.error(w, errorPage{Status: status, Code: code, Description: what})
		return
	}
	p.writeJSON(w, status, map[string]string{"error": code, "error_description": what})
}
