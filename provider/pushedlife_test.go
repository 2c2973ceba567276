package provider_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestPushedRequestIsGone: what is kept of a request, which anybody can push for a
// public client, ends with its request_uri. Windows that were opened in time
// can still answer it, once.
func TestPushedRequestIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.NewModel()
		op := serving(t, provider.Config{Store: store})
		op.authorize(t, codeRequest()) // signs alice in and has her consent
		a := op.answer(t, http.MethodPost, "/par", codeRequest().with(params{"prompt": "consent"}).values(), nil)
		begin := time.Now()
		if a.Body["expires_in"] != 90. {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		target := "/authorize?" + pushed("spa", a.text("request_uri")).values().Encode()
		open := func() string {
			t.Helper()
			location := op.do(t, http.MethodGet, target, nil, nil).Header().Get("Location")
			if !strings.HasPrefix(location, "/consent?") {
				t.Fatalf("no consent page but %q", location)
			}
			return location
		}
		sweep := func() {
			t.Helper()
			if _, err := store.Sweep(t.Context(), time.Now(), 1000); err != nil {
				t.Fatal(err)
			}
		}
		answer := func(location, decision string) *http.Response {
			t.Helper()
			form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
			form.Set("decision", decision)
			return op.do(t, http.MethodPost, "/consent", form, nil).Result()
		}
		first := open()
		time.Sleep(90*time.Second - time.Nanosecond)
		second, third := open(), open()
		sweep()
		id := storage.DigestOf(a.text("request_uri"))
		if _, err := store.PushedRequest(t.Context(), id); err != nil {
			t.Errorf("in the last moment: %v", err)
		}
		time.Sleep(2 * time.Nanosecond)
		sweep()
		if _, err := store.PushedRequest(t.Context(), id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
		if done := answer(first, "allow"); !strings.Contains(done.Header.Get("Location"), "code=") {
			t.Errorf("the first answer: %d to %q", done.StatusCode, done.Header.Get("Location"))
		}
		time.Sleep(time.Hour - time.Since(begin) + 89*time.Second)
		sweep()
		for location, decision := range map[string]string{second: "allow", third: "deny"} {
			if again := answer(location, decision); again.StatusCode != http.StatusBadRequest || again.Header.Get("Location") != "" {
				t.Errorf("%s an hour later: %d to %q", decision, again.StatusCode, again.Header.Get("Location"))
			}
		}
		late := op.do(t, http.MethodGet, target, nil, nil)
		if late.Code != http.StatusBadRequest || !strings.Contains(late.Body.String(), "is not known") {
			t.Errorf("the request_uri itself: %d\n%s", late.Code, late.Body)
		}
	})
}
