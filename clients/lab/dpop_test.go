package lab_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/lab"
)

// TestBoundTokens: the public client binds its tokens to a key of the browser,
// and does all that it does with bearer tokens; nobody else can use what it has.
func TestBoundTokens(t *testing.T) {
	for name, nonces := range map[string]bool{"without nonces": false, "with nonces": true} {
		t.Run(name, func(t *testing.T) {
			l := start(t, func(c *lab.Config) { c.Provider.DPoPNonce = nonces })
			tab := browsertest.Open(t)
			tab.Navigate(l.Origin("pkce") + "/")
			tab.Click(`body[data-state="signed-out"] #dpop`)
			l.signIn(tab, "pkce", "alice")
			tab.WaitText("#holdings", "not extractable", "IndexedDB")
			tab.WaitText("#proof", "dpop+jwt", "/userinfo")
			l.callsTheAPI(tab)

			// Renewed, the tokens are bound to the same key.
			first := bound(t, tab)
			tab.Click("#renew")
			tab.Wait(`body[data-renewals="1"]`)
			tab.Click("#renew-silent")
			tab.Wait(`body[data-renewals="2"]`)
			l.callsTheAPI(tab)
			if second := bound(t, tab); second.jkt != first.jkt || second.access == first.access {
				t.Errorf("bound to %q, then to %q", first.jkt, second.jkt)
			}

			// A reload finds the key again.
			tab.Reload()
			tab.Wait(`body[data-state="signed-in"]`)
			l.callsTheAPI(tab)
			last := bound(t, tab)
			if last.jkt != first.jkt {
				t.Errorf("after the reload bound to %q, before to %q", last.jkt, first.jkt)
			}
			l.wantUseless(t, last)
			tab.Click("#without-key")
			tab.Wait(`#api-result[data-status="401"]`)
			tab.WaitText("#api-result", "bound to a key")
			wantNoExport(t, tab)
			for _, width := range []int64{360, 1600} {
				tab.Look(width, false)
				if over := browsertest.Eval[int](tab, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("the page is %d px too wide for a window of %d", over, width)
				}
			}
		})
	}
}

func (r *running) callsTheAPI(tab *browsertest.Tab) {
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)
	tab.WaitText("#proof", r.Origin("api")+"/api/me", `"GET"`)
}

// loot is what a thief could take out of the page.
type loot struct{ access, refresh, jkt, proof string }

// bound reads the tokens from the page, and the key that the access token is
// bound to.
func bound(t *testing.T, tab *browsertest.Tab) loot {
	t.Helper()
	read := browsertest.Eval[[]string](tab, `Promise.all([import("/flow.js"), import("/dpop.js"), import("/chrome/jwt.js")]).then(async ([flow, dpop, jwt]) =>
		[flow.held().accessToken, flow.held().refreshToken ?? "", jwt.decode(flow.held().accessToken).payload.cnf?.jkt ?? "", await dpop.thumbprint(), dpop.lastProof()])`)
	if read[2] == "" || read[2] != read[3] {
		t.Errorf("the access token is bound to %q, the browser's key is %q", read[2], read[3])
	}
	return loot{access: read[0], refresh: read[1], jkt: read[2], proof: read[4]}
}

// wantUseless tries the loot on another machine, which has no key: as a bearer
// token, with the proof that was used, and to renew.
func (r *running) wantUseless(t *testing.T, stolen loot) {
	t.Helper()
	for _, target := range []string{r.Origin("api") + "/api/me", r.Issuer() + "/userinfo"} {
		for name, header := range map[string]http.Header{
			"as a bearer token":          {"Authorization": {"Bearer " + stolen.access}},
			"without a proof":            {"Authorization": {"DPoP " + stolen.access}},
			"with a proof that was used": {"Authorization": {"DPoP " + stolen.access}, "Dpop": {stolen.proof}},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header
			if a := r.do(t, req); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", target, name, a.StatusCode, a.body)
			}
		}
	}
	form := "grant_type=refresh_token&client_id=pkce&refresh_token=" + stolen.refresh
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.Issuer()+"/token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := r.do(t, req)
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || answer.Error != "invalid_grant" {
		t.Errorf("renewal without the key: %d %s", a.StatusCode, a.body)
	}
}

// wantNoExport asks the browser for the private key in every form that there is.
func wantNoExport(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	for _, format := range []string{"jwk", "pkcs8"} {
		got := browsertest.Eval[string](tab, `import("/dpop.js").then((dpop) => dpop.key()).then(({privateKey}) =>
			crypto.subtle.exportKey("`+format+`", privateKey)).then(() => "exported", (error) => error.name)`)
		if got != "InvalidAccessError" {
			t.Errorf("as %s: %s", format, got)
		}
	}
}
