package localtls_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider/localtls"
)

// sign makes a certificate for a host, signed by issuer's key, or by its own if
// issuer is empty.
func sign(t *testing.T, issuer tls.Certificate, host string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signKey(t, issuer, key, host)
}

func signKey(t *testing.T, issuer tls.Certificate, key crypto.Signer, host string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	parent, signer := template, crypto.PrivateKey(key)
	if issuer.Leaf != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// selfSigned is a server's certificate with an ECDSA or an RSA key.
func selfSigned(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	leaf := signKey(t, tls.Certificate{}, key, "localhost")
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// handshake lets a client speak to a server and returns what they agreed on.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(a, server).HandshakeContext(t.Context()) // the client's view is tried
		_ = a.Close()
	}()
	client.InsecureSkipVerify = true // what is tried is not who
	conn := tls.Client(b, client)
	err := conn.HandshakeContext(t.Context())
	_ = b.Close()
	<-done
	return conn.ConnectionState(), err
}

// TestVersionsAndCipherSuites has a client for each that insists on it.
func TestVersionsAndCipherSuites(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]*tls.Config{
		"ECDSA": localtls.ServerConfig(selfSigned(t, ec)),
		"RSA":   localtls.ServerConfig(selfSigned(t, rsaKey)),
	}
	// Everything that Go can do, insecure or not: of 1.2 exactly these are right.
	right := map[uint16]string{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDSA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDSA",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDSA",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "RSA", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "RSA",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "RSA",
	}
	refused := 0
	for key, server := range servers {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS13} {
			state, err := handshake(t, server, &tls.Config{MinVersion: version, MaxVersion: version})
			switch good := version == tls.VersionTLS13; {
			case good && (err != nil || state.Version != version):
				t.Errorf("%s, %s: %v", key, tls.VersionName(version), err)
			case !good && (err == nil || !strings.Contains(err.Error(), "protocol version not supported")):
				t.Errorf("%s, %s is not refused as a version: %v", key, tls.VersionName(version), err)
			}
		}
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if suite.SupportedVersions[0] == tls.VersionTLS13 {
				continue
			}
			state, err := handshake(t, server, &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			if good := right[suite.ID] == key; (err == nil) != good || good && state.CipherSuite != suite.ID {
				t.Errorf("%s, %s: %v", key, suite.Name, err)
			}
			if err != nil {
				refused++
			}
		}
	}
	if refused < 20 {
		t.Errorf("only %d refusals: too few suites were tried", refused)
	}
}

func TestProtocols(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := localtls.ServerConfig(selfSigned(t, ec))
	for _, tt := range []struct {
		offer []string
		want  string
	}{{[]string{"h2", "http/1.1"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {nil, ""}} {
		state, err := handshake(t, server, &tls.Config{NextProtos: tt.offer})
		if err != nil || state.NegotiatedProtocol != tt.want {
			t.Errorf("%v: %q, %v", tt.offer, state.NegotiatedProtocol, err)
		}
	}
}
