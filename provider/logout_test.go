package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// wantSession checks whether the browser's session at the provider is alive,
// as a client sees it: by prompt=none.
func wantSession(t *testing.T, op *providertest.Server, b *providertest.Browser, live bool) {
	t.Helper()
	page := b.Get(authorizeURL(op, codeRequest().with(params{"prompt": "none"})))
	if page.Callback == nil {
		t.Fatalf("prompt=none shows a page: %d\n%s", page.Status, page.Body)
	}
	got := page.Callback.Query()
	if live && !got.Has("code") || !live && got.Get("error") != "login_required" {
		t.Errorf("prompt=none: %v; want a live session: %v", got, live)
	}
}

func logoutURL(op *providertest.Server, p params) string {
	return op.URL() + "/logout?" + p.values().Encode()
}

// goodLogout is a request that ends the session without a question.
func goodLogout(idToken string) params {
	return params{"id_token_hint": idToken, "post_logout_redirect_uri": providertest.PostLogoutRedirectURI, "state": "bye-0123456789"}
}

// sendLogout sends a logout request by GET or POST.
func sendLogout(op *providertest.Server, b *providertest.Browser, method string, p params) *providertest.Page {
	if method == http.MethodPost {
		return b.Post(op.URL()+"/logout", p.values())
	}
	return b.Get(logoutURL(op, p))
}

// TestLogoutReturnsToTheClient: RP-Initiated Logout §2, §3.
func TestLogoutReturnsToTheClient(t *testing.T) {
	tests := []struct {
		name   string
		change params
		want   string // where the browser goes
	}{
		{"with state", nil, providertest.PostLogoutRedirectURI + "?state=bye-0123456789"},
		{"without state", params{"state": ""}, providertest.PostLogoutRedirectURI},
		{"state with reserved characters", params{"state": "a&b=c d#é"}, providertest.PostLogoutRedirectURI + "?" + url.Values{"state": {"a&b=c d#é"}}.Encode()},
		{"long state", params{"state": strings.Repeat("-._~", 32)}, providertest.PostLogoutRedirectURI + "?state=" + strings.Repeat("-._~", 32)},
		{"client_id that fits", params{"client_id": providertest.PublicClient}, providertest.PostLogoutRedirectURI + "?state=bye-0123456789"},
		{"parameters that mean nothing here", params{"ui_locales": "de", "logout_hint": "alice"}, providertest.PostLogoutRedirectURI + "?state=bye-0123456789"},
		{"URI with a query", params{"post_logout_redirect_uri": withQuery}, withQuery + "&state=bye-0123456789"},
		{"URI with a query, without state", params{"post_logout_redirect_uri": withQuery, "state": ""}, withQuery},
	}
	clients := providertest.DefaultClients()
	clients[0].PostLogoutRedirectURIs = append(clients[0].PostLogoutRedirectURIs, withQuery)
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, tt := range tests {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				b, idToken := signedIn(t, op)
				wantSession(t, op, b, true)
				page := sendLogout(op, b, method, goodLogout(idToken).with(tt.change))
				if page.Callback == nil || page.Callback.String() != tt.want {
					t.Errorf("answer %d to %v, want %s", page.Status, page.Callback, tt.want)
				}
				wantSession(t, op, b, false)
			})
		}
	}
}

const withQuery = "http://rp.localhost:1/bye?from=op"

// TestLogoutByHintAlone: no question, and our own page at the end.
func TestLogoutByHintAlone(t *testing.T) {
	op := providertest.Start(t, nil)
	b, idToken := signedIn(t, op)
	wantSignedOutPage(t, b.Get(logoutURL(op, params{"id_token_hint": idToken})))
	wantSession(t, op, b, false)
}

// wantSignedOutPage checks the text that conformance tests look for.
func wantSignedOutPage(t *testing.T, page *providertest.Page) {
	t.Helper()
	if page.Status != http.StatusOK || page.Callback != nil || !strings.Contains(page.Body, "signed out") {
		t.Errorf("no page that says signed out: %d, callback %v\n%s", page.Status, page.Callback, page.Body)
	}
}

