package provider_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestSlowClients: twenty clients, of which five never answer. Nobody waits for
// them for longer than for a moment.
func TestSlowClients(t *testing.T) {
	const all, wait = 20, 5 * time.Second
	for _, hang := range []int{0, 5, all} {
		t.Run(fmt.Sprintf("%d hang", hang), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hangs := func(r *http.Request) bool {
					var i int
					_, err := fmt.Sscanf(r.Host, "rp-%d.", &i)
					return err == nil && i < hang
				}
				op, rs := receiving(t, all, provider.Config{}, func(_ http.ResponseWriter, r *http.Request) {
					if hangs(r) {
						<-r.Context().Done()
					}
				})
				var idToken string
				for i := range all {
					idToken = op.joins(t, fmt.Sprintf("rp-%d", i))
				}
				begin := time.Now()
				op.signsOut(t, idToken)
				want := min(wait, wait*time.Duration(hang))
				if took := time.Since(begin); took != want {
					t.Errorf("the browser waited %s, want %s", took, want)
				}
				if got := len(rs.times()); got < all-hang {
					t.Errorf("%d clients were told by then", got)
				}
				time.Sleep(time.Minute) // the rest happens by itself
				for client, times := range rs.times() {
					if hung := hangs(&http.Request{Host: client + ".localhost"}); hung != (times == 2) || times > 2 {
						t.Errorf("%s: told %d times", client, times)
					}
				}
				if got := len(rs.times()); got != all {
					t.Errorf("%d clients were told", got)
				}
			})
		})
	}
}

// TestSecondTriesAtOnce: those that could not sign the user out are all told
// again, and the browser waits for one pause.
func TestSecondTriesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, rs := receiving(t, 10, provider.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
		var idToken string
		for i := range 10 {
			idToken = op.joins(t, fmt.Sprintf("rp-%d", i))
		}
		begin := time.Now()
		op.signsOut(t, idToken)
		if took := time.Since(begin); took != 500*time.Millisecond {
			t.Errorf("the browser waited %s", took)
		}
		for client, times := range rs.times() {
			if times != 2 {
				t.Errorf("%s: told %d times", client, times)
			}
		}
	})
}

// TestBrowserGoesAway: the clients are told all the same.
func TestBrowserGoesAway(t *testing.T) {
	for _, when := range []string{"as the session ends", "as the clients are told"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leave := func(string) {}
				store := &faultyStore{Store: storagetest.NewModel(), broken: map[string]bool{}, onCommit: func(c storage.Changes) error {
					if len(c.SignOut) > 0 {
						leave("as the session ends")
					}
					return nil
				}}
				op, rs := receiving(t, 3, provider.Config{Store: store}, func(http.ResponseWriter, *http.Request) {
					leave("as the clients are told")
					time.Sleep(time.Second)
				})
				var idToken string
				for i := range 3 {
					idToken = op.joins(t, fmt.Sprintf("rp-%d", i))
				}
				begin := time.Now()
				op.do(t, http.MethodGet, "/logout?"+goodLogout(idToken).values().Encode(), nil, func(r *http.Request) {
					ctx, cancel := context.WithCancel(r.Context())
					leave = func(now string) {
						if now == when {
							cancel()
						}
					}
					*r = *r.WithContext(ctx)
				})
				if took := time.Since(begin); took != 0 {
					t.Errorf("waited %s for nobody", took)
				}
				time.Sleep(time.Minute)
				if diff := cmp.Diff(map[string]int{"rp-0": 1, "rp-1": 1, "rp-2": 1}, rs.times()); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if strings.Contains(rs.log.String(), "attempt=2") || strings.Contains(rs.log.String(), "not told") {
					t.Errorf("log:\n%s", rs.log.String())
				}
			})
		})
	}
}

// TestCloseEndsTheTelling: the end of the process does not wait for clients.
func TestCloseEndsTheTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, _ := receiving(t, 1, provider.Config{}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		op.signsOut(t, op.joins(t, "rp-0"))
		begin := time.Now()
		if err := op.handler.(*provider.Provider).Close(); err != nil || time.Since(begin) > time.Second {
			t.Errorf("closed after %s, %v", time.Since(begin), err)
		}
	})
}
