package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oidclab/oidclab/provider/localtls"
)

// TestSelf: the program takes no other server for its own, whoever certified
// that one.
func TestSelf(t *testing.T) {
	ca, err := localtls.Open(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	var certs [2]tls.Certificate
	for i := range certs {
		if certs[i], err = ca.Issue([]string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	server.TLS = localtls.ServerConfig(certs[0])
	server.StartTLS()
	defer server.Close()
	for i, want := range []string{"is not ready: status 404", "another server answers"} {
		s := &security{server: server.TLS, own: certs[i].Leaf}
		err := s.checkSelf("https://op.example", server.Listener.Addr().String())(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// authority is the local CA that the ready file named, if any.
func authority(ts *testscript.TestScript) *x509.CertPool {
	pool := x509.NewCertPool()
	if file := ts.Getenv("CA"); file != "" {
		text, err := os.ReadFile(file)
		ts.Check(err)
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

// certify: "certify CERT KEY HOST..." writes a certificate for hosts that its
// own key signs. "! certify" makes one that has expired.
func certify(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: [!] certify CERT KEY HOST...")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: args[2:],
		NotBefore: time.Now().AddDate(0, 0, -2), NotAfter: time.Now().AddDate(0, 0, 1),
	}
	if neg {
		template.NotAfter = time.Now().AddDate(0, 0, -1)
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// handshake: "[!] handshake WHAT" connects to PORT with nothing but that to
// offer: a version, or a cipher suite of TLS 1.2.
func handshake(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] handshake VERSION|SUITE")
	}
	config := &tls.Config{RootCAs: authority(ts), ServerName: "localhost"}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		if tls.VersionName(version) == args[0] {
			config.MinVersion, config.MaxVersion = version, version
		}
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.Name == args[0] {
			config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
		}
	}
	if config.MaxVersion == 0 {
		ts.Fatalf("%q is no version and no suite", args[0])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	ts.Check(err)
	defer conn.Close()
	switch err := tls.Client(conn, config).HandshakeContext(ctx); {
	case neg && err == nil:
		ts.Fatalf("accepted")
	case !neg:
		ts.Check(err)
	}
}