// TestLogoutRefuses: a page and no redirect, and the session goes on.
func TestLogoutRefuses(t *testing.T) {
	shareKeys := func(c *provider.Config) { c.FixedKeys = fixedKeys() }
	op := providertest.Start(t, &providertest.Options{Configure: shareKeys})
	other := providertest.Start(t, &providertest.Options{Configure: shareKeys})
	b, idToken := signedIn(t, op)
	_, foreignIssuer := signedIn(t, other)
	access := tokensOf(t, op, providertest.PublicClient, "openid").text("access_token")
	parts := strings.Split(idToken, ".")
	web := params{"client_id": providertest.ConfidentialClient}
	tests := []struct {
		name   string
		change params
	}{
		{"unregistered URI", params{"post_logout_redirect_uri": "http://evil.localhost:1/"}},
		{"registered URI with a query added", params{"post_logout_redirect_uri": providertest.PostLogoutRedirectURI + "?foo=bar"}},
		{"path below the registered URI", params{"post_logout_redirect_uri": providertest.PostLogoutRedirectURI + "bye"}},
		{"registered only for responses", params{"post_logout_redirect_uri": providertest.RedirectURI}},
		{"no hint", params{"id_token_hint": ""}},
		{"hint with alg none", params{"id_token_hint": unsigned(parts[1], "JWT")}},
		{"hint with alg none, and no URI", params{"id_token_hint": unsigned(parts[1], "JWT"), "post_logout_redirect_uri": ""}},
		{"hint signed with a foreign key", params{"id_token_hint": signedBy(t, foreignKey(t), claimsOf(t, idToken))}},
		{"hint of another issuer", params{"id_token_hint": foreignIssuer}},
		{"hint with other claims", params{"id_token_hint": tamper(idToken, 1)}},
		{"an access token as hint", params{"id_token_hint": access}},
		{"nonsense as hint", params{"id_token_hint": "nonsense"}},
		{"client_id of another client", web},
		{"client_id of nobody", params{"client_id": "nobody"}},
		{"client_id of nobody alone", params{"client_id": "nobody", "id_token_hint": "", "post_logout_redirect_uri": ""}},
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, tt := range tests {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				page := sendLogout(op, b, method, goodLogout(idToken).with(tt.change))
				if page.Status != http.StatusBadRequest || page.Callback != nil || !strings.Contains(page.Body, "invalid_request") {
					t.Errorf("answer %d, callback %v:\n%s", page.Status, page.Callback, page.Body)
				}
				wantSession(t, op, b, true)
			})
		}
	}
	t.Run("control", func(t *testing.T) {
		if page := b.Get(logoutURL(op, goodLogout(idToken))); page.Callback == nil {
			t.Errorf("answer %d:\n%s", page.Status, page.Body)
		}
		wantSession(t, op, b, false)
	})
}

// TestLogoutRefusalsExplained: what arrived stands beside what was registered.
func TestLogoutRefusalsExplained(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[1].PostLogoutRedirectURIs = nil
	op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) { c.Explain = true }})
	const back = providertest.PostLogoutRedirectURI
	for _, tt := range []struct{ client, uri, want string }{
		{providertest.PublicClient, back + "?a", "Expected: " + back + ". Arrived: " + back + "?a."},
		{providertest.ConfidentialClient, back, "Expected: none, since the client registered none. Arrived: " + back + "."},
		{"nobody", back, "Expected: a client_id that is registered. Arrived: nobody."},
		{"", back, "Expected: id_token_hint, or client_id. Arrived: nothing."},
	} {
		page := providertest.NewBrowser(t).Get(logoutURL(op, params{"post_logout_redirect_uri": tt.uri}.with(params{"client_id": tt.client})))
		wantErrorPage(t, page, "invalid_request", tt.want)
	}
}

// foreignKey has the kid of one of our keys.
func foreignKey(t *testing.T) jose.SigningKey {
	t.Helper()
	key := fixedKeys()[2]
	key.KeyID = fixedKeys()[0].KeyID
	return jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}
}

func signedBy(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestLogoutHintOfARemovedClient: nobody registered the URI any more.
func TestLogoutHintOfARemovedClient(t *testing.T) {
	op := providertest.Start(t, nil)
	_, idToken := signedIn(t, op)
	later := sameStore(t, op, providertest.DefaultClients()[1:], nil)
	rec := later.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
	if rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" {
		t.Errorf("answer %d to %q", rec.Code, rec.Header().Get("Location"))
	}
}

