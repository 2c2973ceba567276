package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oidclab/oidclab/provider"
)

// atLoginForm opens the login page and returns its filled-in form.
func (op *inProcess) atLoginForm(t *testing.T, username, password string) url.Values {
	t.Helper()
	location := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
	form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
	form.Set("username", username)
	form.Set("password", password)
	return form
}

// TestLoginWhileTooManyWait: no login is lost. The page comes again, says what is
// the matter, and works a moment later.
func TestLoginWhileTooManyWait(t *testing.T) {
	op := serving(t, provider.Config{})
	gate := op.provider().PasswordGate()
	gate.Bound(1, 0)
	for _, username := range []string{"alice", "nobody"} {
		form := op.atLoginForm(t, username, "alice")
		leave := gate.Occupy()
		rec := op.do(t, http.MethodPost, "/login", form, nil)
		leave()
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "Too many people sign in") {
			t.Errorf("%s: %d %v\n%s", username, rec.Code, rec.Header(), rec.Body)
		}
		again := inputs(t, rec.Body.String())
		if again.Get("username") != username || again.Get("password") != "" || again.Get("request") != form.Get("request") {
			t.Errorf("the page has %v", again)
		}
		again.Set("username", "alice")
		again.Set("password", "alice")
		if rec := op.do(t, http.MethodPost, "/login", again, nil); rec.Code != http.StatusSeeOther {
			t.Errorf("a moment later: %d\n%s", rec.Code, rec.Body)
		}
		clear(op.cookies)
	}
}

// TestHangUpWhileWaiting: whoever does not wait for the answer leaves the queue.
func TestHangUpWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{FixedKeys: fixedKeys()})
		gate := op.provider().PasswordGate()
		gate.Bound(1, 5)
		body := op.atLoginForm(t, "alice", "alice").Encode()
		leave := gate.Occupy()
		defer leave()
		here := connect(t, op.handler.ServeHTTP)
		_, err := fmt.Fprintf(here, "POST /login HTTP/1.1\r\nHost: op.localhost\r\nCookie: op_csrf=%s\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", op.cookies["op_csrf"], len(body), body)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := gate.Inside(); got != 2 {
			t.Fatalf("%d are in the gate, want the first and the one that waits", got)
		}
		_ = here.Close()
		synctest.Wait()
		if got := gate.Inside(); got != 1 {
			t.Errorf("%d are in the gate after the one that waits hung up", got)
		}
	})
}
