package frontenddriven_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func TestLogout(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	a := b.post(t, "/auth/logout", token, nil)
	if a.status != http.StatusOK || a.body["provider_revoked"] != true {
		t.Fatalf("status %d: %s", a.status, a.text)
	}
	u, err := url.Parse(a.str("logout_url"))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	hint := q.Get("id_token_hint")
	q.Del("id_token_hint")
	u.RawQuery = ""
	if u.String() != opURL+"/logout" || hint == "" {
		t.Errorf("logout at %s, hint of %d characters", u, len(hint))
	}
	want := url.Values{"client_id": {"fd"}, "post_logout_redirect_uri": {frontendURL + "/"}}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Error(diff)
	}
	if b.op.alive() != 0 {
		t.Error("the provider's refresh token is alive")
	}
	wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "has ended")

	// A second time there is nothing to end, and no hint to give away.
	again := b.post(t, "/auth/logout", token, nil)
	if u, err = url.Parse(again.str("logout_url")); err != nil || again.status != http.StatusOK || u.Query().Has("id_token_hint") {
		t.Errorf("again: %d %s", again.status, again.text)
	}
}

// An old refresh token ends the login, and gets no ID token for it.
func TestLogoutWithAnOldToken(t *testing.T) {
	b := newBench(t)
	old := b.login(t).str("refresh_token")
	current := b.refresh(t, old).str("refresh_token")
	a := b.post(t, "/auth/logout", old, nil)
	u, err := url.Parse(a.str("logout_url"))
	if err != nil || a.status != http.StatusOK || u.Query().Has("id_token_hint") {
		t.Errorf("status %d: %s", a.status, a.text)
	}
	wantRefusal(t, b.refresh(t, current), 401, "invalid_grant", "has ended")
}

// Signing out works while the provider is down; the answer says what did not.
func TestLogoutWhileTheProviderIsDown(t *testing.T) {
	b := newBench(t)
	token := b.login(t).str("refresh_token")
	b.op.set(func(o *op) { o.down = true })
	a := b.post(t, "/auth/logout", token, nil)
	if a.status != http.StatusOK || a.body["provider_revoked"] != false || a.body["logout_url"] != nil {
		t.Errorf("status %d: %s", a.status, a.text)
	}
	wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "has ended")

	b.op.set(func(o *op) { o.down = false })
	token = b.login(t).str("refresh_token")
	b.restart(t) // forgets the provider's metadata
	b.op.set(func(o *op) { o.down = true })
	if a := b.post(t, "/auth/logout", token, nil); a.status != http.StatusOK || a.body["logout_url"] != nil {
		t.Errorf("without metadata: %d %s", a.status, a.text)
	}
}
