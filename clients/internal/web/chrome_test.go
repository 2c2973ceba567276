package web_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// everything is a page that puts all the chrome's modules into window, for the
// tests to call.
const everything = `
	import * as chrome from "/chrome/chrome.js";
	import * as errors from "/chrome/errors.js";
	import * as time from "/chrome/time.js";
	import * as view from "/chrome/view.js";
	import { requestJSON } from "/chrome/http.js";
	import { authorizeInFrame } from "/chrome/frame.js";
	Object.assign(window, { chrome_: chrome, errors, time, view, requestJSON, authorizeInFrame });
	chrome.mount({ home: "http://lab.localhost:8080/" });
`

// text evaluates an expression and compares its text.
func text(t *testing.T, tab *browsertest.Tab, expression, want string) {
	t.Helper()
	if diff := cmp.Diff(want, browsertest.Eval[string](tab, expression)); diff != "" {
		t.Errorf("%s:\n%s", expression, diff)
	}
}

// run runs statements.
func run(tab *browsertest.Tab, statements string) {
	browsertest.Eval[bool](tab, "(async () => {"+statements+"; return true})()")
}

func TestChrome(t *testing.T) {
	tab := openPage(t, everything, nil)
	t.Run("home link", func(t *testing.T) {
		tab := tab.For(t)
		text(t, tab, `document.querySelector("#home").href`, "http://lab.localhost:8080/")
	})
	t.Run("who is signed in", func(t *testing.T) {
		tab := tab.For(t)
		run(tab, `chrome_.showSignedIn({name: "Alice Liddell", username: "alice", sub: "alice-0001"})`)
		text(t, tab, `document.body.dataset.state + ": " + who.textContent`, "signed-in: Alice Liddell (alice)")
		run(tab, `chrome_.showSignedIn({sub: "alice-0001"})`)
		text(t, tab, `who.textContent`, "alice-0001")
		run(tab, `chrome_.showSignedOut()`)
		text(t, tab, `document.body.dataset.state`, "signed-out")
	})
	t.Run("error panel", func(t *testing.T) {
		tab := tab.For(t)
		run(tab, `chrome_.showError({title: "The state check failed", expected: "a", arrived: "<img src=x onerror=alert(1)>", section: "RFC 6749 §10.12"})`)
		text(t, tab, `document.querySelector("#error").innerText.replace(/\s+/g, " ").trim()`,
			"The state check failed expected a arrived <img src=x onerror=alert(1)> RFC 6749 §10.12")
		text(t, tab, `document.body.dataset.error + " " + document.images.length`, "The state check failed 0")
		run(tab, `chrome_.showError(new Error("a bug"))`)
		text(t, tab, `document.querySelector("#error").innerText.replace(/\s+/g, " ").trim()`, "The page could not go on a bug")
		run(tab, `chrome_.clearError()`)
		text(t, tab, `document.querySelector("#error").hidden + " " + document.body.dataset.error`, "true undefined")
	})
	t.Run("what came from outside is never HTML", func(t *testing.T) {
		tab := tab.For(t)
		const evil = `"<img src=x onerror='document.title=1'><b>x</b>"`
		run(tab, `chrome_.showHoldings([{what: `+evil+`, where: `+evil+`, value: `+evil+`, note: `+evil+`}]);
			chrome_.showIDToken({header: {alg: `+evil+`}, payload: {sub: `+evil+`, [`+evil+`]: 1}});
			chrome_.showAPIResult(200, {notes: [{text: `+evil+`, created_at: `+evil+`}]});
			chrome_.steps.add(`+evil+`, {spec: `+evil+`, channel: `+evil+`});
			chrome_.showNotice(`+evil+`); chrome_.showSignedIn({name: `+evil+`})`)
		text(t, tab, `document.querySelectorAll("img, b").length + " " + document.title`, "0 test")
	})
	t.Run("steps survive a reload", func(t *testing.T) {
		tab := tab.For(t)
		run(tab, `chrome_.steps.clear(); chrome_.steps.add("one", {channel: "front", spec: "RFC 1"}); chrome_.steps.add("two")`)
		text(t, tab, `JSON.stringify(chrome_.steps.list())`, `[{"text":"one","spec":"RFC 1","channel":"front"},{"text":"two","channel":"inside"}]`)
		text(t, tab, `sessionStorage.getItem("oidclab.steps") === JSON.stringify(chrome_.steps.list()) ? "kept" : "lost"`, "kept")
		run(tab, `sessionStorage.setItem("oidclab.steps", "no list"); chrome_.steps.show()`)
		text(t, tab, `String(steps.children.length)`, "2") // what this page remembers itself
	})
	t.Run("API result", func(t *testing.T) {
		tab := tab.For(t)
		run(tab, `chrome_.showAPIResult(401, {error: "invalid_token"})`)
		text(t, tab, `document.querySelector("#api-result").dataset.status`, "401")
		run(tab, `chrome_.showAPIResult(200, {notes: []})`)
		text(t, tab, `document.querySelector("#api-result").innerText.replace(/\s+/g, " ").trim()`, "✓ status 200 No notes yet.")
	})
	t.Run("renewals and busy button", func(t *testing.T) {
		tab := tab.For(t)
		run(tab, `chrome_.countRenewal(); chrome_.countRenewal()`)
		text(t, tab, `document.body.dataset.renewals`, "2")
		run(tab, `let end; window.running = chrome_.busy(press, new Promise((resolve) => { end = resolve })); window.end = end`)
		text(t, tab, `String(press.disabled)`, "true")
		run(tab, `end(); await running`)
		text(t, tab, `String(press.disabled)`, "false")
	})
}