// TestLogoutAcceptsAnExpiredHint: RP-Initiated Logout §4.
func TestLogoutAcceptsAnExpiredHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newInProcess(t)
		idToken := op.token(t, redeem(op.code(t))).text("id_token")
		time.Sleep(time.Hour)
		if exp, _ := claimsOf(t, idToken)["exp"].(float64); time.Now().Unix() <= int64(exp) {
			t.Fatalf("the hint has not expired: %v", exp)
		}
		rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
		if got, want := rec.Header().Get("Location"), providertest.PostLogoutRedirectURI+"?state=bye-0123456789"; got != want {
			t.Errorf("answer %d to %q, want %q", rec.Code, got, want)
		}
		if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != "login_required" {
			t.Errorf("afterwards: error %q", got)
		}
	})
}

// TestLogoutAsks: without proof that the user's own client asks, the user
// decides; §2, §6.
func TestLogoutAsks(t *testing.T) {
	op := providertest.Start(t, nil)
	bobs := providertest.NewBrowser(t)
	code := bobs.SignIn(authorizeURL(op, codeRequest()), "bob", "bob").Query().Get("code")
	bobsToken := postForm(t, op.URL()+"/token", redeem(code), nil).text("id_token")
	named := params{"id_token_hint": "", "client_id": providertest.PublicClient}
	tests := []struct {
		name    string
		request params
		back    string // where yes leads; "": our own page
	}{
		{"no parameters", params{}, ""},
		{"only state", params{"state": "bye"}, ""},
		{"only client_id", params{"client_id": providertest.PublicClient}, ""},
		{"hint of another user", goodLogout(bobsToken), providertest.PostLogoutRedirectURI + "?state=bye-0123456789"},
		{"client_id and its URI", goodLogout("").with(named), providertest.PostLogoutRedirectURI + "?state=bye-0123456789"},
		{"parameters that mean nothing here", params{"logout": "yes", "ui_locales": "de"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := signedIn(t, op)
			page := b.Get(logoutURL(op, tt.request))
			if page.Status != http.StatusOK || page.Callback != nil || page.Field("csrf") == "" {
				t.Fatalf("no question: %d, callback %v\n%s", page.Status, page.Callback, page.Body)
			}
			wantSession(t, op, b, true)
			no := b.Submit(page, "logout-no", nil)
			if no.Status != http.StatusOK || no.Callback != nil || strings.Contains(no.Body, "signed out") {
				t.Errorf("no: %d, callback %v\n%s", no.Status, no.Callback, no.Body)
			}
			wantSession(t, op, b, true)
			yes := b.Submit(page, "logout-yes", nil)
			if tt.back == "" {
				wantSignedOutPage(t, yes)
			} else if yes.Callback == nil || yes.Callback.String() != tt.back {
				t.Errorf("yes: %d, callback %v", yes.Status, yes.Callback)
			}
			wantSession(t, op, b, false)
			wantSession(t, op, bobs, true)
		})
	}
}

// TestLogoutByPostAsksToo: a form that another site posts confirms nothing.
func TestLogoutByPostAsksToo(t *testing.T) {
	op := providertest.Start(t, nil)
	b, _ := signedIn(t, op)
	page := b.Post(op.URL()+"/logout", url.Values{"state": {"bye"}})
	if page.Field("csrf") == "" || page.Field("state") != "bye" {
		t.Fatalf("no question: %d\n%s", page.Status, page.Body)
	}
	wantSession(t, op, b, true)
	wantSignedOutPage(t, b.Submit(page, "logout-yes", nil))
	wantSession(t, op, b, false)
}

// TestLogoutConfirmationNeedsItsToken: RFC 6749 §10.12.
func TestLogoutConfirmationNeedsItsToken(t *testing.T) {
	op := providertest.Start(t, nil)
	b, _ := signedIn(t, op)
	attacker, _ := signedIn(t, op)
	foreign := attacker.Get(op.URL() + "/logout").Field("csrf")
	own := b.Get(op.URL() + "/logout").Field("csrf")
	for _, tt := range []struct {
		name, csrf string
		status     int
	}{{"missing", "", 403}, {"of another browser", foreign, 403}, {"changed", own + "A", 403}, {"control", own, 200}} {
		t.Run(tt.name, func(t *testing.T) {
			page := b.Post(op.URL()+"/logout", params{"logout": "yes"}.with(params{"csrf": tt.csrf}).values())
			if page.Status != tt.status || page.Callback != nil {
				t.Errorf("answer %d, want %d", page.Status, tt.status)
			}
			wantSession(t, op, b, tt.status != 200)
		})
	}
}

