package frontenddriven_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/internal/records"
)

// signOutThere is the provider's part in a sign-out: it posts a logout token,
// with changes, where nil removes a claim.
func (b *bench) signOutThere(t *testing.T, changes claims) answer {
	t.Helper()
	c := claims{
		"iss": opURL, "aud": "fd", "sub": "alice-1", "sid": "session-1", "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": claims{"http://schemas.openid.net/event/backchannel-logout": claims{}},
	}
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	form := url.Values{"logout_token": {signed(t, b.op.key, "logout+jwt", c)}}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/backchannel-logout", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(t, req)
}

func (b *bench) wantSignedOutThere(t *testing.T, changes claims) {
	t.Helper()
	if a := b.signOutThere(t, changes); a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d: %s", a.status, a.text)
	}
}

// loginIn signs in within a session of the provider's.
func (b *bench) loginIn(t *testing.T, sid string) answer {
	t.Helper()
	b.op.set(func(o *op) { o.idClaims = claims{"sid": sid} })
	return b.login(t)
}

// keptTokens are the provider's refresh tokens in the closed application's
// records: not in the file as it lies there, where bbolt leaves old pages.
func (b *bench) keptTokens(t *testing.T) (kept []string) {
	t.Helper()
	db, err := records.Open(b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	families, err := records.Bucket[struct {
		Token string `json:"provider_token"`
	}](db, "families")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all(t, families) {
		if f.Token != "" {
			kept = append(kept, f.Token)
		}
	}
	return kept
}

func all[T any](t *testing.T, r *records.Records[T]) (list []T) {
	t.Helper()
	if err := r.Each(func(v T) error { list = append(list, v); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestSignOutAtTheProvider ends the family of that session and no other, and the
// provider's tokens leave the file.
func TestSignOutAtTheProvider(t *testing.T) {
	b := newBench(t)
	first, second := b.loginIn(t, "session-1").str("refresh_token"), b.loginIn(t, "session-2").str("refresh_token")
	calls := b.op.calls["/token"]
	b.wantSignedOutThere(t, nil)

	if err := b.app.Close(); err != nil {
		t.Fatal(err)
	}
	if kept := b.keptTokens(t); len(kept) != 1 || b.op.refresh[kept[0]] == nil {
		t.Errorf("kept %d of the provider's refresh tokens, want the other session's alone", len(kept))
	}
	b.start(t)
	for range 2 {
		wantRefusal(t, b.refresh(t, first), 401, "invalid_grant", "signed out at the provider")
	}
	if b.op.calls["/token"] != calls || len(b.op.revoked) != 0 {
		t.Error("the provider's tokens were used")
	}
	if a := b.refresh(t, second); a.status != http.StatusOK {
		t.Errorf("another session: %d %s", a.status, a.text)
	}
	if a := b.refresh(t, b.loginIn(t, "session-3").str("refresh_token")); a.status != http.StatusOK {
		t.Errorf("signed in again: %d %s", a.status, a.text)
	}
	// Signing out here as well finds nothing more to end.
	if a := b.post(t, "/auth/logout", first, nil); a.status != http.StatusOK || a.body["provider_revoked"] != false {
		t.Errorf("logout afterwards: %d %s", a.status, a.text)
	}
}

// TestSignOutOfAllSessions: a logout token with no sid ends all of a user's.
func TestSignOutOfAllSessions(t *testing.T) {
	b := newBench(t)
	without, within := b.login(t).str("refresh_token"), b.loginIn(t, "session-1").str("refresh_token")
	b.wantSignedOutThere(t, claims{"sid": nil, "sub": "bob-1"})
	current := b.refresh(t, within).str("refresh_token")
	if current == "" {
		t.Fatal("another user's logout ended the login")
	}
	b.wantSignedOutThere(t, claims{"sid": nil})
	for _, token := range []string{without, current} {
		wantRefusal(t, b.refresh(t, token), 401, "invalid_grant", "signed out at the provider")
	}
	if a := b.refresh(t, b.login(t).str("refresh_token")); a.status != http.StatusOK {
		t.Errorf("signed in again: %d %s", a.status, a.text)
	}
}

// TestSignOutDuringARenewal waits for it, and ends what it brought.
func TestSignOutDuringARenewal(t *testing.T) {
	b := newBench(t)
	token := b.loginIn(t, "session-1").str("refresh_token")
	renewing, goOn := make(chan struct{}), make(chan struct{})
	b.op.set(func(o *op) {
		o.pause = func(path string) {
			if path == "/token" {
				close(renewing)
				<-goOn
			}
		}
	})
	renewed := make(chan answer)
	go func() { renewed <- b.refresh(t, token) }()
	<-renewing
	told := make(chan answer)
	go func() { told <- b.signOutThere(t, nil) }()
	close(goOn)
	a := <-renewed
	if out := <-told; out.status != http.StatusOK {
		t.Fatalf("status %d: %s", out.status, out.text)
	}
	b.op.set(func(o *op) { o.pause = nil })
	current := token
	if a.status == http.StatusOK {
		current = a.str("refresh_token")
	}
	wantRefusal(t, b.refresh(t, current), 401, "invalid_grant", "signed out at the provider")
}

func TestForgedSignOut(t *testing.T) {
	b := newBench(t)
	token := b.loginIn(t, "session-1").str("refresh_token")
	for name, changes := range map[string]claims{
		"another client": {"aud": "other"}, "another provider": {"iss": apiURL}, "an ID token": {"events": nil, "nonce": "n"},
		"expired": {"exp": time.Now().Add(-time.Hour).Unix()},
	} {
		if a := b.signOutThere(t, changes); a.status != http.StatusBadRequest || a.str("error") != "invalid_request" {
			t.Errorf("%s: status %d: %s", name, a.status, a.text)
		}
	}
	b.restart(t)
	b.op.set(func(o *op) { o.down = true })
	if a := b.signOutThere(t, nil); a.status != http.StatusBadRequest || a.str("error") != "server_error" {
		t.Errorf("without the provider's keys: %d %s", a.status, a.text)
	}
	b.op.set(func(o *op) { o.down = false })
	if a := b.refresh(t, token); a.status != http.StatusOK {
		t.Errorf("the login has ended: %d %s", a.status, a.text)
	}
}