func TestTimes(t *testing.T) {
	tab := openPage(t, everything, nil)
	tests := []struct{ expression, want string }{
		{`time.fromNow(250, 0)`, "in 4 min 10 s"},
		{`time.fromNow(60, 0)`, "in 1 min"},
		{`time.fromNow(3 * 86400 + 7200 + 5, 0)`, "in 3 d 2 h"},
		{`time.fromNow(3605, 0)`, "in 1 h"},
		{`time.fromNow(0, 0.2)`, "now"},
		{`time.fromNow(0, 12)`, "12 s ago"},
		{`time.fromNow(0, 12, true)`, "expired 12 s ago"},
		{`time.timeView(9e15).textContent`, "9000000000000000"},
	}
	for _, tt := range tests {
		text(t, tab, tt.expression, tt.want)
	}
}

func TestRequestJSON(t *testing.T) {
	fake := http.NewServeMux()
	fake.HandleFunc("/fake/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	fake.HandleFunc("/fake/down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	fake.HandleFunc("/fake/cookie", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "planted", Value: "1"})
		_, _ = w.Write([]byte(`{"cookies":` + map[bool]string{true: "true", false: "false"}[len(r.Cookies()) > 0] + `}`))
	})
	tab := openPage(t, everything, fake)
	attempt := func(url string) string {
		return `requestJSON("The API", "` + url + `").then((a) => JSON.stringify([a.status, a.body]), (e) => e.code)`
	}
	text(t, tab, attempt("http://127.0.0.1:9/"), "unreachable") // also forbidden by the page's policy
	text(t, tab, attempt("/fake/page"), "not-json")
	text(t, tab, attempt("/fake/down"), "[502,null]")
	text(t, tab, `(document.cookie = "mine=1", `+attempt("/fake/cookie")+`)`, `[200,{"cookies":false}]`)
}

// TestAuthorizeInFrame lets a frame answer, and others pretend to be it.
func TestAuthorizeInFrame(t *testing.T) {
	fake := http.NewServeMux()
	page := func(script string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!doctype html><script>" + script + "</script>"))
		}
	}
	fake.HandleFunc("/fake/answers", page(`parent.postMessage({authorizationResponse: "?code=1"}, location.origin)`))
	fake.HandleFunc("/fake/shouts", page(`parent.postMessage({authorizationResponse: "?forged"}, "*")`))
	fake.HandleFunc("/fake/silent", page(``))
	fake.HandleFunc("/fake/other-shape", page(`parent.postMessage("?code=1", location.origin)`))
	tab := openPage(t, everything, fake)
	ask := func(path string) string {
		return `authorizeInFrame("` + path + `", {timeout: 300}).catch((e) => e.code)`
	}
	text(t, tab, `authorizeInFrame("/fake/answers")`, "?code=1")
	text(t, tab, ask("/fake/silent"), "timeout")
	text(t, tab, ask("/fake/other-shape"), "timeout")
	// The page itself posts: right origin, wrong source.
	text(t, tab, `(() => { const asked = `+ask("/fake/silent")+`; postMessage({authorizationResponse: "?forged"}, location.origin); return asked; })()`, "timeout")
	// A sandboxed frame posts: its origin is opaque.
	text(t, tab, `(() => {
		const asked = authorizeInFrame("/fake/silent", {timeout: 300}).catch((e) => e.code);
		const frame = document.querySelector("iframe");
		frame.setAttribute("sandbox", "allow-scripts");
		frame.src = "/fake/shouts";
		return asked;
	})()`, "timeout")
	if n := browsertest.Eval[int](tab, `document.querySelectorAll("iframe").length`); n != 0 {
		t.Errorf("%d frames left", n)
	}
}
