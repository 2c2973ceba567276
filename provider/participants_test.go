package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
)

// online is a request for access while the user is signed in only.
func online() params { return codeRequest().with(params{"scope": "openid profile"}) }

// issued is what one browser's session gave to the public client.
type issued struct {
	browser       *providertest.Browser
	online, keeps answer // without and with offline_access
	code          string // unspent
}

// issue signs alice in with a new browser.
func issue(t *testing.T, op *providertest.Server) issued {
	t.Helper()
	b := providertest.NewBrowser(t)
	get := func(p params) string {
		return b.SignIn(authorizeURL(op, p), "alice", "alice").Query().Get("code")
	}
	return issued{
		browser: b,
		online:  postForm(t, op.URL()+"/token", redeem(get(online())), nil),
		keeps:   postForm(t, op.URL()+"/token", redeem(get(codeRequest())), nil),
		code:    get(online()),
	}
}

// wantLive checks a session's tokens at userinfo, introspection and the token
// endpoint. What was issued with offline_access lives in any case.
func (i issued) wantLive(t *testing.T, op *providertest.Server, live bool) {
	t.Helper()
	status := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}
	for _, tt := range []struct {
		name   string
		tokens answer
		live   bool
	}{{"online", i.online, live}, {"offline", i.keeps, true}} {
		access := tt.tokens.text("access_token")
		if got := get(t, op.URL()+"/userinfo", bearer(access)).Status; got != status[tt.live] {
			t.Errorf("%s: userinfo %d, want live: %v", tt.name, got, tt.live)
		}
		if got := introspect(t, op, access, asWeb).Body["active"]; got != tt.live {
			t.Errorf("%s: introspection says active: %v, want %v", tt.name, got, tt.live)
		}
	}
	if a := postForm(t, op.URL()+"/token", refreshRequest(i.keeps.text("refresh_token")), nil); a.Status != http.StatusOK {
		t.Errorf("refresh: %d %s", a.Status, a.Raw)
	}
	a := postForm(t, op.URL()+"/token", redeem(i.code), nil)
	if live && a.Status != http.StatusOK {
		t.Errorf("code: %d %s", a.Status, a.Raw)
	}
	if !live {
		wantError(t, a, http.StatusBadRequest, "invalid_grant")
	}
}

// introspecting lets the confidential client introspect the default tokens.
func introspecting(t *testing.T) *providertest.Server {
	t.Helper()
	clients := providertest.DefaultClients()
	clients[0].Audience, clients[1].ResourceServer = []string{resourceAudience}, resourceAudience
	return providertest.Start(t, &providertest.Options{Clients: clients})
}

// TestSignOutRevokes: OIDC Core §11, Back-Channel Logout §2.7. What the user
// allowed for the time of the session ends with it, and nothing else.
func TestSignOutRevokes(t *testing.T) {
	op := introspecting(t)
	gone, elsewhere, control := issue(t, op), issue(t, op), issue(t, op)
	control.wantLive(t, op, true)
	gone.browser.Get(logoutURL(op, goodLogout(gone.online.text("id_token"))))
	gone.wantLive(t, op, false)
	elsewhere.wantLive(t, op, true)
}

// TestSignOutRevokesFrontChannelTokens: those of the implicit and hybrid flows.
func TestSignOutRevokesFrontChannelTokens(t *testing.T) {
	op := providertest.Start(t, nil)
	b := providertest.NewBrowser(t)
	got := response(t, b.SignIn(authorizeURL(op, online().with(params{"response_type": "id_token token"})), "alice", "alice"))
	access := bearer(got.Get("access_token"))
	if a := get(t, op.URL()+"/userinfo", access); a.Status != http.StatusOK {
		t.Fatalf("before: %d", a.Status)
	}
	b.Get(logoutURL(op, goodLogout(got.Get("id_token"))))
	if a := get(t, op.URL()+"/userinfo", access); a.Status != http.StatusUnauthorized {
		t.Errorf("afterwards: %d", a.Status)
	}
}

// TestAnotherUserSignsIn: the browser's first user is signed out by that.
func TestAnotherUserSignsIn(t *testing.T) {
	op := introspecting(t)
	for _, tt := range []struct {
		user string
		live bool
	}{{"bob", false}, {"alice", true}} {
		t.Run(tt.user, func(t *testing.T) {
			first := issue(t, op)
			callback := first.browser.SignIn(authorizeURL(op, online().with(params{"prompt": "login"})), tt.user, tt.user)
			second := postForm(t, op.URL()+"/token", redeem(callback.Query().Get("code")), nil)
			first.wantLive(t, op, tt.live)
			if got := get(t, op.URL()+"/userinfo", bearer(second.text("access_token"))); got.Status != http.StatusOK {
				t.Errorf("the second sign-in's token: %d", got.Status)
			}
		})
	}
}

// TestSessionClients: which clients a session's end concerns.
func TestSessionClients(t *testing.T) {
	op := providertest.Start(t, nil)
	b := providertest.NewBrowser(t)
	b.SignIn(authorizeURL(op, online().with(params{"scope": "email"})), "alice", "alice") // no ID token, no "sid"
	idToken := postForm(t, op.URL()+"/token",
		redeem(b.SignIn(authorizeURL(op, online()), "", "").Query().Get("code")), nil).text("id_token")
	claims := claimsOf(t, idToken)
	sid, _ := claims["sid"].(string)
	want := []storage.SessionClient{{SID: sid, ClientID: providertest.PublicClient, Subject: claims["sub"].(string), ClientSID: sid}}
	first := sessionClients(t, op, sid, want)

	// A new login of the same user moves the end for all, joined before or after.
	b.SignIn(authorizeURL(op, webRequest().with(params{"prompt": "login", "scope": "openid"})), "alice", "alice")
	want = append(want, want[0])
	want[1].ClientID = providertest.ConfidentialClient
	second := sessionClients(t, op, sid, want)
	if !second.After(first) {
		t.Errorf("the session ends at %s, and after a new login at %s", first, second)
	}
}

