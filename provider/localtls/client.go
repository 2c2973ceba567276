package localtls

import (
	"crypto/x509"
	"net/http"
	"sync"
)

// Trusting is the transport with other authorities, which roots returns. They are
// asked for at the first request to an https URL. The transport has a
// TLSClientConfig, and is nobody else's any more. Without roots it stays as it is.
func Trusting(transport *http.Transport, roots func() *x509.CertPool) http.RoundTripper {
	if roots == nil {
		return transport
	}
	return &trusting{transport, sync.OnceFunc(func() { transport.TLSClientConfig.RootCAs = roots() })}
}

// trusting learns whom to believe before it asks the first server for a certificate.
type trusting struct {
	*http.Transport
	learn func()
}

// RoundTrip implements http.RoundTripper.
func (t *trusting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		t.learn()
	}
	return t.Transport.RoundTrip(r)
}
