package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// twoTabs are two tabs of alice's browser, in which she is signed in at rp-0 and
// rp-1, and not at rp-2. What the second does comes between what the first one's request read and
// its commit.
type twoTabs struct {
	*inProcess
	*receivers
	t       *testing.T
	store   *faultyStore
	idToken string // of rp-0
	sid     any
}

func newTwoTabs(t *testing.T) *twoTabs {
	t.Helper()
	store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
	op, rs := receiving(t, 3, provider.Config{Store: store}, nil)
	op.joins(t, "rp-1")
	idToken := op.joins(t, "rp-0")
	return &twoTabs{inProcess: op, receivers: rs, t: t, store: store, idToken: idToken, sid: claimsOf(t, idToken)["sid"]}
}

// before lets the second tab act before the first commit that is a login or a
// sign-out.
func (tabs *twoTabs) before(is func(storage.Changes) bool, second func()) {
	tabs.store.onCommit = func(c storage.Changes) error {
		if is(c) {
			tabs.store.onCommit = nil
			second()
		}
		return nil
	}
}

func isLogin(c storage.Changes) bool   { return len(c.Sessions) > 0 }
func isSignOut(c storage.Changes) bool { return len(c.SignOut) > 0 }

// signsInAnew signs a user in at rp-0, signed in or not, and returns the code.
func (tabs *twoTabs) signsInAnew(user string) string {
	tabs.t.Helper()
	return tabs.authorizeAs(tabs.t, user, online().with(params{"client_id": "rp-0", "prompt": "login"})).Get("code")
}

func (tabs *twoTabs) redeems(code string) answer {
	tabs.t.Helper()
	return tabs.token(tabs.t, redeem(code).with(params{"client_id": "rp-0"}))
}

// wantTold checks how often each client was told of the end of alice's session,
// and that they were told of no other.
func (tabs *twoTabs) wantTold(want map[string]int) {
	tabs.t.Helper()
	time.Sleep(time.Minute) // nobody waits for the clients of a user who was replaced
	if diff := cmp.Diff(want, tabs.times()); diff != "" {
		tabs.t.Errorf("told (-want +got):\n%s", diff)
	}
	for client, tokens := range tabs.told {
		if got := claimsOf(tabs.t, tokens[0])["sid"]; got != tabs.sid {
			tabs.t.Errorf("%s was told of the session %v, want %v", client, got, tabs.sid)
		}
	}
}

// wantSignedIn checks whose session a cookie stands for; "" for nobody's.
func (tabs *twoTabs) wantSignedIn(cookie, want string) {
	tabs.t.Helper()
	kept := tabs.cookies["op_session"]
	defer func() { tabs.cookies["op_session"] = kept }()
	tabs.cookies["op_session"] = cookie
	got := tabs.authorize(tabs.t, online().with(params{"client_id": "rp-0", "prompt": "none"}))
	switch {
	case want == "" && got.Get("error") != "login_required":
		tabs.t.Errorf("somebody is signed in: %v", got)
	case want != "" && !got.Has("code"):
		tabs.t.Errorf("nobody is signed in: %v", got)
	case want != "":
		if sub := claimsOf(tabs.t, tabs.redeems(got.Get("code")).text("id_token"))["sub"]; sub != want {
			tabs.t.Errorf("signed in: %v, want %v", sub, want)
		}
	}
}

// TestSignOutUnderALogin: the clients hear that the session has ended, so the
// login that was under way is another's.
func TestSignOutUnderALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		tabs.before(isLogin, func() { tabs.signsOut(t, tabs.idToken) })
		idToken := tabs.redeems(tabs.signsInAnew("alice")).text("id_token")
		if got := claimsOf(t, idToken)["sid"]; got == nil || got == tabs.sid {
			t.Errorf("the session that was announced as ended, %v, and the new one, %v, are one", tabs.sid, got)
		}
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
		tabs.wantSignedIn(tabs.cookies["op_session"], aliceSubject)
		// Its clients are those of this login alone.
		tabs.signsOut(t, idToken)
		tabs.wantTold(map[string]int{"rp-0": 2, "rp-1": 1})
	})
}

// TestLoginUnderASignOut: the login has taken the session's place, and ends as
// the session does.
func TestLoginUnderASignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		var code, cookie string
		tabs.before(isSignOut, func() { code, cookie = tabs.signsInAnew("alice"), tabs.cookies["op_session"] })
		tabs.signsOut(t, tabs.idToken)
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
		wantError(t, tabs.redeems(code), http.StatusBadRequest, "invalid_grant")
		tabs.wantSignedIn(cookie, "")
	})
}

