package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// newTestOutbound makes an outbound that ends with the test.
func newTestOutbound(t *testing.T, cfg Config) *outbound {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	o := newOutbound(&cfg)
	t.Cleanup(o.close)
	return o
}

// TestPublicAddresses: each block by its first and last address, and the
// addresses around the blocks.
func TestPublicAddresses(t *testing.T) {
	for _, tt := range []struct {
		addresses []string
		public    bool
	}{
		{[]string{"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"}, true},
		{[]string{"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255"}, true},
		{[]string{"192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"}, true},
		{[]string{"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255"}, true},
		{[]string{"2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2606:4700::1", "3ffe:ffff::", "3fff:1000::"}, true},
		{[]string{"::ffff:8.8.8.8", "2606:4700::1%eth0"}, true},

		{[]string{"0.0.0.0", "0.255.255.255"}, false},
		{[]string{"10.0.0.0", "10.255.255.255"}, false},
		{[]string{"100.64.0.0", "100.127.255.255"}, false},
		{[]string{"127.0.0.0", "127.0.0.1", "127.255.255.255"}, false},
		{[]string{"168.63.129.16"}, false},
		{[]string{"169.254.0.0", "169.254.169.254", "169.254.255.255"}, false},
		{[]string{"172.16.0.0", "172.31.255.255"}, false},
		{[]string{"192.0.0.0", "192.0.0.255"}, false},
		{[]string{"192.0.2.0", "192.0.2.255"}, false},
		{[]string{"192.88.99.0", "192.88.99.255"}, false},
		{[]string{"192.168.0.0", "192.168.255.255"}, false},
		{[]string{"198.18.0.0", "198.19.255.255"}, false},
		{[]string{"198.51.100.0", "198.51.100.255"}, false},
		{[]string{"203.0.113.0", "203.0.113.255"}, false},
		{[]string{"224.0.0.0", "239.255.255.255"}, false},
		{[]string{"240.0.0.0", "255.255.255.255"}, false},
		{[]string{"::", "::1", "1fff:ffff::", "4000::", "::127.0.0.1", "::8.8.8.8", "100::1"}, false},
		{[]string{"fc00::", "fd00:ec2::254", "fdff:ffff::"}, false},
		{[]string{"fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"}, false},
		{[]string{"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:127.0.0.1%eth0"}, false},
		{[]string{"64:ff9b::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1"}, false},
		{[]string{"2001::", "2001::1", "2001:2::1", "2001:10::1", "2001:1ff:ffff::", "2001::1%eth0"}, false},
		{[]string{"2001:db8::", "2001:db8:ffff::"}, false},
		{[]string{"2002::", "2002:7f00:1::", "2002:ffff::"}, false},
		{[]string{"3fff::", "3fff:fff::"}, false},
	} {
		for _, address := range tt.addresses {
			if got := isPublic(netip.MustParseAddr(address)); got != tt.public {
				t.Errorf("%s: public is %v", address, got)
			}
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address at all is public")
	}
}

// TestSpecialBlocksAreAllNeeded: none of them lies within another.
func TestSpecialBlocksAreAllNeeded(t *testing.T) {
	for i, a := range specialBlocks {
		for j, b := range specialBlocks {
			if i != j && a.Overlaps(b) {
				t.Errorf("%s overlaps %s", a, b)
			}
		}
	}
}

// TestOutboundURLs: what the text of a URL alone decides.
func TestOutboundURLs(t *testing.T) {
	for _, tt := range []struct {
		url           string
		want, private error // without and with insecure_private_addresses
	}{
		{"https://rp.example/jwks", nil, nil},
		{"https://rp.example:8443/jwks?a=b#c", nil, nil},
		{"https://8.8.8.8/jwks", nil, nil},
		{"https://[2606:4700::1]/jwks", nil, nil},
		{"https://notlocalhost/jwks", nil, nil},
		{"http://rp.example/jwks", errHTTPNotAllowed, nil},
		{"https://localhost/jwks", errAddressNotAllowed, nil},
		{"https://LOCALHOST./jwks", errAddressNotAllowed, nil},
		{"https://rp.localhost:8443/jwks", errAddressNotAllowed, nil},
		{"https://127.0.0.1/jwks", errAddressNotAllowed, nil},
		{"https://[::1]/jwks", errAddressNotAllowed, nil},
		{"https://[::ffff:127.0.0.1]/jwks", errAddressNotAllowed, nil},
		{"https://[fe80::1%25eth0]/jwks", errAddressNotAllowed, nil},
		{"https://169.254.169.254/latest", errAddressNotAllowed, nil},
		{"ftp://rp.example/jwks", errURLNotAllowed, errURLNotAllowed},
		{"file:///etc/passwd", errURLNotAllowed, errURLNotAllowed},
		{"https:///jwks", errURLNotAllowed, errURLNotAllowed},
		{"https://:8443/jwks", errURLNotAllowed, errURLNotAllowed},
		{"//rp.example/jwks", errURLNotAllowed, errURLNotAllowed},
		{"", errURLNotAllowed, errURLNotAllowed},
		{"https://user@rp.example/jwks", errURLNotAllowed, errURLNotAllowed},
		{"https://user:password@rp.example/jwks", errURLNotAllowed, errURLNotAllowed},
		{"https://rp.example/a b", errURLNotAllowed, errURLNotAllowed},
		{"https://rp.exämple/jwks", errURLNotAllowed, errURLNotAllowed},
		{"https://rp.example/\r\nHost: x", errURLNotAllowed, errURLNotAllowed},
		{"https://rp.example/%zz", errURLNotAllowed, errURLNotAllowed},
	} {
		if got := checkOutboundURL(tt.url, false); !errors.Is(got, tt.want) {
			t.Errorf("%q: %v", tt.url, got)
		}
		if got := checkOutboundURL(tt.url, true); !errors.Is(got, tt.private) {
			t.Errorf("%q with private addresses: %v", tt.url, got)
		}
	}
}

// nameserver answers every question for an IPv4 address with the next of
// addresses, over and over, and knows no IPv6.
func nameserver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	var asked atomic.Int64
	answer := func(query []byte) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(query); err != nil {
			t.Error(err)
			return nil
		}
		m.Response = true
		m.Additionals = nil
		for _, q := range m.Questions {
			if q.Type != dnsmessage.TypeA {
				continue
			}
			ip := netip.MustParseAddr(addresses[int(asked.Add(1)-1)%len(addresses)])
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: ip.As4()},
			})
		}
		packed, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return packed
	}
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if _, err := server.WriteTo(answer(buffer[:n]), from); err != nil {
				return
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// TestResolvedAddressDecides: a name that looks public may lead anywhere, and
// somewhere else each time that it is looked up.
func TestResolvedAddressDecides(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(net.Conn, http.ConnState) { connections.Add(1) }
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	url := fmt.Sprintf("https://rp.example.:%s/jwks", port)

	for _, addresses := range [][]string{{"127.0.0.1"}, {"127.0.0.1", "8.8.8.8"}} {
		o := newTestOutbound(t, Config{})
		o.dialer.Resolver = nameserver(t, addresses...)
		if _, err := o.get(t.Context(), url, ""); !errors.Is(err, errAddressNotAllowed) {
			t.Errorf("%v: %v", addresses, err)
		}
	}
	if connections.Load() != 0 {
		t.Error("the server was reached")
	}

	allowed := newTestOutbound(t, Config{InsecurePrivateAddresses: true, RootCAs: certificates(server)})
	allowed.dialer.Resolver = nameserver(t, "127.0.0.1")
	status, err := allowed.postForm(t.Context(), fmt.Sprintf("https://example.com:%s/", port), nil)
	if err != nil || status != http.StatusNotFound {
		t.Errorf("with insecure_private_addresses: %d, %v", status, err)
	}
}

// TestNamesBelowLocalhost lead to this machine, whatever a name server says.
func TestNamesBelowLocalhost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	o := newTestOutbound(t, Config{InsecurePrivateAddresses: true})
	o.dialer.Resolver = nameserver(t, "127.255.255.254") // where nobody listens
	for name, want := range map[string]error{"rp.lab.localhost": nil, "rp.example": errNotFetched} {
		if _, err := o.get(t.Context(), "http://"+net.JoinHostPort(name, port), ""); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTrustedOrigins: they are called where nobody else's URL may lead, by the
// system's dialer and by the caller's, and their neighbours are not.
func TestTrustedOrigins(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	trusted := "http://rp.lab.localhost:" + port
	var dialer net.Dialer
	toServer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, server.Listener.Addr().String())
	}
	for _, dial := range []dialFunc{nil, toServer} {
		o := newTestOutbound(t, Config{TrustedOrigins: []string{trusted}, DialContext: dial})
		for url, want := range map[string]error{
			trusted + "/logout?x=y":                      nil,
			"http://RP.lab.localhost:" + port + "/":      nil,
			"http://user@rp.lab.localhost:" + port + "/": errURLNotAllowed,
			"http://rp.lab.localhost/":                   errHTTPNotAllowed,
			"http://rp.lab.localhost.:" + port + "/":     errHTTPNotAllowed,
			"http://other.localhost:" + port + "/":       errHTTPNotAllowed,
			"https://other.localhost:" + port + "/":      errAddressNotAllowed,
			"https://rp.lab.localhost:" + port + "/":     errAddressNotAllowed,
		} {
			if _, err := o.get(t.Context(), url, ""); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", url, err, want)
			}
		}
	}
}

