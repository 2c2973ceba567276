package provider

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

// turns bound the requests under way: so many in all, and of those so many to one
// site, since whoever chose its URL may let each of them hang.
type turns struct {
	all  chan struct{} // one for each request under way
	each int           // at one site
	// most and mostEach are how many may have a turn or wait for one, in all and
	// for one site. 0: any number.
	most, mostEach int

	mu    sync.Mutex
	users int                   // who has a turn or waits for one
	sites map[string]*siteTurns // where
}

var errTooManyTurns = errors.New("too many wait for their turn")

type siteTurns struct {
	slots chan struct{}
	users int // who has a turn or waits for one; turns.mu guards it
}

func newTurns(all, each int) *turns {
	return &turns{all: make(chan struct{}, all), each: each, sites: map[string]*siteTurns{}}
}

// take waits for a turn at the site of a URL, first there, so that those who wait
// for a slow site keep nobody from another. The error is ctx's, or errTooManyTurns.
func (t *turns) take(ctx context.Context, rawURL string) (giveBack func(), err error) {
	site := siteOf(rawURL)
	own := t.enter(site)
	if own == nil {
		return nil, errTooManyTurns
	}
	select {
	case own.slots <- struct{}{}:
	case <-ctx.Done():
		t.leave(site)
		return nil, ctx.Err()
	}
	leave := func() {
		<-own.slots
		t.leave(site)
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	return func() {
		leave()
		<-t.all
	}, nil
}

// enter returns nil if too many wait.
func (t *turns) enter(site string) *siteTurns {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.sites[site]
	if t.most > 0 && t.users == t.most || t.mostEach > 0 && own != nil && own.users == t.mostEach {
		return nil
	}
	t.users++
	if own == nil {
		own = &siteTurns{slots: make(chan struct{}, t.each)}
		t.sites[site] = own
	}
	own.users++
	return own
}

// leave forgets a site that nobody waits for any more.
func (t *turns) leave(site string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.sites[site]
	t.users--
	if own.users--; own.users == 0 {
		delete(t.sites, site)
	}
}

// end takes every turn for good, when the last request has given its own back.
func (t *turns) end() {
	for range cap(t.all) {
		t.all <- struct{}{}
	}
}

// siteOf says who answers at a URL, as far as its name tells: the domain that
// somebody registered, below which they name as many hosts as they like.
func siteOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return networkOf(ip).String()
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host // itself a suffix, such as localhost
}
