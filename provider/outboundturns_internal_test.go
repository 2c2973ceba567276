package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
)

// TestOutboundAtOnce: so many requests at once, the rest wait for their turn,
// but not for ever.
func TestOutboundAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		host   string // with the request's number in it
		atOnce int
	}{
		"to many sites":      {"rp-%d.example", fetchesAtOnce},
		"to one host":        {"rp.example:%d", fetchesOfASite},
		"to hosts of a site": {"host-%d.rp.example", fetchesOfASite},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlow(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				results := make(chan error)
				for i := range fetchesAtOnce + 1 {
					go func() {
						_, err := s.o.get(t.Context(), "https://"+fmt.Sprintf(tt.host, i)+"/", "")
						results <- err
					}()
				}
				synctest.Wait()
				if s.dials != tt.atOnce {
					t.Errorf("%d at once", s.dials)
				}
				hangsUp, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := s.o.get(hangsUp, "https://"+fmt.Sprintf(tt.host, 0)+"/", ""); !errors.Is(err, context.Canceled) {
					t.Errorf("a caller that is gone: %v", err)
				}
				for range fetchesAtOnce + 1 {
					if err := <-results; !errors.Is(err, errNotFetched) {
						t.Errorf("got %v", err)
					}
				}
				if len(s.o.fetches.sites)+len(s.o.fetches.all) > 0 {
					t.Errorf("afterwards turns are taken: %d, at %d sites", len(s.o.fetches.all), len(s.o.fetches.sites))
				}
			})
		})
	}
}

// TestOutboundWaitIsBounded: those who wait for documents are a part of the requests
// under way, and those who wait for one site a part of them. More are told at once.
func TestOutboundWaitIsBounded(t *testing.T) {
	for host, most := range map[string]int{
		"rp-%d.example": defaultMaxConcurrentRequests / fetchingRequests, "host-%d.rp.example": defaultMaxConcurrentRequests / fetchingOfASite,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlow(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			results := make(chan error, 2*most)
			get := func(i int) {
				_, err := s.o.get(t.Context(), "https://"+fmt.Sprintf(host, i)+"/", "")
				results <- err
			}
			for i := range most {
				go get(i)
			}
			synctest.Wait()
			if len(results) > 0 {
				t.Errorf("%s: %d of %d did not wait", host, len(results), most)
			}
			go get(most)
			synctest.Wait() // in which no time passes
			if len(results) != 1 {
				t.Errorf("%s: one more than %d waits, too", host, most)
			}
			for range most + 1 {
				if err := <-results; !errors.Is(err, errNotFetched) {
					t.Errorf("got %v", err)
				}
			}
			if s.o.fetches.users > 0 || len(s.o.fetches.sites) > 0 {
				t.Errorf("afterwards: %d, at %d sites", s.o.fetches.users, len(s.o.fetches.sites))
			}
		})
	}
}

// TestOutboundSignOutsAtOnce: they have turns of their own, and a site has a part
// of them.
func TestOutboundSignOutsAtOnce(t *testing.T) {
	for host, want := range map[string]int{"rp-%d.example": signOutsAtOnce, "host-%d.rp.example": signOutsOfASite} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlow(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			for i := range fetchesAtOnce {
				go func() { _, _ = s.o.get(t.Context(), fmt.Sprintf("https://document-%d.example/", i), "") }()
			}
			for i := range signOutsAtOnce + 1 {
				go func() { _, _ = s.o.postForm(t.Context(), "https://"+fmt.Sprintf(host, i)+"/", nil) }()
			}
			synctest.Wait()
			if got := s.dials - fetchesAtOnce; got != want {
				t.Errorf("%d at once", got)
			}
		})
	}
}

// TestSiteOf: whoever can name a host at will has one site.
func TestSiteOf(t *testing.T) {
	for rawURL, want := range map[string]string{
		"https://rp.example/":                  "rp.example",
		"https://a.b.RP.example.:8443/c?d=e":   "rp.example",
		"https://a.co.uk":                      "a.co.uk",
		"https://b.a.co.uk":                    "a.co.uk",
		"https://a.github.io/":                 "a.github.io",
		"https://co.uk/":                       "co.uk",
		"http://localhost:8080":                "localhost",
		"http://bff.lab.localhost:8080":        "lab.localhost",
		"https://192.0.2.1:8443/":              "192.0.2.1/32",
		"https://[2001:db8:0:1:2:3:4:5]:8443/": "2001:db8:0:1::/64",
		"https://[::ffff:192.0.2.1]/":          "192.0.2.1/32",
	} {
		if got := siteOf(rawURL); got != want {
			t.Errorf("%s is at %q, want %q", rawURL, got, want)
		}
	}
}

// TestOutboundCloseEndsAllTurns: none can be taken afterwards.
func TestOutboundCloseEndsAllTurns(t *testing.T) {
	o := newTestOutbound(t, Config{InsecurePrivateAddresses: true, DialContext: nil, WrapTransport: func(http.RoundTripper) http.RoundTripper {
		return roundTrip(func(*http.Request) (*http.Response, error) {
			t.Error("a request is sent")
			return nil, errNotFetched
		})
	}})
	o.close()
	if _, err := o.get(t.Context(), "https://rp.example/", ""); !errors.Is(err, errNotFetched) {
		t.Errorf("a document: %v", err)
	}
	if _, err := o.postForm(t.Context(), "https://rp.example/", nil); !errors.Is(err, errNotFetched) {
		t.Errorf("a sign-out: %v", err)
	}
}