// TestDialerOfTheCallerIsGuarded: the guard does not trust where a dialer leads.
func TestDialerOfTheCallerIsGuarded(t *testing.T) {
	for _, tt := range []struct {
		peer net.Addr
		want error
	}{
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 443}, errAddressNotAllowed},
		{&net.TCPAddr{IP: net.ParseIP("10.1.2.3"), Port: 443}, errAddressNotAllowed},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 443}, errAddressNotAllowed},
		{&net.TCPAddr{}, errAddressNotAllowed},
		{&net.UnixAddr{Name: "/run/service.sock", Net: "unix"}, errAddressNotAllowed},
		{nil, errAddressNotAllowed},
		{&net.TCPAddr{IP: net.ParseIP("8.8.8.8"), Port: 443}, errNotFetched}, // it hangs up
	} {
		t.Run(fmt.Sprint(tt.peer), func(t *testing.T) {
			here, there := net.Pipe()
			received := make(chan []byte)
			go func() {
				buffer := make([]byte, 1)
				n, _ := there.Read(buffer)
				there.Close()
				received <- buffer[:n]
			}()
			o := newTestOutbound(t, Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return connTo{here, tt.peer}, nil
			}})
			_, err := o.get(t.Context(), "https://rp.example/jwks", "")
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v", err)
			}
			if got := <-received; len(got) > 0 != errors.Is(tt.want, errNotFetched) {
				t.Errorf("sent %d bytes", len(got))
			}
		})
	}
}

// connTo is a connection that says who its other end is.
type connTo struct {
	net.Conn
	peer net.Addr
}

func (c connTo) RemoteAddr() net.Addr { return c.peer }
