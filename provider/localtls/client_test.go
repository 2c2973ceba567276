package localtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oidclab/oidclab/provider/localtls"
)

// TestTrusting: the authorities are read once, and by nobody who speaks plain http.
func TestTrusting(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	read := 0
	transport := localtls.Trusting(&http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, func() *x509.CertPool {
		read++
		pool := x509.NewCertPool()
		pool.AddCert(secure.Certificate())
		return pool
	})
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	for _, step := range []struct {
		url  string
		want int
	}{{plain.URL, 0}, {secure.URL, 1}, {plain.URL, 1}, {secure.URL, 1}} {
		resp, err := client.Get(step.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if read != step.want {
			t.Errorf("read %d times after %s, want %d", read, step.url, step.want)
		}
	}
}

// TestTrustingNobodyElse: what the authorities did not sign is refused.
func TestTrustingNobodyElse(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client := &http.Client{Transport: localtls.Trusting(&http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, x509.NewCertPool)}
	if resp, err := client.Get(server.URL); err == nil {
		resp.Body.Close()
		t.Error("believed a certificate that no authority has signed")
	}
}
