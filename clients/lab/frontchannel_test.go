package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// framedParty is a relying party that hears of sign-outs in a frame.
type framedParty struct {
	op    *providertest.Server
	url   string
	heard chan *http.Request // the frame was loaded
	back  chan *http.Request // the browser has come back
}

// startFramed starts a relying party that answers in its frame as told.
func startFramed(t *testing.T, frame http.HandlerFunc) *framedParty {
	t.Helper()
	rp := &framedParty{heard: make(chan *http.Request, 10), back: make(chan *http.Request, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("/callback", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "rp", Value: "session", HttpOnly: true})
		_, _ = fmt.Fprint(w, "signed in")
	})
	mux.HandleFunc("/frame", func(w http.ResponseWriter, r *http.Request) {
		rp.heard <- r
		frame(w, r)
	})
	mux.HandleFunc("/bye", func(w http.ResponseWriter, r *http.Request) {
		rp.back <- r
		_, _ = fmt.Fprint(w, "signed out at the relying party")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	rp.url = server.URL
	rp.op = providertest.Start(t, &providertest.Options{Clients: []provider.Client{{
		ID: "rp", Name: "A relying party", Secret: "secret", RedirectURIs: []string{server.URL + "/callback"}, SkipConsent: true,
		PostLogoutRedirectURIs: []string{server.URL + "/bye"}, FrontchannelLogoutURI: server.URL + "/frame?own=1",
	}}})
	return rp
}

// signInAndOut signs alice in at the relying party, and out at the provider.
func (rp *framedParty) signInAndOut(tab *browsertest.Tab, before func()) {
	query := url.Values{"client_id": {"rp"}, "redirect_uri": {rp.url + "/callback"}, "response_type": {"code"}, "scope": {"openid"}}
	tab.Navigate(rp.op.URL() + "/authorize?" + query.Encode())
	tab.Fill("#username", "alice")
	tab.Fill("#password", "alice")
	tab.Click("#submit")
	tab.WaitURL(rp.url + "/callback")
	tab.Navigate(rp.op.URL() + "/logout?client_id=rp&state=s&post_logout_redirect_uri=" + url.QueryEscape(rp.url+"/bye"))
	before()
	tab.Click("#logout-yes")
}

// arrived returns the request that a browser sends when it is ready to.
func arrived(t *testing.T, requests <-chan *http.Request) *http.Request {
	t.Helper()
	select {
	case r := <-requests:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("the browser stays where it is")
		return nil
	}
}

// TestFrontChannelInTheBrowser: the frame is loaded with the client's cookie,
// and then the browser goes on, whatever the client does in its frame.
func TestFrontChannelInTheBrowser(t *testing.T) {
	withoutScripts := func(tab *browsertest.Tab) {
		tab.Do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			params := emulation.SetScriptExecutionDisabledParams{Value: true}
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, params)
			return err
		}))
	}
	for _, tt := range []struct {
		name   string
		frame  http.HandlerFunc
		before func(*browsertest.Tab)
	}{
		{name: "an empty answer", frame: func(http.ResponseWriter, *http.Request) {}},
		{name: "an error", frame: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{name: "a page that may not be in a frame", frame: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Frame-Options", "DENY")
			_, _ = fmt.Fprint(w, "signed out")
		}},
		{name: "a page that wants to be on top", frame: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, `<!doctype html><script>top.location = "/elsewhere"</script>`)
		}},
		{name: "no answer at all", frame: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "a browser without scripts", frame: func(http.ResponseWriter, *http.Request) {}, before: withoutScripts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rp, tab := startFramed(t, tt.frame), browsertest.Open(t)
			rp.signInAndOut(tab, func() {
				if tt.before != nil {
					tt.before(tab)
				}
			})
			heard, back := arrived(t, rp.heard), arrived(t, rp.back)
			query := heard.URL.Query()
			if query.Get("iss") != rp.op.URL() || query.Get("sid") == "" || query.Get("own") != "1" {
				t.Errorf("the frame's query is %v", query)
			}
			if cookie, err := heard.Cookie("rp"); err != nil || cookie.Value != "session" {
				t.Errorf("the frame has no cookie of the client: %v", heard.Header)
			}
			if got := back.URL.RequestURI(); got != "/bye?state=s" {
				t.Errorf("came back to %s", got)
			}
			if referrer := heard.Header.Get("Referer") + back.Header.Get("Referer"); referrer != "" {
				t.Errorf("the client was told the URL of the provider's page: %s", referrer)
			}
		})
	}
}
