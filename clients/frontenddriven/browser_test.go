package frontenddriven_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
)

// session is what the page keeps in session storage.
const session = `"oidclab.frontenddriven.session"`

// signInByHand does what a person does in front of the page.
func (l *lab) signInByHand(tab *browsertest.Tab) {
	tab.Navigate(l.page + "/")
	tab.Wait(`body[data-state="signed-out"] #signin`)
	tab.Click("#signin")
	tab.Fill("#username", "alice")
	tab.Fill("#password", "alice")
	tab.Click("#submit")
	tab.Click("#allow")
	tab.Wait(`body[data-state="signed-in"]`)
}

func TestPageInABrowser(t *testing.T) {
	l := newLab(t)
	tab := browsertest.Open(t)
	l.signInByHand(tab)
	if got := tab.Text("#who"); got != "Alice Liddell (alice)" {
		t.Errorf("signed in: %q", got)
	}
	if got := tab.URL(); got != l.page+"/" {
		t.Errorf("the answer is still in the address bar: %s", got)
	}

	// The session survives a reload, and the callback a second visit.
	tab.Reload()
	tab.Wait(`body[data-state="signed-in"]`)
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)

	// An expired access token is renewed once, before the call.
	stored := browsertest.Eval[string](tab, `sessionStorage.getItem(`+session+`)`)
	browsertest.Eval[bool](tab, `(() => {
		const s = JSON.parse(sessionStorage.getItem(`+session+`));
		sessionStorage.setItem(`+session+`, JSON.stringify({...s, expires: 1}));
		document.getElementById("api-result").dataset.status = "";
		return true;
	})()`)
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)
	if n := strings.Count(l.log.String(), "msg=renewal"); n != 1 {
		t.Errorf("%d renewals", n)
	}

	// No token of the provider is within the scripts' reach.
	everything := browsertest.Eval[string](tab, `JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])`)
	for _, compact := range strings.FieldsFunc(everything, func(c rune) bool { return c == '"' || c == '\\' || c == ',' }) {
		if strings.HasPrefix(compact, "eyJ") {
			if claims := payload(t, compact); claims["iss"] != l.backend.URL {
				t.Errorf("the page holds a token of %v", claims["iss"])
			}
		}
	}

	// While the provider is down the page keeps what it holds.
	l.op.SetDown(true)
	tab.Click("#renew")
	tab.WaitText("#error", "cannot be reached")
	tab.Wait(`body[data-state="signed-in"]`)
	l.op.SetDown(false)
	tab.Click("#renew")
	tab.Wait(`body[data-renewals="1"]`)

	// A copy of an older session, as in a duplicated tab, ends the login.
	browsertest.Eval[bool](tab, `(sessionStorage.setItem(`+session+`, `+quoted(stored)+`), true)`)
	tab.Click("#renew")
	tab.Wait(`body[data-state="signed-out"]`)
	tab.WaitText("#error", "used before")
}

func TestPageSignsOutEverywhere(t *testing.T) {
	l := newLab(t)
	tab := browsertest.Open(t)
	l.signInByHand(tab)
	token := browsertest.Eval[string](tab, `JSON.parse(sessionStorage.getItem(`+session+`)).refreshToken`)
	tab.Click("#signout")
	tab.Wait(`body[data-state="signed-out"]`)
	tab.WaitText("#steps", "has ended its session, and checked state")
	if got := tab.URL(); got != l.page+"/" {
		t.Errorf("at %s", got)
	}
	if a := l.refresh(t, token); a.status != http.StatusUnauthorized {
		t.Errorf("the refresh token after signing out: %d", a.status)
	}
	tab.Click("#signin")
	tab.Wait("#username") // the provider asks again
}

// What arrives at /callback without a sign-in of this tab is not used.
func TestPageRefusesForeignAnswers(t *testing.T) {
	l := newLab(t)
	code := l.authorize(t, l.callback) // somebody else's, and good
	tab := browsertest.Open(t)
	tab.Navigate(l.callback + "?code=" + code + "&state=state-state&iss=" + l.op.URL())
	tab.WaitText("#error", "No sign-in is under way")

	transaction := `JSON.stringify({state: "mine", nonce: "n", verifier: "v", redirectURI: location.origin + "/callback", issuer: ` + quoted(l.op.URL()) + `, sendsIssuer: true})`
	for query, want := range map[string]string{
		"?code=" + code + "&state=state-state&iss=" + l.op.URL(): "state check failed",
		"?code=" + code + "&iss=" + l.op.URL():                   "state check failed",
		"?code=" + code + "&state=mine&iss=http://evil.example":  "issuer check failed",
		"?code=" + code + "&state=mine":                          "issuer check failed",
		"?error=access_denied&state=mine&iss=" + l.op.URL():      "Consent was denied",
		"?state=mine&iss=" + l.op.URL():                          "holds no code",
	} {
		browsertest.Eval[bool](tab, `(sessionStorage.setItem("oidclab.frontenddriven.transaction", `+transaction+`), true)`)
		tab.Navigate(l.callback + query)
		tab.WaitText("#error", want)
		tab.Wait(`body[data-state="signed-out"]`)
	}
	if strings.Contains(l.log.String(), "/auth/exchange") {
		t.Error("an answer that failed a check reached the backend")
	}
}

func quoted(s string) string { return strconv.Quote(s) }

// payload decodes a JWT that is only looked at.
func payload(t *testing.T, compact string) (c claims) {
	t.Helper()
	token, err := jwt.ParseSigned(compact, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if err := token.UnsafeClaimsWithoutVerification(&c); err != nil {
		t.Fatal(err)
	}
	return c
}
