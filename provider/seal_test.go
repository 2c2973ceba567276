package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// sealedRequest is an authorization request on its way to the login page.
func sealedRequest(t *testing.T, op *inProcess) string {
	t.Helper()
	location, err := url.Parse(op.do(t, http.MethodGet, "/authorize?"+codeRequest().values().Encode(), nil, nil).Header().Get("Location"))
	if err != nil || location.Query().Get("request") == "" {
		t.Fatalf("no sealed request: %v %v", location, err)
	}
	return location.Query().Get("request")
}

// sealedPages are the places that open a sealed request, with how they answer a
// good one from a browser that was never here.
var sealedPages = []struct {
	method, path string
	status       int
}{
	{http.MethodGet, "/authorize/resume", 303},
	{http.MethodGet, "/login", 200},
	{http.MethodPost, "/login", 403},
	{http.MethodGet, "/consent", 303},
	{http.MethodPost, "/consent", 303},
}

// open sends a sealed request to a page, without cookies.
func open(t *testing.T, op *inProcess, method, path, sealed string) (status int, body string) {
	t.Helper()
	form := url.Values{"request": {sealed}}
	stranger := &inProcess{handler: op.handler, cookies: map[string]string{}}
	rec := stranger.do(t, method, path+"?"+form.Encode(), form, nil)
	return rec.Code, rec.Body.String()
}

func TestSealedRequest(t *testing.T) {
	op, other := serving(t, provider.Config{}), serving(t, provider.Config{})
	sealed := sealedRequest(t, op)
	middle := len(sealed) / 2
	flip := func(i int) string {
		letter := "A"
		if sealed[i:i+1] == letter {
			letter = "B"
		}
		return sealed[:i] + letter + sealed[i+1:]
	}
	tests := []struct {
		name, sealed string
		good         bool
	}{
		{"control", sealed, true},
		{"first character changed", flip(0), false},
		{"middle character changed", flip(middle), false},
		{"cut", sealed[:len(sealed)-4], false},
		{"cut to a few bytes", sealed[:8], false},
		{"longer", sealed + "AAAA", false},
		{"twice", sealed + sealed, false},
		{"empty", "", false},
		{"no base64", "!!!", false},
		{"padded base64", sealed + "=", false},
		{"of another provider", sealedRequest(t, other), false},
		{"in clear", codeRequest().values().Encode(), false},
	}
	for _, page := range sealedPages {
		for _, tt := range tests {
			t.Run(page.method+" "+page.path+", "+tt.name, func(t *testing.T) {
				status, body := open(t, op, page.method, page.path, tt.sealed)
				if tt.good && status != page.status || !tt.good && (status != 400 || !strings.Contains(body, "invalid_request")) {
					t.Errorf("answer %d\n%s", status, body)
				}
			})
		}
	}
}

// TestSealedRequestsDiffer: the same request is never sealed alike, and nothing
// of it can be read.
func TestSealedRequestsDiffer(t *testing.T) {
	op := serving(t, provider.Config{})
	if first, second := sealedRequest(t, op), sealedRequest(t, op); first == second || first[:16] == second[:16] {
		t.Error("the same request is sealed alike")
	}
}

func TestSealedRequestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := serving(t, provider.Config{})
		sealed := sealedRequest(t, op)
		time.Sleep(time.Hour)
		for _, page := range sealedPages {
			if status, body := open(t, op, page.method, page.path, sealed); status != page.status {
				t.Errorf("after an hour, %s %s: %d\n%s", page.method, page.path, status, body)
			}
		}
		time.Sleep(time.Nanosecond)
		for _, page := range sealedPages {
			status, body := open(t, op, page.method, page.path, sealed)
			if status != http.StatusBadRequest || !strings.Contains(body, "open for too long") {
				t.Errorf("later, %s %s: %d\n%s", page.method, page.path, status, body)
			}
		}
	})
}

// TestSealedRequestIsCheckedAgain: the client may have changed since it was
// sealed. No page of a request that is no longer right, and no redirect to a
// URI that is no longer registered.
func TestSealedRequestIsCheckedAgain(t *testing.T) {
	op := providertest.Start(t, nil)
	sealed := sealedRequest(t, sameStore(t, op, nil, nil))
	moved := providertest.DefaultClients()
	moved[0].RedirectURIs = []string{"http://elsewhere.localhost:1/callback"}
	for name, clients := range map[string][]provider.Client{
		"the client is gone": providertest.DefaultClients()[1:], "its redirect URI is gone": moved,
	} {
		later := sameStore(t, op, clients, nil)
		for _, page := range sealedPages {
			if status, body := open(t, later, page.method, page.path, sealed); status != http.StatusBadRequest {
				t.Errorf("%s, %s %s: %d\n%s", name, page.method, page.path, status, body)
			}
		}
	}
}
