package provider_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// atLogin opens the login page of a new browser.
func atLogin(t *testing.T, op *providertest.Server) (*providertest.Browser, *providertest.Page) {
	t.Helper()
	b := providertest.NewBrowser(t)
	page := b.Get(authorizeURL(op, codeRequest()))
	if page.URL.Path != "/login" || page.Field("csrf") == "" {
		t.Fatalf("no login page: %d at %s", page.Status, page.URL.Path)
	}
	return b, page
}

// TestLoginChecksEveryInput: one thing is wrong, and nobody is signed in.
func TestLoginChecksEveryInput(t *testing.T) {
	op, other := providertest.Start(t, nil), providertest.Start(t, nil)
	_, elsewhere := atLogin(t, op)
	_, foreign := atLogin(t, other)
	tests := []struct {
		name   string
		change params
		status int
		text   string
	}{
		{"wrong password", params{"password": "bob"}, 401, "wrong"},
		{"password in capitals", params{"password": "ALICE"}, 401, "wrong"},
		{"password and a space", params{"password": "alice "}, 401, "wrong"},
		{"no password", params{"password": ""}, 401, "wrong"},
		{"unknown user", params{"username": "mallory"}, 401, "wrong"},
		{"user in capitals", params{"username": "Alice"}, 401, "wrong"},
		{"no user", params{"username": ""}, 401, "wrong"},
		{"sub in place of the username", params{"username": "248289761001"}, 401, "wrong"},
		{"no CSRF token", params{"csrf": ""}, 403, "not sent from this page"},
		{"CSRF token of another browser", params{"csrf": elsewhere.Field("csrf")}, 403, "not sent from this page"},
		{"no request", params{"request": ""}, 400, "invalid_request"},
		{"request of another provider", params{"request": foreign.Field("request")}, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, page := atLogin(t, op)
			fields := params{"username": "alice", "password": "alice", "csrf": page.Field("csrf"), "request": page.Field("request")}
			got := b.Post(op.URL()+"/login", fields.with(tt.change).values())
			if got.Status != tt.status || got.Callback != nil || !strings.Contains(got.Body, tt.text) {
				t.Errorf("answer %d, want %d with %q:\n%s", got.Status, tt.status, tt.text, got.Body)
			}
			if cookie := got.Header.Get("Set-Cookie"); strings.Contains(cookie, "op_session") {
				t.Errorf("a session began: %q", cookie)
			}
			wantSession(t, op, b, false)
			if tt.status == 400 {
				return
			}
			// The page that says so is a login page, and it works.
			again := b.Submit(got, "submit", map[string]string{"username": "alice", "password": "alice"})
			if again.URL.Path != "/consent" {
				t.Errorf("the next try: %d at %s", again.Status, again.URL.Path)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		b, page := atLogin(t, op)
		if got := b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"}); got.URL.Path != "/consent" {
			t.Errorf("answer %d at %s", got.Status, got.URL.Path)
		}
	})
}

// TestLoginTellsNoUsernames: the answers for a wrong password and for an
// unknown user are the same but for what was typed.
func TestLoginTellsNoUsernames(t *testing.T) {
	op := providertest.Start(t, &providertest.Options{Users: provider.SeedUsers()})
	b, page := atLogin(t, op)
	answers := map[string]string{}
	for _, name := range []string{"bob", "zoe"} {
		got := b.Submit(page, "submit", map[string]string{"username": name, "password": "guess"})
		answers[name] = strings.ReplaceAll(got.Body, name, "NAME")
	}
	if diff := cmp.Diff(answers["bob"], answers["zoe"]); diff != "" {
		t.Errorf("known user, unknown user:\n%s", diff)
	}
}

// TestLoginWithoutACookie: a browser that keeps none gets no further.
func TestLoginWithoutACookie(t *testing.T) {
	op := providertest.Start(t, nil)
	_, page := atLogin(t, op)
	fields := params{"username": "alice", "password": "alice", "csrf": page.Field("csrf"), "request": page.Field("request")}
	a := postForm(t, op.URL()+"/login", fields, nil)
	if a.Status != http.StatusForbidden || strings.Contains(strings.Join(a.Header.Values("Set-Cookie"), ";"), "op_session") {
		t.Errorf("answer %d, cookies %v", a.Status, a.Header.Values("Set-Cookie"))
	}
}

