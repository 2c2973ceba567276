package pkce_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/web/webtest"
)

// bind turns DPoP on in a tab that is signed out.
func (p page) bind() {
	p.t.Helper()
	p.Click("#dpop")
	p.want(`document.querySelector("#dpop").checked`, "true")
}

// proof is what the page sent in the header DPoP.
type proof struct {
	ID       string `json:"jti"`
	Method   string `json:"htm"`
	URL      string `json:"htu"`
	IssuedAt int64  `json:"iat"`
	Token    string `json:"ath"`
	Nonce    string `json:"nonce"`
	key      string // its thumbprint
}

// readProof verifies a proof as a server does: RFC 9449 §4.3.
func readProof(t *testing.T, raw string) (read proof) {
	t.Helper()
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	header := token.Headers[0]
	if header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" || header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() {
		t.Fatalf("header %+v", header)
	}
	if err := token.Claims(header.JSONWebKey.Key, &read); err != nil {
		t.Fatal(err)
	}
	sum, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	read.key = base64.RawURLEncoding.EncodeToString(sum)
	if age := time.Now().Unix() - read.IssuedAt; age < 0 || age > 60 {
		t.Errorf("made %d s ago", age)
	}
	return read
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// TestBoundSignIn: what the page sends when it binds its tokens.
func TestBoundSignIn(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{})
	p.bind()
	p.Click("#signin")
	p.Wait(`body[data-state="signed-in"]`)
	p.Click("#call-api")
	p.Wait(`#api-result[data-status="200"]`)
	p.Click("#renew")
	p.Wait(`body[data-renewals="1"]`)

	key := p.issuer.Requests("/authorize")[0].Form.Get("dpop_jkt")
	used := map[string]bool{}
	for path, want := range map[string]struct {
		method string
		tokens bool
	}{"/token": {"POST", false}, "/userinfo": {"GET", true}, "/api/me": {"GET", true}} {
		requests := p.issuer.Requests(path)
		if len(requests) == 0 {
			t.Errorf("no request to %s", path)
		}
		for _, r := range requests {
			got := readProof(t, r.Proof)
			if got.Method != want.method || got.URL != p.issuer.URL+path || got.Nonce != "" || got.ID == "" || used[got.ID] {
				t.Errorf("%s: proof %+v", path, got)
			}
			used[got.ID] = true
			if got.key != key || len(key) != 43 {
				t.Errorf("%s: signed with the key %q, the request named %q", path, got.key, key)
			}
			if !want.tokens {
				if got.Token != "" || r.Authorization != "" {
					t.Errorf("%s: ath %q, Authorization %q", path, got.Token, r.Authorization)
				}
				continue
			}
			scheme, token, _ := strings.Cut(r.Authorization, " ")
			if scheme != "DPoP" || got.Token != hashOf(token) {
				t.Errorf("%s: Authorization %q, ath %q", path, r.Authorization, got.Token)
			}
		}
	}
	p.want(`document.querySelector("#proof").innerText.includes("/token")`, "true")
}

// dpop evaluates an expression in the page, where dpop is dpop.js, and awaits it.
func (p page) dpop(expression string) string {
	p.t.Helper()
	return browsertest.Eval[string](p.Tab, `import("/dpop.js").then(async (dpop) => String(await (`+expression+`)))`)
}

// TestKeyCannotBeTaken: scripts use the private key, and cannot read it; a
// reload, and another tab, find the same one.
func TestKeyCannotBeTaken(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{})
	for expression, want := range map[string]string{
		`dpop.key().then(({ privateKey }) => [privateKey.type, privateKey.extractable, privateKey.usages])`:                       "private,false,sign",
		`dpop.key().then(({ privateKey }) => crypto.subtle.exportKey("jwk", privateKey)).then(() => "exported", (e) => e.name)`:   "InvalidAccessError",
		`dpop.key().then(({ privateKey }) => crypto.subtle.exportKey("pkcs8", privateKey)).then(() => "exported", (e) => e.name)`: "InvalidAccessError",
		`crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["wrapKey"]).then(async (wrapping) => crypto.subtle.wrapKey("jwk",
			(await dpop.key()).privateKey, wrapping, { name: "AES-GCM", iv: new Uint8Array(12) })).then(() => "wrapped", (e) => e.name)`: "InvalidAccessError",
	} {
		if got := p.dpop(expression); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
	first := p.dpop("dpop.thumbprint()")
	p.Reload()
	p.Wait(`body[data-state="signed-out"]`)
	if got := p.dpop("dpop.thumbprint()"); got != first {
		t.Errorf("after a reload the key is %q, before it was %q", got, first)
	}
	other := page{p.Another(), t, p.issuer, p.url}
	other.Navigate(p.url)
	other.Wait(`body[data-state="signed-out"]`)
	if got := other.dpop("dpop.thumbprint()"); got != first {
		t.Errorf("another tab has the key %q, the first %q", got, first)
	}
}

