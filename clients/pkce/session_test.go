package pkce_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/web/webtest"
)

// answering is the script of a provider's session page that gives one answer
// after the other, and the last one for ever. It knows what a question looks
// like, and counts them.
func answering(answers ...string) string {
	return fmt.Sprintf(`
		const answers = "%s".split(" ");
		let asked = 0;
		addEventListener("message", (event) => {
			const answer = answers[Math.min(asked++, answers.length - 1)];
			if (!/^pkce [A-Z0-9]{26}\.salt$/.test(event.data)) event.source.postMessage("not a question", event.origin);
			else if (answer !== "silence") event.source.postMessage(answer, event.origin);
		});
		// Another frame of the provider's than the one that is asked.
		if (location.hash === "#other") parent.postMessage("error", "*");`, strings.Join(answers, " "))
}

// later is a lie that begins after the sign-in.
func later[T any](lie func(T)) func(T) {
	var calls atomic.Int32
	return func(v T) {
		if calls.Add(1) > 1 {
			lie(v)
		}
	}
}

const (
	watching  = "whether you are still signed in there"
	cannotSay = "cannot watch your session"
	noticed   = "You signed out at the provider"
)

func TestSessionIsWatched(t *testing.T) {
	refusing := func(code string) func(url.Values) {
		return later(func(response url.Values) {
			response.Del("code")
			response.Set("error", code)
		})
	}
	bob := func(claims map[string]any) { claims["sub"] = "bob-0001" }
	for _, tt := range []struct {
		name   string
		lies   webtest.Lies
		place  string
		words  []string
		signed string // what the page's state is then
		silent int    // requests with prompt=none
		frames int    // that are left
	}{
		{"unchanged", webtest.Lies{Session: answering("unchanged")}, "#watch", []string{watching}, "in", 0, 1},
		{"ended", webtest.Lies{Session: answering("unchanged", "changed"), Authorize: refusing("login_required")}, "#notice", []string{noticed}, "out", 1, 0},
		{"another user", webtest.Lies{Session: answering("unchanged", "changed"), Claims: later(bob), UserInfo: later(bob)}, "#notice", []string{noticed}, "out", 1, 0},
		{"never seen", webtest.Lies{Session: answering("changed"), Authorize: refusing("login_required")}, "#watch", []string{cannotSay, "login_required"}, "in", 1, 0},
		{"changed again and again", webtest.Lies{Session: answering("unchanged", "changed")}, "#watch", []string{cannotSay, "changed"}, "in", 1, 0},
		{"error", webtest.Lies{Session: answering("error")}, "#watch", []string{cannotSay, "error"}, "in", 0, 0},
		{"error later", webtest.Lies{Session: answering("unchanged", "error", "unchanged")}, "#watch", []string{cannotSay, "error"}, "in", 0, 0},
		{"no word of the protocol", webtest.Lies{Session: answering("<b>hello</b>")}, "#watch", []string{cannotSay, "error"}, "in", 0, 0},
		{"silence", webtest.Lies{Session: answering("silence")}, "#watch", []string{cannotSay, "no answer"}, "in", 0, 0},
		{"consent is missing", webtest.Lies{Session: answering("unchanged", "changed"), Authorize: refusing("consent_required")}, "#watch", []string{cannotSay, "consent_required"}, "in", 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			p.start(tt.lies)
			p.Click("#signin")
			p.WaitText(tt.place, tt.words...)
			p.Wait(fmt.Sprintf(`body[data-state="signed-%s"]`, tt.signed))
			p.wantWatching(tt.silent, tt.frames)
			if held := p.text("flow.held() !== null"); (held == "true") != (tt.signed == "in") {
				t.Errorf("tokens are held: %s", held)
			}
		})
	}
}

func (p page) wantWatching(silent, frames int) {
	p.t.Helper()
	asked := 0
	for _, request := range p.issuer.Requests("/authorize") {
		if request.Form.Get("prompt") == "none" {
			asked++
		}
	}
	if asked != silent {
		p.t.Errorf("asked %d times with prompt=none, want %d", asked, silent)
	}
	p.want("document.querySelectorAll('iframe').length", fmt.Sprint(frames))
}

// TestSameUserAgain: after a new sign-in of the same user the page has another
// session_state, and goes on to watch.
func TestSameUserAgain(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.start(webtest.Lies{Session: answering("unchanged", "changed", "unchanged")})
	p.Click("#signin")
	p.WaitText("#watch", watching)
	first := p.text("flow.held().session.state")
	browsertest.Eval[bool](p.Tab, `import("/flow.js").then(async (flow) => {
		while (flow.held().session.state === `+fmt.Sprintf("%q", first)+`) await new Promise(requestAnimationFrame);
		return true;
	})`)
	p.WaitText("#watch", watching)
	p.Wait(`body[data-state="signed-in"]`)
	p.wantWatching(1, 1)
}

// TestNothingToWatch: without a page to ask, or without a session_state, there
// is no frame.
func TestNothingToWatch(t *testing.T) {
	for name, lies := range map[string]webtest.Lies{
		"no page":          {Session: answering("error"), Metadata: func(m map[string]any) { delete(m, "check_session_iframe") }},
		"no session_state": {Session: answering("error"), Authorize: func(r url.Values) { r.Del("session_state") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			p.start(lies)
			p.Click("#signin")
			p.Wait(`body[data-state="signed-in"]`)
			p.want("document.querySelector('#watch').textContent", "")
			p.wantWatching(0, 0)
			if n := len(p.issuer.Requests("/session")); n != 0 {
				t.Errorf("%d requests for the page", n)
			}
		})
	}
}

// TestForeignAnswers: neither this page's own window nor another frame of the
// provider's is heard.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	p := open(t)
	// The frame says nothing, so that the question stays open.
	p.start(webtest.Lies{Session: answering("silence")})
	p.Click("#signin")
	p.Wait(`iframe[title="session at the provider"], body[data-state="signed-in"]`)
	browsertest.Eval[bool](p.Tab, fmt.Sprintf(`new Promise((resolve) => {
		const frame = document.createElement("iframe");
		frame.src = %q;
		addEventListener("message", (event) => { if (event.source === frame.contentWindow) { frame.remove(); resolve(true); } });
		document.body.append(frame);
		postMessage("error", location.origin);
	})`, p.issuer.URL+"/session#other"))
	p.WaitText("#watch", cannotSay, "no answer") // and not "error"
}
