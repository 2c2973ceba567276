package localtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	certFile = "oidclab-ca.pem"
	keyFile  = "oidclab-ca-key.pem"

	caLifetime = 10 * 365 * 24 * time.Hour
	// skew is how far a client's clock may be behind.
	skew = time.Hour
)

// CA is a certificate authority for the names of one machine.
type CA struct {
	// Certificate is what clients are to trust, and File where it is.
	Certificate *x509.Certificate
	File        string

	key crypto.Signer
}

// Open reads the authority that dir keeps. If there is no such directory, it
// makes one with a new authority; of several processes that do so at once, all
// get the same. One that is damaged or has expired is an error, never replaced:
// somebody trusts it.
func Open(dir string) (*CA, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir); err != nil {
			return nil, fmt.Errorf("cannot make a local CA in %s: %w", dir, err)
		}
	}
	cert, err := readCertificate(dir)
	if err != nil {
		return nil, broken(dir, err)
	}
	if time.Now().After(cert.NotAfter) {
		return nil, broken(dir, fmt.Errorf("it expired on %s", cert.NotAfter.Format(time.DateOnly)))
	}
	key, err := readKey(dir)
	if err != nil {
		return nil, broken(dir, err)
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, broken(dir, fmt.Errorf("%s is not the key of %s", keyFile, certFile))
	}
	return &CA{Certificate: cert, File: filepath.Join(dir, certFile), key: key}, nil
}

// broken says what to do about an authority that cannot be used.
func broken(dir string, err error) error {
	return fmt.Errorf("cannot use the local CA in %s: %w; remove that directory, and a new CA is made, to be trusted anew", dir, err)
}

// create makes the directory. It is complete before it gets its name, and a
// directory takes no other's place, so no reader sees half an authority and the
// first of several processes wins.
func create(dir string) error {
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".ca-*") // with mode 0700
	if err != nil {
		return reason(err)
	}
	defer os.RemoveAll(temp) // gone if it got its name
	cert, key, err := generate()
	if err != nil {
		return err
	}
	if err := write(filepath.Join(temp, keyFile), "PRIVATE KEY", key, 0o600); err != nil {
		return reason(err)
	}
	if err := write(filepath.Join(temp, certFile), "CERTIFICATE", cert, 0o644); err != nil {
		return reason(err)
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, other := os.Stat(filepath.Join(dir, certFile)); other != nil {
			return reason(err)
		}
	}
	return nil
}

// generate makes a key and the certificate that it signs itself.
func generate() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, nil, err
	}
	print256 := sha256.Sum256(public)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The number tells it from that of another machine in a list of authorities.
		Subject:   pkix.Name{Organization: []string{"oidclab"}, CommonName: fmt.Sprintf("oidclab local CA %x", print256[:4])},
		NotBefore: now.Add(-skew), NotAfter: now.Add(caLifetime),
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// It signs servers, no further authority (RFC 5280 §4.2.1.9),
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		// and only those of this machine (§4.2.1.10).
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost"}, // with all names below it
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	cert, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	return cert, key, err
}

// newSerial has more than the 64 random bits, and fewer than the 20 octets,
// that certificates are expected to have (RFC 5280 §4.1.2.2).
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// write writes a file and waits until it is on the disk.
func write(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readCertificate reads the authority's certificate and checks that it is whole.
func readCertificate(dir string) (*x509.Certificate, error) {
	der, err := readPEM(dir, certFile, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		err = cert.CheckSignatureFrom(cert) // also: whether it is an authority's
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", certFile, err)
	}
	return cert, nil
}

func readKey(dir string) (crypto.Signer, error) {
	der, err := readPEM(dir, keyFile, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if private, ok := key.(*ecdsa.PrivateKey); err == nil && ok {
		return private, nil
	}
	return nil, fmt.Errorf("%s is damaged: it holds no ECDSA key", keyFile)
}

// readPEM reads a file that is one block of PEM.
func readPEM(dir, name, kind string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, fmt.Errorf("%s is damaged: it is not one PEM block %q", name, kind)
	}
	return block.Bytes, nil
}

// reason is the error without the path, which the sentence around it names.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
