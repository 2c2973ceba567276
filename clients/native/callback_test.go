package native_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/clients/native"
)

// TestStrayRequests sends what is not the response before the response, and
// the login must not mind.
func TestStrayRequests(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stray func(callback *url.URL) // changes the honest callback
		send  func(*http.Request)
		want  int
	}{
		{name: "another path", stray: func(u *url.URL) { u.Path = "/favicon.ico" }, want: http.StatusNotFound},
		{name: "no state", stray: param("state"), want: http.StatusBadRequest},
		{name: "tampered state", stray: param("state", "forged"), want: http.StatusBadRequest},
		{name: "tampered state with an error", stray: func(u *url.URL) {
			param("state", "forged")(u)
			param("error", "access_denied")(u)
		}, want: http.StatusBadRequest},
		{name: "two states", stray: func(u *url.URL) { u.RawQuery += "&state=forged" }, want: http.StatusBadRequest},
		{name: "another host", send: func(r *http.Request) { r.Host = "rebound.example" }, want: http.StatusBadRequest},
		{name: "localhost for host", send: func(r *http.Request) { r.Host = "localhost:" + r.URL.Port() }, want: http.StatusBadRequest},
		{name: "POST", send: func(r *http.Request) { r.Method = http.MethodPost }, want: http.StatusMethodNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := startIssuer(t)
			pages := make(chan seen, 1)
			open := func(ctx context.Context, target string) error {
				callback := response(t, i, target)
				forged := *callback
				if tt.stray != nil {
					tt.stray(&forged)
				}
				if p := get(t, ctx, forged.String(), tt.send); p.status != tt.want {
					t.Errorf("stray request: %d %s", p.status, p.body)
				}
				go func() { pages <- get(t, ctx, callback.String(), nil) }()
				return nil
			}
			if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: open}); err != nil {
				t.Fatal(err)
			}
			if p := <-pages; p.status != http.StatusOK {
				t.Errorf("the honest one: %d %s", p.status, p.body)
			}
		})
	}
}

// TestReplay sends the same response again while the first is worked on.
func TestReplay(t *testing.T) {
	i := startIssuer(t)
	pages := make(chan seen, 1)
	replayed := make(chan struct{})
	var callback *url.URL
	i.token = func(map[string]any) {
		if p := get(t, t.Context(), callback.String(), nil); p.status != http.StatusBadRequest || !strings.Contains(p.body, "answered already") {
			t.Errorf("replay: %d %s", p.status, p.body)
		}
		close(replayed)
	}
	open := func(ctx context.Context, target string) error {
		callback = response(t, i, target)
		go func() { pages <- get(t, ctx, callback.String(), nil) }()
		return nil
	}
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: open}); err != nil {
		t.Fatal(err)
	}
	<-replayed
	<-pages
	if p := get(t, t.Context(), callback.String(), nil); p.status != 0 {
		t.Errorf("the listener outlives the login: %d", p.status)
	}
}

// TestPageStyle compares the page's style with the hash its policy allows.
func TestPageStyle(t *testing.T) {
	i := startIssuer(t)
	pages := make(chan seen, 1)
	if _, err := native.Login(t.Context(), native.Config{Issuer: i.URL, Open: browse(t, pages)}); err != nil {
		t.Fatal(err)
	}
	p := <-pages
	_, style, _ := strings.Cut(p.body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(p.header.Get("Content-Security-Policy"), "'sha256-"+hash+"'") {
		t.Error("the browser would refuse the page's style")
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// response asks the issuer and returns the redirect without following it.
func response(t *testing.T, i *issuer, target string) *url.URL {
	t.Helper()
	resp, err := i.Client().Transport.RoundTrip(mustRequest(t, target))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustRequest(t *testing.T, target string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func param(name string, values ...string) func(*url.URL) {
	return func(u *url.URL) {
		q := u.Query()
		q.Del(name)
		for _, v := range values {
			q.Add(name, v)
		}
		u.RawQuery = q.Encode()
	}
}
