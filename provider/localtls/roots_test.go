package localtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider/localtls"
)

// TestRoots: the local CA and what SSL_CERT_FILE names are believed together.
func TestRoots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca := open(t, dir)
	local, err := ca.Issue([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, dir      string
		local, foreign bool
	}{
		{"both", dir, true, true},
		{"the local CA", dir, true, false},
		{"the file", "", false, true},
		{"no local CA yet", filepath.Join(t.TempDir(), "ca"), false, true},
		{"nothing", "", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			foreign := sign(t, tls.Certificate{}, "op.example") // another one each time: Go reads the file once, too
			file := ""
			if tt.foreign {
				file = filepath.Join(t.TempDir(), "more.pem")
				write(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign.Raw}))
			}
			t.Setenv("SSL_CERT_FILE", file)
			pool, err := localtls.Roots(tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			for cert, good := range map[*x509.Certificate]bool{local.Leaf: tt.local, foreign: tt.foreign} {
				if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: cert.DNSNames[0]}); (err == nil) != good {
					t.Errorf("%s: %v", cert.DNSNames[0], err)
				}
			}
		})
	}
}

// TestLateRoots: what is wrong is said at once, and what is read is what Roots reads.
func TestLateRoots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	local, err := open(t, dir).Issue([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	foreign := sign(t, tls.Certificate{}, "op.example")
	file := filepath.Join(t.TempDir(), "more.pem")
	t.Setenv("SSL_CERT_FILE", file)
	// What a pool takes no notice of may stand before the certificate.
	write(t, file, slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: foreign.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign.Raw}),
	))
	roots, err := localtls.LateRoots(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first, second := roots(), roots(); first != second {
		t.Error("read twice")
	}
	for _, cert := range []*x509.Certificate{local.Leaf, foreign} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots(), DNSName: cert.DNSNames[0]}); err != nil {
			t.Errorf("%s: %v", cert.DNSNames[0], err)
		}
	}
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}))
	if _, err := localtls.LateRoots(dir); err == nil || !strings.HasSuffix(err.Error(), "more.pem: no certificate in it") {
		t.Errorf("got %v", err)
	}
}

func TestRootsThatCannotBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, dir)
	none := filepath.Join(t.TempDir(), "none.pem")
	write(t, none, []byte("no certificate"))
	for file, want := range map[string]string{
		filepath.Join(dir, "nowhere"): "nowhere: no such file or directory",
		none:                          "none.pem: no certificate in it",
	} {
		t.Setenv("SSL_CERT_FILE", file)
		if _, err := localtls.Roots(dir); err == nil || !strings.HasPrefix(err.Error(), "SSL_CERT_FILE ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	t.Setenv("SSL_CERT_FILE", "")
	write(t, filepath.Join(dir, certFile), []byte("-----BEGIN CERT"))
	if _, err := localtls.Roots(dir); err == nil || !strings.Contains(err.Error(), certFile+" is damaged") {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
