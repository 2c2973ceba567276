package localtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/provider/localtls"
)

const (
	certFile = "oidclab-ca.pem"
	keyFile  = "oidclab-ca-key.pem"
)

func open(t *testing.T, dir string) *localtls.CA {
	t.Helper()
	ca, err := localtls.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// files are what a directory holds, by name; nil is a directory.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			found[e.Name()] = nil
			continue
		}
		if found[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first := open(t, dir)
	if first.File != filepath.Join(dir, certFile) {
		t.Errorf("the file is %s", first.File)
	}
	before := files(t, dir)
	if len(before) != 2 {
		t.Errorf("%d files, want 2", len(before))
	}
	if again := open(t, dir); !again.Certificate.Equal(first.Certificate) {
		t.Error("the second use made another one")
	}
	for name, text := range files(t, dir) {
		if !bytes.Equal(text, before[name]) {
			t.Errorf("%s was written again", name)
		}
	}
	if rest := files(t, filepath.Dir(dir)); len(rest) != 1 {
		t.Errorf("something is left beside the directory: %v", rest)
	}
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, keyFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info.Mode(), err, want)
		}
	}
}

// The authority can do no more than it must: it certifies servers of this
// machine, and no further authority.
func TestAuthority(t *testing.T) {
	cert := open(t, filepath.Join(t.TempDir(), "ca")).Certificate
	if !cert.IsCA || !cert.MaxPathLenZero || cert.MaxPathLen != 0 || cert.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("CA %t, path length %d (%t), usage %b", cert.IsCA, cert.MaxPathLen, cert.MaxPathLenZero, cert.KeyUsage)
	}
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("extended usage %v", cert.ExtKeyUsage)
	}
	if !cert.PermittedDNSDomainsCritical || len(cert.PermittedDNSDomains) != 1 || cert.PermittedDNSDomains[0] != "localhost" || len(cert.PermittedIPRanges) != 2 {
		t.Errorf("permits %v and %v", cert.PermittedDNSDomains, cert.PermittedIPRanges)
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() {
		t.Errorf("key %T", cert.PublicKey)
	}
	if years := cert.NotAfter.Sub(cert.NotBefore).Hours() / 24 / 365; years < 5 {
		t.Errorf("good for %.1f years only", years)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	var certs [16]*x509.Certificate
	var group sync.WaitGroup
	for i := range certs {
		group.Go(func() {
			ca, err := localtls.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			certs[i] = ca.Certificate
			if _, err := ca.Issue([]string{"localhost"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, cert := range certs {
		if cert == nil || !cert.Equal(certs[0]) {
			t.Fatal("not all have the same authority")
		}
	}
	if rest := files(t, filepath.Dir(dir)); len(rest) != 1 {
		t.Errorf("something is left beside the directory: %v", rest)
	}
}

// TestDamaged: what is not whole is said with the file and the way out, and
// stays as it is, since somebody may trust it.
func TestDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "ca")
	open(t, whole)
	cert, key := files(t, whole)[certFile], files(t, whole)[keyFile]
	other := filepath.Join(t.TempDir(), "ca")
	open(t, other)
	block, _ := pem.Decode(cert)
	flipped := bytes.Clone(block.Bytes)
	flipped[len(flipped)-1] ^= 1 // in the signature
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := open(t, whole).Issue([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for _, tt := range []struct {
		name, file string
		text       []byte // nil: the file is not there
		want       string
	}{
		{"no certificate", certFile, nil, certFile + ": no such file"},
		{"empty certificate", certFile, []byte{}, certFile + " is damaged: it is not one PEM block"},
		{"half a certificate", certFile, cert[:len(cert)/2], certFile + " is damaged: it is not one PEM block"},
		{"two certificates", certFile, append(bytes.Clone(cert), cert...), certFile + " is damaged: it is not one PEM block"},
		{"the key as certificate", certFile, key, certFile + " is damaged: it is not one PEM block"},
		{"no certificate inside", certFile, encode("CERTIFICATE", []byte("x")), certFile + " is damaged: x509:"},
		{"changed certificate", certFile, encode("CERTIFICATE", flipped), certFile + " is damaged: x509: "},
		{"a server's certificate", certFile, encode("CERTIFICATE", leaf.Certificate[0]), certFile + " is damaged: x509: "},
		{"another certificate", certFile, files(t, other)[certFile], keyFile + " is not the key of " + certFile},
		{"no key", keyFile, nil, keyFile + ": no such file"},
		{"empty key", keyFile, []byte{}, keyFile + " is damaged: it is not one PEM block"},
		{"half a key", keyFile, key[:len(key)/2], keyFile + " is damaged: it is not one PEM block"},
		{"no key inside", keyFile, encode("PRIVATE KEY", []byte("x")), keyFile + " is damaged: it holds no ECDSA key"},
		{"a key of another form", keyFile, encode("PRIVATE KEY", sec1), keyFile + " is damaged: it holds no ECDSA key"},
		{"another key", keyFile, files(t, other)[keyFile], keyFile + " is not the key of " + certFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ca")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			written := map[string][]byte{certFile: cert, keyFile: key, tt.file: tt.text}
			for name, text := range written {
				if text == nil {
					delete(written, name)
				} else if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ca, err := localtls.Open(dir)
			if err == nil || ca != nil {
				t.Fatal("accepted")
			}
			for _, want := range []string{dir + ": ", tt.want, "remove that directory, and a new CA is made"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			after := files(t, dir)
			for name, text := range written {
				if !bytes.Equal(after[name], text) {
					t.Errorf("%s was changed", name)
				}
			}
			if len(after) != len(written) {
				t.Error("a file was added")
			}
		})
	}
}

func TestNoPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		file:                                     "cannot use the local CA in " + file,
		filepath.Join(file, "ca"):                "cannot use the local CA in ",
		filepath.Join(t.TempDir(), "none", "ca"): "cannot make a local CA in ",
	} {
		if _, err := localtls.Open(dir); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// Years pass: the last certificates end with the authority, which then says so.
func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ca")
		ca := open(t, dir)
		time.Sleep(time.Until(ca.Certificate.NotAfter) - 24*time.Hour)
		cert, err := open(t, dir).Issue([]string{"localhost"})
		if err != nil || !cert.Leaf.NotAfter.Equal(ca.Certificate.NotAfter) {
			t.Errorf("good until %v, %v; want %v", cert.Leaf.NotAfter, err, ca.Certificate.NotAfter)
		}
		time.Sleep(24*time.Hour + time.Second)
		if _, err := localtls.Open(dir); err == nil || !strings.Contains(err.Error(), "it expired on 2009-12-29") {
			t.Errorf("got %v", err)
		}
	})
}
