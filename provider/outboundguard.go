package provider

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// checkOutboundURL says whether the provider would call a URL, as far as its
// text tells: errURLNotAllowed, errHTTPNotAllowed or errAddressNotAllowed if not.
// It resolves no name, so what passes here may still be refused when it is called.
// private is Config.InsecurePrivateAddresses.
func checkOutboundURL(rawURL string, private bool) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsFunc(rawURL, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errURLNotAllowed
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errURLNotAllowed
	case private:
		return nil
	case u.Scheme == "http":
		return errHTTPNotAllowed
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !isPublic(ip) || isLocalName(u.Hostname()) {
		return errAddressNotAllowed
	}
	return nil
}

// isLocalName reports whether a name means this machine: RFC 6761 §6.3.
func isLocalName(host string) bool {
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// trustedOrigins is Config.TrustedOrigins: "http://rp.lab.localhost:8080".
type trustedOrigins []string

// have reports whether a URL is at one of the origins.
func (list trustedOrigins) have(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && slices.Contains(list, webOrigin(u))
}

// listenAt reports whether one of the origins is at a host and port to dial.
func (list trustedOrigins) listenAt(addr string) bool {
	return slices.Contains(list, webOrigin(&url.URL{Scheme: "http", Host: addr})) ||
		slices.Contains(list, webOrigin(&url.URL{Scheme: "https", Host: addr}))
}

// control is asked by the dialer once a name is resolved and before a packet
// is sent, with the very address that will be connected to: whoever changes
// the name's address in between gains nothing.
func (o *outbound) control(_ context.Context, _, addr string, _ syscall.RawConn) error {
	peer, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("%w: %s", errAddressNotAllowed, addr)
	}
	return o.checkIP(peer.Addr())
}

// checkPeer is control for a connection that a dialer of the caller's made.
func (o *outbound) checkPeer(addr net.Addr) error {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return o.checkIP(tcp.AddrPort().Addr())
	}
	return o.checkIP(netip.Addr{})
}

func (o *outbound) checkIP(ip netip.Addr) error {
	if o.private || isPublic(ip) {
		return nil
	}
	return fmt.Errorf("%w: %s", errAddressNotAllowed, ip)
}

// specialBlocks are the blocks of addresses that are not for the public
// internet (the IANA special-purpose registries, RFC 6890), or that lead to
// addresses of another family out of the guard's sight. Of IPv6, only
// globalUnicast is public to begin with, which leaves out loopback, unique
// local and link-local addresses, multicast and the translation prefixes
// (RFC 6052, RFC 8215).
var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	specialBlocks = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),        // this network, RFC 791
		netip.MustParsePrefix("10.0.0.0/8"),       // private, RFC 1918
		netip.MustParsePrefix("100.64.0.0/10"),    // shared by carriers, RFC 6598
		netip.MustParsePrefix("127.0.0.0/8"),      // loopback, RFC 1122
		netip.MustParsePrefix("168.63.129.16/32"), // a cloud's service for its own machines
		netip.MustParsePrefix("169.254.0.0/16"),   // link-local, RFC 3927; metadata of clouds
		netip.MustParsePrefix("172.16.0.0/12"),    // private, RFC 1918
		netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments, RFC 6890
		netip.MustParsePrefix("192.0.2.0/24"),     // documentation, RFC 5737
		netip.MustParsePrefix("192.88.99.0/24"),   // 6to4 relays, RFC 7526
		netip.MustParsePrefix("192.168.0.0/16"),   // private, RFC 1918
		netip.MustParsePrefix("198.18.0.0/15"),    // benchmarking, RFC 2544
		netip.MustParsePrefix("198.51.100.0/24"),  // documentation, RFC 5737
		netip.MustParsePrefix("203.0.113.0/24"),   // documentation, RFC 5737
		netip.MustParsePrefix("224.0.0.0/4"),      // multicast, RFC 5771
		netip.MustParsePrefix("240.0.0.0/4"),      // reserved, RFC 1112, and broadcast, RFC 8190
		netip.MustParsePrefix("2001::/23"),        // protocol assignments, RFC 2928: Teredo, benchmarking, ORCHID
		netip.MustParsePrefix("2001:db8::/32"),    // documentation, RFC 3849
		netip.MustParsePrefix("2002::/16"),        // 6to4, RFC 3056: holds an IPv4 address
		netip.MustParsePrefix("3fff::/20"),        // documentation, RFC 9637
	}
)

// isPublic reports whether an address is one that anybody could reach.
func isPublic(ip netip.Addr) bool {
	// An IPv4-mapped address is the IPv4 address that it holds, and a prefix
	// contains no address that has a zone.
	ip = ip.Unmap().WithZone("")
	if !ip.Is4() && !globalUnicast.Contains(ip) {
		return false
	}
	for _, block := range specialBlocks {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}
