package localtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// leafLifetime is below the 398 days that browsers accept at most.
const leafLifetime = 365 * 24 * time.Hour

// ErrNotLocal says that a name or address is not of this machine.
var ErrNotLocal = errors.New("the local CA certifies this machine only: localhost, the names below it, and loopback addresses")

// Issue makes a certificate for a server with these names and addresses, with a
// key of its own. Each host needs its own name: browsers refuse a wildcard
// directly below localhost.
func (ca *CA) Issue(hosts []string) (tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{Organization: []string{"oidclab"}, CommonName: "oidclab on this machine"}, // for people: names count below only
		NotBefore:    now.Add(-skew), NotAfter: now.Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(ca.Certificate.NotAfter) {
		template.NotAfter = ca.Certificate.NotAfter
	}
	seen := map[string]bool{}
	for _, host := range hosts {
		if !IsLocal(host) {
			return tls.Certificate{}, fmt.Errorf("%w; not %q", ErrNotLocal, host)
		}
		host = strings.ToLower(host)
		if seen[host] {
			continue
		}
		seen[host] = true
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("local CA: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, key.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("local CA: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("local CA: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// IsLocal reports whether the local CA may certify a name or an address.
func IsLocal(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	name := strings.ToLower(host)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
