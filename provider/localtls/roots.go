package localtls

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Roots are the authorities that a client on this machine believes: the
// system's, those in the file that SSL_CERT_FILE names, and the local CA that
// dir keeps. A dir of "", or one that holds none or is not ours to read, adds
// nothing.
func Roots(dir string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a bare container may have none
	}
	// On Linux and its kin the file takes the place of the system's, and Go has
	// read it. Elsewhere Go does not look, and nowhere does it say what is wrong.
	if path := os.Getenv("SSL_CERT_FILE"); path != "" {
		text, err := os.ReadFile(path) //nolint:gosec // the person named it
		if err != nil {
			return nil, fmt.Errorf("SSL_CERT_FILE %s: %w", path, reason(err))
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("SSL_CERT_FILE %s: no certificate in it", path)
		}
	}
	if dir == "" || !readable(dir) {
		return pool, nil
	}
	cert, err := readCertificate(dir)
	if err != nil {
		return nil, broken(dir, err)
	}
	pool.AddCert(cert)
	return pool, nil
}

func readable(dir string) bool {
	_, err := os.ReadDir(dir)
	return err == nil
}
