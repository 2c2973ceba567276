package provider_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// waitingStore lets new tokens wait until they are released.
type waitingStore struct {
	storage.Store
	release chan struct{}
}

func (s waitingStore) Commit(ctx context.Context, changes storage.Changes) error {
	if len(changes.AccessTokens) > 0 {
		<-s.release
	}
	return s.Store.Commit(ctx, changes)
}

// crowded is a provider that may have so many requests under way.
type crowded struct {
	*inProcess
	store waitingStore
	under sync.WaitGroup
}

// newCrowded makes one in a bubble.
func newCrowded(t *testing.T, most int) *crowded {
	t.Helper()
	store := waitingStore{storagetest.NewModel(), make(chan struct{})}
	c := &crowded{serving(t, provider.Config{Store: store, FixedKeys: fixedKeys(), MaxConcurrentRequests: most}), store, sync.WaitGroup{}}
	t.Cleanup(c.under.Wait)
	return c
}

// begin sends a token request, which goes on until the store is released, and has
// its status checked then.
func (c *crowded) begin(t *testing.T, body io.Reader, want int) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://op.localhost/token", body)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asWeb(req)
	c.under.Go(func() {
		rec := httptest.NewRecorder()
		c.handler.ServeHTTP(rec, req)
		if rec.Code != want {
			t.Errorf("answer %d %s, want %d", rec.Code, rec.Body, want)
		}
	})
	synctest.Wait()
}

// fill has so many requests under way.
func (c *crowded) fill(t *testing.T, requests int) {
	t.Helper()
	for range requests {
		c.begin(t, strings.NewReader(machineGrant), http.StatusOK)
	}
}

// empty lets all that is under way end, and looks whether there is room again.
func (c *crowded) empty(t *testing.T) {
	t.Helper()
	close(c.store.release)
	c.under.Wait()
	if rec := c.do(t, http.MethodGet, "/jwks", nil, nil); rec.Code != http.StatusOK {
		t.Errorf("afterwards: %d", rec.Code)
	}
}

const machineGrant = "grant_type=client_credentials"

// TestTooManyRequests: RFC 9110 §15.6.4. One more than may be is answered 503 at once,
// at every endpoint but those that say whether the provider is alive.
func TestTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 3)
		op.fill(t, 2)
		if rec := op.do(t, http.MethodGet, "/jwks", nil, nil); rec.Code != http.StatusOK {
			t.Errorf("the third: %d %s", rec.Code, rec.Body)
		}
		op.fill(t, 1)
		for path, methods := range op.provider().Routes() {
			method, _, _ := strings.Cut(methods, ", ")
			rec := op.do(t, method, strings.ReplaceAll(path, "{client_id}", "x"), nil, nil)
			switch path {
			case "/healthz", "/readyz", "/style.css":
				if rec.Code != http.StatusOK {
					t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
				}
				continue
			}
			if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" ||
				rec.Header().Get("Cache-Control") != "no-store" || !strings.Contains(rec.Body.String(), `"error":"temporarily_unavailable"`) {
				t.Errorf("%s %s: %d %v %s", method, path, rec.Code, rec.Header(), rec.Body)
			}
		}
		if rec := op.do(t, http.MethodGet, "/nowhere", nil, nil); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("/nowhere: %d", rec.Code)
		}
		op.empty(t)
	})
}

// TestTooManyRequestsForAPerson: a browser gets a page.
func TestTooManyRequestsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		defer close(op.store.release)
		op.fill(t, 1)
		rec := op.do(t, http.MethodGet, "/login?request=x", nil, func(r *http.Request) { r.Header.Set("Accept", "text/html,application/xhtml+xml") })
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" ||
			!strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") || !strings.Contains(rec.Body.String(), "The provider is busy") {
			t.Errorf("answer %d %v\n%s", rec.Code, rec.Header(), rec.Body)
		}
	})
}