// TestLoginMakesANewCookie: a value that was in the browser before the login,
// planted or not, is worth nothing afterwards (session fixation).
func TestLoginMakesANewCookie(t *testing.T) {
	op := serving(t, provider.Config{})
	op.cookies["op_session"] = "planted"
	op.code(t)
	first := op.cookies["op_session"]
	if first == "planted" || len(first) < 43 {
		t.Fatalf("cookie %q", first)
	}
	op.authorize(t, codeRequest().with(params{"prompt": "login"}))
	second := op.cookies["op_session"]
	if second == first {
		t.Error("the second login kept the cookie's value")
	}
	for _, tt := range []struct{ name, cookie, want string }{
		{"planted", "planted", "login_required"}, {"of the first login", first, "login_required"}, {"control", second, ""},
	} {
		op.cookies["op_session"] = tt.cookie
		if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != tt.want {
			t.Errorf("cookie %s: error %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestSecondLoginKeepsTheSID: "sid" is the session's public name. It stays when
// the same user signs in again, and changes with the user.
func TestSecondLoginKeepsTheSID(t *testing.T) {
	op := serving(t, provider.Config{})
	sid := func(p params) any {
		return claimsOf(t, op.token(t, redeem(op.authorize(t, p).Get("code"))).text("id_token"))["sid"]
	}
	first := sid(codeRequest())
	if again := sid(codeRequest().with(params{"prompt": "login"})); first == nil || again != first {
		t.Errorf("sid %v, then %v", first, again)
	}
	op.cookies = map[string]string{}
	if other := sid(codeRequest()); other == first {
		t.Error("another browser has the same sid")
	}
}

// TestCookieAttributes: over https "__Host-" and None, over http neither.
func TestCookieAttributes(t *testing.T) {
	for _, tt := range []struct{ issuer, name, session, csrf, state string }{
		{"http://op.localhost", "", "Path=/; HttpOnly; SameSite=Lax", "Path=/; HttpOnly; SameSite=Lax", "Path=/; SameSite=Lax"},
		{
			"https://op.localhost", "__Host-", "Path=/; HttpOnly; Secure; SameSite=None", "Path=/; HttpOnly; Secure; SameSite=Lax",
			"Path=/; Secure; SameSite=None",
		},
	} {
		t.Run(tt.issuer, func(t *testing.T) {
			op := serving(t, provider.Config{Issuer: tt.issuer})
			login := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
			page := op.do(t, http.MethodGet, login, nil, nil)
			wantCookies(t, page.Header(), tt.name+"op_csrf", tt.csrf)
			form := inputs(t, page.Body.String())
			form.Set("username", "alice")
			form.Set("password", "alice")
			wantCookies(t, op.do(t, http.MethodPost, "/login", form, nil).Header(),
				tt.name+"op_session", tt.session, tt.name+"op_browser_state", tt.state,
				tt.name+"op_known_browser", tt.csrf)
			if got := op.authorize(t, codeRequest()); !got.Has("code") {
				t.Errorf("the cookies do not work: %v", got)
			}
		})
	}
}

// wantCookies checks the cookies that an answer sets: name and attributes of
// each, of which a time may stand between them.
func wantCookies(t *testing.T, h http.Header, want ...string) {
	t.Helper()
	var got []string
	for _, cookie := range h.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(cookie, "=")
		_, attributes, _ := strings.Cut(rest, "; ")
		got = append(got, name, regexp.MustCompile(`Max-Age=[0-9]+; `).ReplaceAllString(attributes, ""))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
}

// TestHTTPSIgnoresOtherCookieNames: only the "__Host-" name counts, which no
// sibling host can set.
func TestHTTPSIgnoresOtherCookieNames(t *testing.T) {
	op := serving(t, provider.Config{Issuer: "https://op.localhost"})
	op.code(t)
	op.cookies = map[string]string{"op_session": op.cookies["__Host-op_session"]}
	if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != "login_required" {
		t.Errorf("error %q", got)
	}
}

// atConsent signs alice in, in process, and returns the fields of the consent page.
func atConsent(t *testing.T, op *inProcess) url.Values {
	t.Helper()
	login := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
	form := inputs(t, op.do(t, http.MethodGet, login, nil, nil).Body.String())
	form.Set("username", "alice")
	form.Set("password", "alice")
	consent := op.do(t, http.MethodPost, "/login", form, nil).Header().Get("Location")
	if !strings.HasPrefix(consent, "/consent?") {
		t.Fatalf("no consent page but %q", consent)
	}
	return inputs(t, op.do(t, http.MethodGet, consent, nil, nil).Body.String())
}

// TestConsentChecksEveryInput: no code leaves without the user's own yes.
func TestConsentChecksEveryInput(t *testing.T) {
	op := serving(t, provider.Config{})
	other := &inProcess{handler: op.handler, cookies: map[string]string{}}
	foreign := atConsent(t, other).Get("csrf")
	tests := []struct {
		name   string
		change params
		status int
	}{
		{"no CSRF token", params{"csrf": ""}, 403},
		{"CSRF token of another browser", params{"csrf": foreign}, 403},
		{"no decision", params{"decision": ""}, 400},
		{"another decision", params{"decision": "maybe"}, 400},
		{"no request", params{"request": ""}, 400},
		{"request changed", params{"request": "A"}, 400},
		{"control", nil, 303},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form := atConsent(t, &inProcess{handler: op.handler, cookies: op.cookies})
			form.Set("decision", "allow")
			for name, value := range tt.change {
				form.Set(name, value)
			}
			rec := op.do(t, http.MethodPost, "/consent", form, nil)
			if code := strings.Contains(rec.Header().Get("Location"), "code="); rec.Code != tt.status || code != (tt.status == 303) {
				t.Errorf("answer %d to %q, want %d", rec.Code, rec.Header().Get("Location"), tt.status)
			}
			op.cookies = map[string]string{}
		})
	}
}

// TestPlantedCSRFCookie: over http a sibling host can set a cookie for ours. An
// attacker who plants the cookie of his own visit has tokens that fit it, and
// still cannot make alice's browser allow or sign out anything.
func TestPlantedCSRFCookie(t *testing.T) {
	attacker := serving(t, provider.Config{})
	consent := atConsent(t, attacker)
	logout := inputs(t, attacker.do(t, http.MethodGet, "/logout", nil, nil).Body.String())
	login := attacker.do(t, http.MethodGet, "/authorize?"+codeRequest().with(params{"prompt": "login"}).values().Encode(), nil, nil).Header().Get("Location")
	beforeLogin := inputs(t, attacker.do(t, http.MethodGet, login, nil, nil).Body.String())

	victim := &inProcess{handler: attacker.handler, cookies: map[string]string{}}
	own := atConsent(t, victim)
	cookies := maps.Clone(victim.cookies)
	cookies["op_csrf"] = attacker.cookies["op_csrf"]
	for _, token := range []string{consent.Get("csrf"), logout.Get("csrf"), beforeLogin.Get("csrf")} {
		planted := &inProcess{handler: attacker.handler, cookies: maps.Clone(cookies)}
		form := url.Values{"request": {consent.Get("request")}, "csrf": {token}, "decision": {"allow"}}
		if rec := planted.do(t, http.MethodPost, "/consent", form, nil); rec.Code != http.StatusForbidden {
			t.Errorf("consent: %d to %q", rec.Code, rec.Header().Get("Location"))
		}
		form = url.Values{"csrf": {token}, "logout": {"yes"}}
		if rec := planted.do(t, http.MethodPost, "/logout", form, nil); rec.Code != http.StatusForbidden {
			t.Errorf("logout: %d", rec.Code)
		}
	}
	own.Set("decision", "allow")
	if rec := victim.do(t, http.MethodPost, "/consent", own, nil); rec.Code != http.StatusSeeOther {
		t.Errorf("control: %d", rec.Code)
	}
}

// TestSiblingHostSendsNoForm: with the planted cookie the login form's token
// fits, but the browser says who sent the form (Fetch Metadata).
func TestSiblingHostSendsNoForm(t *testing.T) {
	for site, want := range map[string]int{
		"same-origin": http.StatusSeeOther, "": http.StatusSeeOther, // old browsers do not say
		"same-site": http.StatusForbidden, "cross-site": http.StatusForbidden, "none": http.StatusForbidden,
	} {
		op := serving(t, provider.Config{})
		location := op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location")
		form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
		form.Set("username", "alice")
		form.Set("password", "alice")
		rec := op.do(t, http.MethodPost, "/login", form, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) })
		if rec.Code != want || (op.cookies["op_session"] != "") != (want == http.StatusSeeOther) {
			t.Errorf("Sec-Fetch-Site %q: answer %d, cookies %v; want %d", site, rec.Code, op.cookies, want)
		}
	}
}

