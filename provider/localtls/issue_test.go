package localtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider/localtls"
)

func TestIssue(t *testing.T) {
	ca := open(t, filepath.Join(t.TempDir(), "ca"))
	cert, err := ca.Issue([]string{"op.lab.localhost", "LOCALHOST", "localhost", "127.0.0.1", "127.0.0.2", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Leaf
	if diff := cmp.Diff([]string{"op.lab.localhost", "localhost"}, leaf.DNSNames); diff != "" {
		t.Error(diff)
	}
	if len(leaf.IPAddresses) != 3 {
		t.Errorf("addresses %v", leaf.IPAddresses)
	}
	if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days >= 398 || days < 90 {
		t.Errorf("good for %.0f days", days)
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() || leaf.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		t.Errorf("key %T, signed with %v", leaf.PublicKey, leaf.SignatureAlgorithm)
	}
	if leaf.IsCA || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("CA %t, usage %b, %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	for host, good := range map[string]bool{
		"op.lab.localhost": true, "localhost": true, "127.0.0.1": true, "::1": true,
		"bff.lab.localhost": false, "x.localhost": false, "127.0.0.3": false, "example.com": false,
	} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
	another, err := ca.Issue([]string{"localhost"})
	if err != nil || another.Leaf.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Errorf("serial number %v twice, %v", leaf.SerialNumber, err)
	}
}

func TestIssueForThisMachineOnly(t *testing.T) {
	ca := open(t, filepath.Join(t.TempDir(), "ca"))
	for _, host := range []string{
		"op.example", "localhost.example", "notlocalhost", "localhost.", "*.localhost.example", "192.0.2.1", "0.0.0.0", "::", "::ffff:192.0.2.1", "",
	} {
		cert, err := ca.Issue([]string{"localhost", host})
		if !errors.Is(err, localtls.ErrNotLocal) || cert.Leaf != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// Whoever gets the key cannot certify other machines with it: that does not
// depend on Issue.
func TestNameConstraints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca := open(t, dir)
	pair, err := tls.LoadX509KeyPair(ca.File, filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	for host, good := range map[string]bool{"op.lab.localhost": true, "127.0.0.9": true, "::1": true, "bank.example": false, "192.0.2.1": false, "2001:db8::1": false} {
		leaf := sign(t, pair, host)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: time.Now()})
		if (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !good && (!ok || invalid.Reason != x509.CANotAuthorizedForThisName) {
			t.Errorf("%s is refused for another reason: %v", host, err)
		}
	}
}
