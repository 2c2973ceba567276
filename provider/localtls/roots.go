package localtls

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Roots are the authorities that a client on this machine believes: the
// system's, those in the file that SSL_CERT_FILE names, and the local CA that
// dir keeps. A dir of "", or one that holds none or is not ours to read, adds
// nothing.
func Roots(dir string) (*x509.CertPool, error) {
	roots, err := LateRoots(dir)
	if err != nil {
		return nil, err
	}
	return roots(), nil
}

// LateRoots is Roots for a program that may never need them: it says at once what
// is wrong, and the function that it returns reads the certificates when it is
// called for the first time. The system has more than a hundred, which take longer
// than a provider takes to start.
func LateRoots(dir string) (func() *x509.CertPool, error) {
	// 1. What the person named. On Linux and its kin the file takes the place of
	//    the system's. Elsewhere Go does not look, and nowhere does it say what is
	//    wrong.
	var named []byte
	if path := os.Getenv("SSL_CERT_FILE"); path != "" {
		var err error
		if named, err = os.ReadFile(path); err != nil { //nolint:gosec // the person named it
			return nil, fmt.Errorf("SSL_CERT_FILE %s: %w", path, reason(err))
		}
		if !hasCertificate(named) {
			return nil, fmt.Errorf("SSL_CERT_FILE %s: %w", path, errNoCertificate)
		}
	}
	// 2. The local CA.
	var local *x509.Certificate
	if dir != "" && readable(dir) {
		var err error
		if local, err = readCertificate(dir); err != nil {
			return nil, broken(dir, err)
		}
	}
	// 3. All of them together, once.
	return sync.OnceValue(func() *x509.CertPool {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a bare container may have none
		}
		pool.AppendCertsFromPEM(named)
		if local != nil {
			pool.AddCert(local)
		}
		return pool
	}), nil
}

var errNoCertificate = errors.New("no certificate in it")

// hasCertificate reports whether a pool would find a certificate in the text.
func hasCertificate(text []byte) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			return true
		}
	}
}

func readable(dir string) bool {
	_, err := os.ReadDir(dir)
	return err == nil
}