// TestTooManyRequestsForAScript: that of a known origin can read when to come again,
// where its like may call at all.
func TestTooManyRequestsForAScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		defer close(op.store.release)
		op.fill(t, 1)
		for _, tt := range []struct{ path, origin, want string }{
			{"/token", "http://rp.localhost:1", "http://rp.localhost:1"},
			{"/token", "http://evil.localhost", ""},
			{"/introspect", "http://rp.localhost:1", ""},
		} {
			rec := op.do(t, http.MethodPost, tt.path, nil, func(r *http.Request) { r.Header.Set("Origin", tt.origin) })
			h := rec.Header()
			if got := h.Get("Access-Control-Allow-Origin"); rec.Code != http.StatusServiceUnavailable || got != tt.want {
				t.Errorf("%s for %s: %d, allowed %q", tt.path, tt.origin, rec.Code, got)
			}
			if tt.want != "" && (h.Get("Access-Control-Expose-Headers") != "Retry-After" || h.Get("Vary") != "Origin") {
				t.Errorf("%s for %s: %v", tt.path, tt.origin, h)
			}
		}
	})
}

// TestSlowSendersTakeNoPlace: a request counts from when all of it is there.
func TestSlowSendersTakeNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		body, in := io.Pipe()
		op.begin(t, body, http.StatusOK)
		late, inLate := io.Pipe()
		op.begin(t, late, http.StatusServiceUnavailable)
		if _, err := io.WriteString(in, "grant_type="); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rec := op.do(t, http.MethodGet, "/jwks", nil, nil); rec.Code != http.StatusOK {
			t.Errorf("while others send: %d %s", rec.Code, rec.Body)
		}
		if _, err := io.WriteString(in, "client_credentials"); err != nil {
			t.Fatal(err)
		}
		_ = in.Close()
		synctest.Wait()
		if rec := op.do(t, http.MethodGet, "/jwks", nil, nil); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("when all is there: %d", rec.Code)
		}
		_ = inLate.Close() // all is there, too, but for a place
		synctest.Wait()
		close(op.store.release)
	})
}

// TestNobodyReadsForTheRefused: while there is no place, a request is answered before its
// body is there.
func TestNobodyReadsForTheRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		defer close(op.store.release)
		op.fill(t, 1)
		body, in := io.Pipe()
		defer in.Close()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			op.do(t, http.MethodPost, "/token", nil, func(r *http.Request) { r.Body, r.ContentLength = body, -1 })
		}()
		synctest.Wait()
		select {
		case <-answered:
		default:
			t.Error("it waits for the body")
		}
	})
}

// TestRefusedLeavesNoPlaceTaken: who came too late with the body has taken none.
func TestRefusedLeavesNoPlaceTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		body, in := io.Pipe()
		op.begin(t, body, http.StatusServiceUnavailable)
		op.fill(t, 1)
		_ = in.Close()
		synctest.Wait()
		op.empty(t)
	})
}

// TestTooManyRequestsAreLogged: not each of them.
func TestTooManyRequestsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := waitingStore{storagetest.NewModel(), make(chan struct{})}
		op := &crowded{serving(t, provider.Config{
			Store: store, FixedKeys: fixedKeys(), MaxConcurrentRequests: 1, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}), store, sync.WaitGroup{}}
		t.Cleanup(op.under.Wait)
		defer close(store.release)
		op.fill(t, 1)
		for _, want := range []int{1, 2} {
			for range 3 {
				op.do(t, http.MethodGet, "/jwks", nil, nil)
			}
			if got := strings.Count(log.String(), "too many are under way"); got != want {
				t.Errorf("logged %d times, want %d:\n%s", got, want, log.String())
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// TestPanicTakesNoPlace: what goes wrong ends, too.
func TestPanicTakesNoPlace(t *testing.T) {
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(changes storage.Changes) error {
		if len(changes.AccessTokens) > 0 {
			panic("of a test")
		}
		return nil
	}}
	op := serving(t, provider.Config{Store: store, FixedKeys: fixedKeys(), MaxConcurrentRequests: 1})
	for range 3 {
		rec := op.do(t, http.MethodPost, "/token", params{"grant_type": "client_credentials"}.values(), asWeb)
		if rec.Code != http.StatusInternalServerError {
			t.Errorf("answer %d %s", rec.Code, rec.Body)
		}
	}
}

// TestControlIsNotCounted: the operator can act when the provider is busy.
func TestControlIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newCrowded(t, 1)
		defer close(op.store.release)
		op.fill(t, 1)
		rec := httptest.NewRecorder()
		op.provider().Control("", nil).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/keys", nil))
		if rec.Code != http.StatusOK {
			t.Errorf("answer %d %s", rec.Code, rec.Body)
		}
	})
}
