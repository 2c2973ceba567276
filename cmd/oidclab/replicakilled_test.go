package main

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

// acknowledged is what a flow was told.
type acknowledged struct {
	code            string
	access, refresh string
}

// TestReplicaKilled: one of three dies under load. Whatever was acknowledged
// before, meanwhile or afterwards is true, and no code is redeemed twice.
func TestReplicaKilled(t *testing.T) {
	const workers, before, after = 8, 60, 120 // flows
	f := startFleet(t, 3)
	clients := make([]*http.Client, workers)
	for i := range clients {
		clients[i] = f.signedIn()
	}
	var flows, failed atomic.Int64
	kill, killed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		<-kill
		f.replicas[1].kill()
	}()
	var mu sync.Mutex
	var told []acknowledged
	var all sync.WaitGroup
	for _, client := range clients {
		all.Go(func() {
			for n := flows.Load(); n < before+after; n = flows.Load() {
				flow, err := f.flow(client)
				if err != nil {
					t.Error(err)
					return
				}
				if flow == nil {
					failed.Add(1)
					continue
				}
				mu.Lock()
				told = append(told, *flow)
				mu.Unlock()
				if flows.Add(1) == before {
					close(kill)
				}
			}
		})
	}
	all.Wait()
	<-killed
	if f.replicas[1].dead.Load() {
		t.Logf("%d flows were answered, %d were not", len(told), failed.Load())
	} else {
		t.Error("nobody noticed that the replica is gone")
	}

	for _, flow := range told {
		if !f.active(flow.access) {
			t.Errorf("an acknowledged token is not active")
		}
		f.must(http.StatusOK, "/token", renewal("spa", flow.refresh), nil)
	}
	for _, flow := range told {
		f.must(http.StatusBadRequest, "/token", redemption("spa", flow.code), nil)
	}
}

// signedIn is a browser that alice has signed in with, for one goroutine.
func (f *fleet) signedIn() *http.Client {
	f.Helper()
	browser := providertest.NewBrowser(f)
	f.code(browser)
	return f.inStead(browser)
}

// flow gets a code, redeems it and, every second time, renews the tokens. It
// returns nil if a step was not answered: nobody knows then what has become of it.
func (f *fleet) flow(client *http.Client) (*acknowledged, error) {
	u, err := url.Parse(f.authorize("spa"))
	if err != nil {
		return nil, err
	}
	a, err := f.send(client, u.RequestURI(), nil, nil)
	if err != nil || a.target == nil || a.target.Query().Get("code") == "" {
		return nil, err
	}
	told := &acknowledged{code: a.target.Query().Get("code")}
	a, err = f.send(http.DefaultClient, "/token", redemption("spa", told.code), nil)
	if err != nil || a.status != http.StatusOK {
		return nil, err
	}
	told.access, told.refresh = a.text("access_token"), a.text("refresh_token")
	if told.code[len(told.code)-1]%2 == 0 {
		return told, nil
	}
	a, err = f.send(http.DefaultClient, "/token", renewal("spa", told.refresh), nil)
	if err != nil || a.status != http.StatusOK {
		return nil, err
	}
	told.access, told.refresh = a.text("access_token"), a.text("refresh_token")
	return told, nil
}