// TestLogoutByPostFromAnotherSite: the browser keeps our SameSite=Lax cookie
// back, so the request must come again as a GET before anything is answered.
func TestLogoutByPostFromAnotherSite(t *testing.T) {
	op := providertest.Start(t, nil)
	b, idToken := signedIn(t, op)
	crossSite := postForm(t, op.URL()+"/logout", goodLogout(idToken).with(params{"logout": "yes", "csrf": "x"}), nil)
	location := crossSite.Header.Get("Location")
	if want := "/logout?" + goodLogout(idToken).values().Encode(); crossSite.Status != http.StatusSeeOther || location != want {
		t.Fatalf("answer %d to %q, want %q", crossSite.Status, location, want)
	}
	wantSession(t, op, b, true)
	page := b.Get(op.URL() + location)
	if page.Callback == nil || page.Callback.Query().Get("state") != "bye-0123456789" {
		t.Errorf("then: %d to %v", page.Status, page.Callback)
	}
	wantSession(t, op, b, false)
}

// TestLogoutOfNobody: who is not signed in is signed out.
func TestLogoutOfNobody(t *testing.T) {
	op := providertest.Start(t, nil)
	_, idToken := signedIn(t, op)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		wantSignedOutPage(t, sendLogout(op, providertest.NewBrowser(t), method, nil))
		wantSignedOutPage(t, sendLogout(op, providertest.NewBrowser(t), method, params{"state": "x", "logout": "yes"}))
		page := sendLogout(op, providertest.NewBrowser(t), method, goodLogout(idToken))
		if page.Callback == nil || page.Callback.String() != providertest.PostLogoutRedirectURI+"?state=bye-0123456789" {
			t.Errorf("with a hint: %d to %v", page.Status, page.Callback)
		}
		// Whoever only names a client sends nobody anywhere: the user has to press the link.
		named := goodLogout(idToken).with(params{"id_token_hint": "", "client_id": providertest.PublicClient, "logout": "yes"})
		page = sendLogout(op, providertest.NewBrowser(t), method, named)
		wantSignedOutPage(t, page)
		if !strings.Contains(page.Body, `href="`+providertest.PostLogoutRedirectURI+`?state=bye-0123456789"`) {
			t.Errorf("no link back:\n%s", page.Body)
		}
	}
}

// TestLogoutEndsTheSessionNotTheCookieAlone: a copy of the cookie is dead too.
func TestLogoutEndsTheSessionNotTheCookieAlone(t *testing.T) {
	op := serving(t, provider.Config{})
	idToken := op.token(t, redeem(op.code(t))).text("id_token")
	stolen := op.cookies["op_session"]
	rec := op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, nil)
	if cookie := rec.Header().Get("Set-Cookie"); !strings.HasPrefix(cookie, "op_session=;") || !strings.Contains(cookie, "Max-Age=0") {
		t.Errorf("the cookie is not removed: %q", cookie)
	}
	op.cookies = map[string]string{"op_session": stolen}
	if got := op.authorize(t, codeRequest().with(params{"prompt": "none"})).Get("error"); got != "login_required" {
		t.Errorf("with the old cookie: error %q", got)
	}
}

// TestLogoutLeavesOtherBrowsers: one session ends, not all of the user's.
func TestLogoutLeavesOtherBrowsers(t *testing.T) {
	op := providertest.Start(t, nil)
	phone, _ := signedIn(t, op)
	laptop, idToken := signedIn(t, op)
	laptop.Get(logoutURL(op, goodLogout(idToken)))
	wantSession(t, op, laptop, false)
	wantSession(t, op, phone, true)
}

// TestLogoutStoreFailure: the user is told, and can try again.
func TestLogoutStoreFailure(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	b, idToken := signedIn(t, op)
	for _, method := range []string{"Session", "Commit"} {
		t.Run(method, func(t *testing.T) {
			store.fail(method)
			page := b.Get(logoutURL(op, goodLogout(idToken)))
			if page.Status != http.StatusServiceUnavailable || page.Callback != nil || page.Header.Get("Retry-After") == "" {
				t.Errorf("answer %d to %v, Retry-After %q", page.Status, page.Callback, page.Header.Get("Retry-After"))
			}
			store.repair()
			wantSession(t, op, b, true)
		})
	}
	b.Get(logoutURL(op, goodLogout(idToken)))
	wantSession(t, op, b, false)
}
