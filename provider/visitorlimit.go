package provider

import (
	"container/list"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxVisitors are remembered by a visitorLimit; beyond, the one that was not seen
// for longest is forgotten, and may begin anew.
const maxVisitors = 4096

// visitorLimit bounds how often visitors may do something: each by itself, so
// that nobody is stopped by what another does, and behind that all together, since
// one person may have many addresses.
//
// A visitor is the network that the connection comes from. Behind a proxy that is
// the proxy: what headers say of others, anybody can write.
type visitorLimit struct {
	each  rate.Limit // for one visitor
	burst int
	all   *rate.Limiter // nil: all together are not bounded

	mu       sync.Mutex
	visitors map[netip.Prefix]*list.Element
	seen     *list.List // of *visitor, whoever came last in front
}

type visitor struct {
	network netip.Prefix
	bucket  *rate.Limiter
}

func newVisitorLimit(each rate.Limit, burst int, all *rate.Limiter) *visitorLimit {
	return &visitorLimit{each: each, burst: burst, all: all, visitors: map[netip.Prefix]*list.Element{}, seen: list.New()}
}

// allow reports whether the visitor may do it once more, and counts it if so.
func (l *visitorLimit) allow(r *http.Request) bool {
	_, ok := l.take(r)
	return ok
}

// take is allow for what counts only sometimes: giveBack makes it as if it had not
// been done. Those who may not take nothing from what all have together.
func (l *visitorLimit) take(r *http.Request) (giveBack func(), ok bool) {
	now := time.Now()
	own, ok := takeOne(l.bucket(visitorNetwork(r.RemoteAddr)), now)
	if !ok || l.all == nil {
		return own, ok
	}
	all, ok := takeOne(l.all, now)
	return func() { own(); all() }, ok
}

// takeOne takes a token from a bucket, if there is one.
func takeOne(bucket *rate.Limiter, now time.Time) (giveBack func(), ok bool) {
	token := bucket.ReserveN(now, 1)
	giveBack = func() { token.CancelAt(now) } // not later: what was to be done by now counts as done
	if !token.OK() || token.DelayFrom(now) > 0 {
		giveBack()
		return func() {}, false
	}
	return giveBack, true
}

// bucket finds or makes the bucket of a network.
func (l *visitorLimit) bucket(network netip.Prefix) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.visitors[network]; known != nil {
		l.seen.MoveToFront(known)
		return known.Value.(*visitor).bucket // put there below
	}
	if l.seen.Len() == maxVisitors {
		forgotten := l.seen.Remove(l.seen.Back()).(*visitor) // put there below
		delete(l.visitors, forgotten.network)
	}
	bucket := rate.NewLimiter(l.each, l.burst)
	l.visitors[network] = l.seen.PushFront(&visitor{network, bucket})
	return bucket
}

// visitorNetwork is the network of a connection's other end. What has no address,
// such as a Unix socket, is one visitor.
func visitorNetwork(remoteAddr string) netip.Prefix {
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return networkOf(peer.Addr())
}

// networkOf is an IPv4 address, or the 64 bits of an IPv6 address that a network
// has: the others its machines choose freely (RFC 4291 §2.5.1, RFC 8981).
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // bits are never too many
	return network
}
