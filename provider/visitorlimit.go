package provider

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// visitorLimit bounds how often visitors may do something: each by itself, so
// that nobody is stopped by what another does, and behind that all together, since
// one person may have many addresses.
//
// A visitor is the network that the connection comes from. Behind a proxy that is
// the proxy: what headers say of others, anybody can write.
type visitorLimit struct {
	all *rate.Limiter // nil: all together are not bounded

	mu       sync.Mutex
	visitors *buckets[netip.Prefix]
}

func newVisitorLimit(each rate.Limit, burst int, all *rate.Limiter) *visitorLimit {
	return &visitorLimit{all: all, visitors: newBuckets[netip.Prefix](each, burst)}
}

// allow reports whether the visitor may do it once more, and counts it if so.
func (l *visitorLimit) allow(r *http.Request) bool {
	_, ok := l.take(r)
	return ok
}

// take is allow for what counts only sometimes: giveBack makes it as if it had not
// been done. Those who may not take nothing, from themselves or from all.
func (l *visitorLimit) take(r *http.Request) (giveBack func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	buckets := []*rate.Limiter{l.visitors.of(visitorNetwork(r.RemoteAddr))}
	if l.all != nil {
		buckets = append(buckets, l.all)
	}
	// Looking and taking is one step: a token that is taken in vain can be given
	// back in full only if nobody took one meanwhile.
	for _, bucket := range buckets {
		if bucket.TokensAt(now) < 1 {
			return nil, false
		}
	}
	for _, bucket := range buckets {
		bucket.AllowN(now, 1)
	}
	return func() {
		for _, bucket := range buckets {
			bucket.AllowN(time.Now(), -1) // one more; a bucket holds no more than its burst
		}
	}, true
}

// visitorNetwork is the network of a connection's other end. What has no address,
// such as a Unix socket, is one visitor.
func visitorNetwork(remoteAddr string) netip.Prefix { return networkOf(peerOf(remoteAddr)) }

// peerOf is the address of a connection's other end, the zero one if it has none.
func peerOf(remoteAddr string) netip.Addr {
	peer, _ := netip.ParseAddrPort(remoteAddr) // zero with an error
	return peer.Addr().Unmap()
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
