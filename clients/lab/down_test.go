package lab_test

import (
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// TestEverythingIsDown: a page says who did not answer, and is still the page of
// the person that it knows.
func TestEverythingIsDown(t *testing.T) {
	for _, tt := range []struct{ client, party string }{{"pkce", "The API"}, {"bff", "The backend"}} {
		t.Run(tt.client, func(t *testing.T) {
			l := start(t, nil)
			tab := browsertest.Open(t)
			l.signIn(tab, tt.client, "alice")
			l.stop()
			tab.Click("#call-api")
			tab.WaitText("#api-result", "no answer", tt.party+" could not be reached")
			if cors := browsertest.Eval[bool](tab, `document.querySelector("#api-result").innerText.includes("CORS")`); cors != (tt.client == "pkce") {
				t.Errorf("speaks of CORS: %v", cors)
			}
			tab.Wait(`body[data-state="signed-in"]`)
		})
	}
}

// TestExpiredTokensFit: what a client holds has room for the longest remark.
func TestExpiredTokensFit(t *testing.T) {
	l := start(t, nil)
	tab := browsertest.Open(t)
	l.signIn(tab, "bff", "alice")
	tab.Look(700, false)
	wider := browsertest.Eval[int](tab, `(() => {
		for (const until of document.querySelectorAll("#holdings .until")) until.replaceWith(Object.assign(document.createElement("span"), {className: "until", textContent: "(expired 59 min 59 s ago)"}));
		return document.documentElement.scrollWidth - document.documentElement.clientWidth;
	})()`)
	if wider > 0 {
		t.Errorf("the page is %d pixels wider than its window", wider)
	}
}