// sessionClients compares the clients of a session and returns their common end.
func sessionClients(t *testing.T, op *providertest.Server, sid string, want []storage.SessionClient) time.Time {
	t.Helper()
	got, err := op.Store.SessionClients(t.Context(), sid)
	if err != nil || len(got) == 0 {
		t.Fatalf("clients %v, %v", got, err)
	}
	end := got[0].ExpiresAt
	for i := range got {
		if !got[i].ExpiresAt.Equal(end) {
			t.Errorf("client %s: until %s, not %s", got[i].ClientID, got[i].ExpiresAt, end)
		}
		got[i].ExpiresAt = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	return end
}

// TestSessionEndsUnderARequest: the user signs out in another tab between the
// look at the session and the commit. Nothing may be issued on it any more.
func TestSessionEndsUnderARequest(t *testing.T) {
	for _, tt := range []struct {
		name, prompt, wantError string
		ends                    int // how often a session ends under it
	}{
		{"once", "", "", 1},
		{"silently", "none", "login_required", 1},
		{"twice", "consent", "login_required", 2},
		{"control", "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op, store := startFaulty(t, providertest.Options{})
			b := providertest.NewBrowser(t)
			b.SignIn(authorizeURL(op, online()), "alice", "alice")
			var issued int
			store.onCommit = func(c storage.Changes) error {
				if len(c.Grants) == 0 {
					return nil
				}
				if issued++; issued > tt.ends {
					return nil
				}
				return store.Store.Commit(t.Context(), storage.Changes{At: c.At, EndSessions: []storage.Digest{c.RequireSession}})
			}
			page, logins := b.Get(authorizeURL(op, online().with(params{"prompt": tt.prompt}))), 0
			for page.Callback == nil {
				switch page.URL.Path {
				case "/login":
					logins++
					page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
				case "/consent":
					page = b.Submit(page, "allow", nil)
				default:
					t.Fatalf("no answer to the client but %d at %s", page.Status, page.URL)
				}
			}
			if want := min(tt.ends, 1); tt.prompt != "none" && logins != want {
				t.Errorf("%d logins, want %d", logins, want)
			}
			got := page.Callback.Query()
			if got.Get("error") != tt.wantError || got.Has("code") != (tt.wantError == "") || got.Get("state") != online()["state"] {
				t.Errorf("answer %v", got)
			}
		})
	}
}

// TestSessionEndsUnderAConsent: the consent goes with what it was for.
func TestSessionEndsUnderAConsent(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	b := providertest.NewBrowser(t)
	page := b.Submit(b.Get(authorizeURL(op, online())), "submit", map[string]string{"username": "alice", "password": "alice"})
	store.onCommit = func(c storage.Changes) error {
		if len(c.Grants) == 0 {
			return nil
		}
		store.onCommit = nil
		return store.Store.Commit(t.Context(), storage.Changes{At: c.At, EndSessions: []storage.Digest{c.RequireSession}})
	}
	if page = b.Submit(page, "allow", nil); page.Callback != nil || page.URL.Path != "/login" {
		t.Fatalf("no login but %d at %s", page.Status, page.URL)
	}
	page = b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	if page.URL.Path != "/consent" || !strings.Contains(page.Body, "Allow access") {
		t.Errorf("no question but %d at %s", page.Status, page.URL)
	}
}

// TestLoginIsAnsweredInOneCommit: where nothing stands between the login and the answer,
// the session is written with what is issued on it, and neither without the other.
func TestLoginIsAnsweredInOneCommit(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	providertest.NewBrowser(t).SignIn(authorizeURL(op, online()), "alice", "alice") // the consent is remembered
	var commits []storage.Changes
	store.setOnCommit(func(c storage.Changes) error {
		commits = append(commits, c)
		return nil
	})
	b := providertest.NewBrowser(t)
	page := b.Get(authorizeURL(op, online()))
	store.fail("Commit")
	failed := b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"})
	if failed.Status != http.StatusServiceUnavailable || failed.Callback != nil {
		t.Errorf("answer %d at %s; want the provider's own 503", failed.Status, failed.URL)
	}
	if set := failed.Header.Values("Set-Cookie"); len(set) > 0 {
		t.Errorf("the browser is given the cookies of a login that is not there: %q", set)
	}
	store.repair()
	wantSession(t, op, b, false)
	if got := b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"}); got.Callback == nil || !got.Callback.Query().Has("code") {
		t.Fatalf("no code but %d at %s", got.Status, got.URL)
	}
	if got := b.Get(authorizeURL(op, online().with(params{"prompt": "none"}))).Callback; got == nil || !got.Query().Has("code") {
		t.Errorf("afterwards nobody is signed in: %v", got)
	}
	commits = commits[:len(commits)-1]
	if len(commits) != 1 || len(commits[0].Sessions) != 1 || len(commits[0].Grants) != 1 || len(commits[0].SessionClients) != 1 {
		t.Errorf("%d commits, want one with session, grant and client", len(commits))
	}
}