// TestTwoLoginsAtOnce: both are the session that was there, and end with it.
func TestTwoLoginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		var second, cookie string
		tabs.before(isLogin, func() { second, cookie = tabs.signsInAnew("alice"), tabs.cookies["op_session"] })
		first := tabs.signsInAnew("alice")
		for _, code := range []string{first, second} {
			if got := claimsOf(t, tabs.redeems(code).text("id_token"))["sid"]; got != tabs.sid {
				t.Errorf("sid %v, want %v", got, tabs.sid)
			}
		}
		// Whichever cookie the browser has kept.
		tabs.wantSignedIn(cookie, aliceSubject)
		tabs.wantSignedIn(tabs.cookies["op_session"], aliceSubject)
		last := tabs.cookies["op_session"]
		tabs.signsOut(t, tabs.idToken)
		tabs.wantSignedIn(cookie, "")
		tabs.wantSignedIn(last, "")
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
	})
}

// TestTwoSignOutsAtOnce: the clients hear of it once.
func TestTwoSignOutsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		tabs.before(isSignOut, func() { tabs.signsOut(t, tabs.idToken) })
		tabs.signsOut(t, tabs.idToken)
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
	})
}

// TestFramesOfTwoSignOuts: each tab tells those who hear of it in frames, since the
// other one may be closed by then.
func TestFramesOfTwoSignOuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}}
		rp := receiver("rp")
		rp.BackchannelLogoutURI, rp.FrontchannelLogoutURI = "", "http://rp.localhost:1/frame"
		rp.RedirectURIs = append(rp.RedirectURIs, "http://rp.localhost:1/callback")
		op, rs := receiving(t, 0, provider.Config{Store: store, Clients: []provider.Client{rp}}, nil)
		tabs := &twoTabs{inProcess: op, receivers: rs, t: t, store: store, idToken: op.joins(t, "rp")}
		signsOut := func() string {
			return tabs.do(t, http.MethodGet, "/logout?"+goodLogout(tabs.idToken).values().Encode(), nil, nil).Body.String()
		}
		var second string
		tabs.before(isSignOut, func() { second = signsOut() })
		for which, page := range map[string]string{"first": signsOut(), "second": second} {
			if !strings.Contains(page, `src="http://rp.localhost:1/frame?`) {
				t.Errorf("the %s tab shows no frame:\n%s", which, page)
			}
		}
	})
}

// TestAnotherUserUnderASignOut: who was asked to leave has left, and who has
// come meanwhile stays.
func TestAnotherUserUnderASignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		tabs.before(isSignOut, func() { tabs.signsInAnew("bob") })
		rec := tabs.do(t, http.MethodGet, "/logout?"+goodLogout(tabs.idToken).values().Encode(), nil, nil)
		if rec.Code != http.StatusSeeOther || len(rec.Header().Values("Set-Cookie")) > 0 {
			t.Errorf("answer %d, cookies %v", rec.Code, rec.Header().Values("Set-Cookie"))
		}
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
		tabs.wantSignedIn(tabs.cookies["op_session"], bobSubject)
	})
}

// TestSignOutUnderAnotherUsersLogin: only the second user is signed in, and the
// first one's clients hear of one end.
func TestSignOutUnderAnotherUsersLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		tabs.before(isLogin, func() { tabs.signsOut(t, tabs.idToken) })
		idToken := tabs.redeems(tabs.signsInAnew("bob")).text("id_token")
		if got := claimsOf(t, idToken)["sid"]; got == nil || got == tabs.sid {
			t.Errorf("sid %v, and alice's was %v", got, tabs.sid)
		}
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1})
		tabs.wantSignedIn(tabs.cookies["op_session"], bobSubject)
	})
}

// TestJoinUnderALogin: a client that the user signs in at while a login prolongs
// the session is not forgotten when the session would have ended without it.
func TestJoinUnderALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tabs := newTwoTabs(t)
		time.Sleep(7 * time.Hour) // of the session's eight
		tabs.before(isLogin, func() { tabs.joins(t, "rp-2") })
		idToken := tabs.redeems(tabs.signsInAnew("alice")).text("id_token")
		if got := claimsOf(t, idToken)["sid"]; got != tabs.sid {
			t.Fatalf("the session %v became %v", tabs.sid, got)
		}
		time.Sleep(7 * time.Hour)
		if _, err := tabs.store.Sweep(t.Context(), time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		tabs.signsOut(t, idToken)
		tabs.wantTold(map[string]int{"rp-0": 1, "rp-1": 1, "rp-2": 1})
	})
}