// TestKeyIsMadeOnce: whoever asks at the same time as others gets the same key.
func TestKeyIsMadeOnce(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{})
	if got := p.dpop(`Promise.all([dpop.thumbprint(), dpop.thumbprint(), dpop.thumbprint()]).then((names) => new Set(names).size)`); got != "1" {
		t.Errorf("%s keys", got)
	}
}

// TestBindingIsRemembered: for the tab, over a reload and a sign-out; not beyond.
func TestBindingIsRemembered(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{})
	p.bind()
	p.Click("#signin")
	p.Wait(`body[data-state="signed-in"]`)
	p.Reload()
	p.Wait(`body[data-state="signed-in"]`)
	requests := p.issuer.Requests("/token")
	if len(requests) != 2 || readProof(t, requests[0].Proof).key != readProof(t, requests[1].Proof).key {
		t.Errorf("after the reload: %+v", requests)
	}
	p.Click("#signout")
	p.Wait(`body[data-state="signed-out"]`)
	p.want(`document.querySelector("#dpop").checked`, "true")
	p.Click("#dpop")
	p.issuer.Tell(webtest.Lies{}, "")
	p.Click("#signin")
	p.Wait(`body[data-state="signed-in"]`)
	if r := p.issuer.Requests("/token")[0]; r.Proof != "" || p.issuer.Requests("/authorize")[0].Form.Has("dpop_jkt") {
		t.Error("a proof is sent after the switch was turned off")
	}
	p.want(`document.querySelector("#without-key").hidden`, "true")
}

// TestBoundMeansBound: a page that asked for bound tokens takes no others.
func TestBoundMeansBound(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{Token: func(_ url.Values, answer map[string]any) int {
		answer["token_type"] = "Bearer"
		return 200
	}})
	p.bind()
	p.Click("#signin")
	p.Wait(`body[data-state="signed-out"][data-error]`)
	p.want(shownError, "The token endpoint's answer cannot be used")
	p.want("flow.held()", "null")
}

// TestNonce: a server that asks for one gets it, without a second question
// later; one that is never content is not asked for ever.
func TestNonce(t *testing.T) {
	p := open(t)
	p.start(webtest.Lies{Nonce: "first"})
	p.bind()
	p.Click("#signin")
	p.Wait(`body[data-state="signed-in"]`)
	requests := p.issuer.Requests("/token")
	if len(requests) != 2 || readProof(t, requests[0].Proof).Nonce != "" || readProof(t, requests[1].Proof).Nonce != "first" {
		t.Errorf("%d token requests", len(requests))
	}
	if info := p.issuer.Requests("/userinfo"); len(info) != 1 || readProof(t, info[0].Proof).Nonce != "first" {
		t.Errorf("%d userinfo requests", len(info))
	}

	p.issuer.Tell(webtest.Lies{Nonce: "second"}, "alice-0001")
	p.Click("#renew")
	p.Wait(`body[data-renewals="1"]`)
	if requests := p.issuer.Requests("/token"); len(requests) != 2 || readProof(t, requests[1].Proof).Nonce != "second" {
		t.Errorf("%d token requests", len(requests))
	}

	p.issuer.Tell(webtest.Lies{Token: func(_ url.Values, answer map[string]any) int {
		answer["error"] = "use_dpop_nonce"
		return 400
	}}, "alice-0001")
	p.Click("#renew")
	p.Wait("body[data-error]")
	p.want(shownError, "The token endpoint refused the request")
	if n := len(p.issuer.Requests("/token")); n != 1 {
		t.Errorf("%d requests though there was no nonce to send", n)
	}
}