// TestLoginInTwoTabs: the second form still works after the first was sent.
func TestLoginInTwoTabs(t *testing.T) {
	op := providertest.Start(t, nil)
	b, first := atLogin(t, op)
	second := b.Get(authorizeURL(op, codeRequest()))
	for _, page := range []*providertest.Page{first, second} {
		if got := b.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"}); got.URL.Path != "/consent" {
			t.Errorf("answer %d at %s", got.Status, got.URL.Path)
		}
	}
}

// TestConsentAfterSigningOut: the page leads to the login, not to a code.
func TestConsentAfterSigningOut(t *testing.T) {
	op := serving(t, provider.Config{})
	form := atConsent(t, op)
	form.Set("decision", "allow")
	signOut := inputs(t, op.do(t, http.MethodGet, "/logout", nil, nil).Body.String())
	signOut.Set("logout", "yes")
	op.do(t, http.MethodPost, "/logout", signOut, nil)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		target := "/consent"
		if method == http.MethodGet {
			target += "?" + url.Values{"request": form["request"]}.Encode()
		}
		rec := op.do(t, method, target, form, nil)
		if got := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || !strings.HasPrefix(got, "/login?") {
			t.Errorf("%s: %d to %q", method, rec.Code, got)
		}
	}
}

// TestRemovedUserIsSignedOut: the session is worth nothing without its user.
func TestRemovedUserIsSignedOut(t *testing.T) {
	op := providertest.Start(t, nil)
	before := sameStore(t, op, nil, nil)
	before.code(t)
	silent := codeRequest().with(params{"prompt": "none"})
	if got := before.authorize(t, silent); !got.Has("code") {
		t.Fatalf("control: %v", got)
	}
	after := sameStore(t, op, nil, provider.SeedUsers()[1:])
	after.cookies = before.cookies
	if got := after.authorize(t, silent).Get("error"); got != "login_required" {
		t.Errorf("error %q", got)
	}
}

