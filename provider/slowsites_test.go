package provider_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// TestSlowSitesHoldNobodyUp: anybody can send authorization requests whose
// request_uri leads to a host that says nothing. Documents from elsewhere are
// fetched all the same, and clients hear of sign-outs.
func TestSlowSitesHoldNobodyUp(t *testing.T) {
	for name, tt := range map[string]struct {
		slow    string // host of a request_uri, with a number in it
		hanging int32
		fetched bool // another document
	}{
		"one host":        {"slow.example:%d", 4, true},
		"hosts of a site": {"host-%d.slow.example", 4, true},
		"many sites":      {"slow-%d.example", 32, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hanging, fetched, told atomic.Int32
				release := make(chan struct{})
				network := newPipes(t, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path == "/logout":
						told.Add(1)
					case strings.HasPrefix(r.Host, "quick."):
						fetched.Add(1)
						w.Write([]byte("no JWT"))
					default:
						hanging.Add(1)
						<-release
					}
				})
				const strangers = 100
				stranger := provider.Client{ID: "stranger", RedirectURIs: []string{"https://evil.example/"}, RequestURIs: []string{"http://quick.example/r"}}
				for i := range strangers {
					stranger.RequestURIs = append(stranger.RequestURIs, "http://"+fmt.Sprintf(tt.slow, i)+"/r")
				}
				op := serving(t, provider.Config{
					Clients:   append(providertest.DefaultClients(), receiver("rp-0"), stranger),
					FixedKeys: fixedKeys(), InsecurePrivateAddresses: true, DialContext: network.dial,
				})
				ask := func(uri string) int {
					visitor := &inProcess{handler: op.handler, cookies: map[string]string{}}
					request := params{"client_id": stranger.ID, "response_type": "code", "request_uri": uri}
					return visitor.do(t, http.MethodGet, "/authorize?"+request.values().Encode(), nil, nil).Code
				}
				idToken := op.joins(t, "rp-0")
				var all sync.WaitGroup
				for _, uri := range stranger.RequestURIs[1:] {
					all.Go(func() {
						if got := ask(uri); got != http.StatusBadRequest {
							t.Errorf("%s: %d", uri, got)
						}
					})
				}
				synctest.Wait()
				begin := time.Now()
				if hanging.Load() != tt.hanging {
					t.Errorf("%d requests hang", hanging.Load())
				}
				op.signsOut(t, idToken)
				if took := time.Since(begin); told.Load() != 1 || took > 0 {
					t.Errorf("told %d times, after %s", told.Load(), took)
				}
				if tt.fetched {
					got := ask("http://quick.example/r")
					if took := time.Since(begin); got != http.StatusBadRequest || fetched.Load() != 1 || took > 0 {
						t.Errorf("another document: %d, fetched %d times, after %s", got, fetched.Load(), took)
					}
				}
				close(release)
				all.Wait()
			})
		})
	}
}
