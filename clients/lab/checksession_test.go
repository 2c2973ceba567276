package lab_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// watching is a relying party at an origin of its own, on the provider's site,
// whose page asks the provider's one at /session.
type watching struct {
	op  *providertest.Server
	url string // of its pages, of which all are the same
	tab *browsertest.Tab
}

func startWatching(t *testing.T) *watching {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<!doctype html><title>RP</title><body>the relying party")
	}))
	t.Cleanup(server.Close)
	rp := &watching{url: server.URL, tab: browsertest.Open(t)}
	rp.op = providertest.Start(t, &providertest.Options{Clients: []provider.Client{{
		ID: "rp", Secret: "secret", RedirectURIs: []string{server.URL + "/callback"}, SkipConsent: true,
		PostLogoutRedirectURIs: []string{server.URL + "/bye"},
	}}})
	return rp
}

// authorize sends the browser to the provider, and there through the login if
// user is not "". It returns the session_state that the browser comes back with.
func (rp *watching) authorize(prompt, user string) string {
	query := url.Values{
		"client_id": {"rp"}, "redirect_uri": {rp.url + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "prompt": {prompt},
	}
	rp.tab.Navigate(rp.op.URL() + "/authorize?" + query.Encode())
	if user != "" {
		rp.tab.WaitURL(rp.op.URL() + "/login")
		rp.tab.Fill("#username", user)
		rp.tab.Fill("#password", user)
		rp.tab.Click("#submit")
	}
	rp.tab.WaitURL(rp.url + "/callback")
	return browsertest.Eval[string](rp.tab, `new URLSearchParams(location.search).get("session_state")`)
}

// ask posts messages, JavaScript values, to the provider's page in a frame, and
// returns its answers.
func ask(tab *browsertest.Tab, page string, messages ...string) []string {
	return browsertest.Eval[[]string](tab, fmt.Sprintf(`new Promise((resolve) => {
		const messages = [%s], answers = [], frame = document.createElement("iframe"), origin = new URL(%q).origin;
		const next = () => frame.contentWindow.postMessage(messages[answers.length], origin);
		addEventListener("message", (event) => {
			if (event.source !== frame.contentWindow || event.origin !== origin) return;
			answers.push(event.data);
			if (answers.length < messages.length) next(); else { frame.remove(); resolve(answers); }
		});
		frame.onload = next;
		frame.hidden = true;
		frame.src = %q;
		document.body.append(frame);
	})`, strings.Join(messages, ", "), page, page))
}

func (rp *watching) wantAnswers(t *testing.T, want string, messages ...string) {
	t.Helper()
	for i, got := range ask(rp.tab, rp.op.URL()+"/session", messages...) {
		if got != want {
			t.Errorf("%s is answered %s, want %s", messages[i], got, want)
		}
	}
}

// message is the JavaScript of a client's question, Session Management §3.1.
func message(client, sessionState string) string {
	text, err := json.Marshal(client + " " + sessionState)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestSessionFrame: what a client is told by the provider's page, as its user
// signs in, in again, in as another, and out.
func TestSessionFrame(t *testing.T) {
	rp := startWatching(t)
	nobody := message("rp", rp.authorize("none", ""))
	rp.wantAnswers(t, "unchanged", nobody)

	alice := message("rp", rp.authorize("", "alice"))
	rp.wantAnswers(t, "unchanged", alice)
	rp.wantAnswers(t, "changed", nobody)
	again := message("rp", rp.authorize("login", "alice"))
	rp.wantAnswers(t, "unchanged", alice, again)

	// The same words from another origin, though of the same site.
	other := startWatching(t)
	rp.tab.Navigate(other.url)
	rp.wantAnswers(t, "changed", alice)

	bob := message("rp", rp.authorize("login", "bob"))
	rp.wantAnswers(t, "unchanged", bob)
	rp.wantAnswers(t, "changed", alice)

	rp.tab.Navigate(rp.op.URL() + "/logout?client_id=rp&post_logout_redirect_uri=" + url.QueryEscape(rp.url+"/bye"))
	rp.tab.Click("#logout-yes")
	rp.tab.WaitURL(rp.url + "/bye")
	rp.wantAnswers(t, "changed", bob, alice)
	rp.wantAnswers(t, "unchanged", nobody)
}

// TestSessionFrameRefuses: what is no question at all is an error, §3.2.
func TestSessionFrameRefuses(t *testing.T) {
	rp := startWatching(t)
	rp.authorize("", "alice")
	rp.wantAnswers(t, "error",
		`""`, `"rp"`, `" "`, `"rp "`, `" hash.salt"`, `"rp hash"`, `"rp .salt"`, `"rp hash."`, `"\ud800 hash.salt"`,
		`7`, `null`, `undefined`, `true`, `{}`, `["rp hash.salt"]`)
	rp.wantAnswers(t, "changed", `"rp hash.salt"`, `"nobody hash.salt"`, `"r\u00e9 hash.salt"`)
}

// TestSessionFrameHash: the page's own SHA-256 is the one of everybody else, for
// texts of all lengths around those of one, two and three blocks.
func TestSessionFrameHash(t *testing.T) {
	rp := startWatching(t)
	rp.authorize("", "alice")
	state := rp.tab.Cookies()["127.0.0.1 op_browser_state"].Value
	var messages []string
	for n := 1; n <= 150; n++ {
		client := strings.Repeat("client with spaces ~", 8)[:n]
		sum := sha256.Sum256([]byte(client + " " + rp.url + " " + state + " salt"))
		messages = append(messages, message(client, hex.EncodeToString(sum[:])+".salt"))
	}
	rp.wantAnswers(t, "unchanged", messages...)
}

// TestSessionFrameOverTLS: the cookie has another name and other attributes.
func TestSessionFrameOverTLS(t *testing.T) {
	l := start(t, overTLS(t))
	tab := browsertest.Open(t)
	l.signIn(tab, "pkce", "alice")
	query := url.Values{
		"client_id": {"pkce"}, "redirect_uri": {l.Origin("pkce") + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "prompt": {"none"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	callback := tab.Intercept(l.Origin("pkce")+"/callback", func() {
		browsertest.Eval[bool](tab, fmt.Sprintf("location.assign(%q) ?? true", l.Issuer()+"/authorize?"+query.Encode()))
	})
	answer, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	question := message("pkce", answer.Query().Get("session_state"))
	check := func(want string) {
		t.Helper()
		tab.Navigate(l.Origin("pkce") + "/")
		tab.Wait("body[data-state]")
		if got := ask(tab, l.Issuer()+"/session", question); got[0] != want {
			t.Errorf("answered %v, want %s", got, want)
		}
	}
	check("unchanged")
	tab.Navigate(l.Issuer() + "/logout")
	tab.Click("#logout-yes")
	tab.WaitText("h1", "You are signed out")
	check("changed")
}