// TestPostToAuthorizeFromAnotherSite: without our cookie the request comes
// again as a GET, which has it.
func TestPostToAuthorizeFromAnotherSite(t *testing.T) {
	op := serving(t, provider.Config{})
	op.code(t)
	crossSite := &inProcess{handler: op.handler, cookies: map[string]string{}}
	rec := crossSite.do(t, http.MethodPost, "/authorize", codeRequest().values(), nil)
	location := rec.Header().Get("Location")
	if rec.Code != http.StatusSeeOther || !strings.HasPrefix(location, "/authorize/resume?request=") || len(rec.Header().Values("Set-Cookie")) > 0 {
		t.Fatalf("answer %d to %q", rec.Code, location)
	}
	got, err := url.Parse(op.do(t, http.MethodGet, location, nil, nil).Header().Get("Location"))
	if err != nil || !got.Query().Has("code") || got.Query().Get("state") != "state-0123456789" {
		t.Errorf("then: %v", got)
	}
}

// TestSessionStoreFailure: an answer that can be tried again, where there is one.
func TestSessionStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	b, _ := signedIn(t, op)
	store.fail("Session")
	if got := b.Get(authorizeURL(op, codeRequest())).Callback; got == nil || got.Query().Get("error") != "temporarily_unavailable" {
		t.Errorf("authorize: %v", got)
	}
	if page := b.Get(op.URL() + "/"); page.Status != http.StatusServiceUnavailable || strings.Contains(page.Body, "input/output") {
		t.Errorf("home: %d\n%s", page.Status, page.Body)
	}
	store.repair()
	wantSession(t, op, b, true)

	fresh, page := atLogin(t, op)
	again := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "login"})))
	store.fail("Commit")
	if got := fresh.Submit(page, "submit", map[string]string{"username": "alice", "password": "alice"}); got.Status != http.StatusServiceUnavailable || got.Callback != nil {
		t.Errorf("login: %d at %s", got.Status, got.URL.Path)
	}
	if got := b.Submit(again, "submit", map[string]string{"username": "alice", "password": "alice"}); got.Status != http.StatusServiceUnavailable || got.Header.Get("Set-Cookie") != "" {
		t.Errorf("second login: %d, Set-Cookie %q", got.Status, got.Header.Get("Set-Cookie"))
	}
	store.repair()
	wantSession(t, op, fresh, false)
	wantSession(t, op, b, true)
}
