package recorder

import (
	"io"
	"net/http"
	"sync"
)

// Transport records the exchanges that the named party starts through base
// (nil means http.DefaultTransport). An exchange is in the log when its
// response body was read to the end or closed.
func (l *Log) Transport(party string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{log: l, party: party, base: base}
}

type transport struct {
	log   *Log
	party string
	base  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := t.log.newRecord(r, t.party, Back)
	rec.reached(t.log.partyAt(r.URL.Scheme + "://" + r.URL.Host))
	mark := t.log.mark(rec)

	sent := r.Clone(r.Context()) // a RoundTripper must not change its request
	sent.Header.Set(markHeader, mark)
	copyBody(sent, rec)
	response, err := t.base.RoundTrip(sent)

	finish := sync.OnceFunc(func() {
		t.log.claim(mark) // unused if the receiver is not under this log
		if response == nil {
			rec.finish(0, nil)
			return
		}
		rec.finish(response.StatusCode, response.Header)
	})
	if err != nil {
		response = nil
		finish()
		return nil, err
	}
	if response.Body == http.NoBody || response.StatusCode == http.StatusSwitchingProtocols {
		finish()
		return response, nil
	}
	read := &body{ReadCloser: response.Body, done: finish}
	if keepsBody(mediaType(response.Header)) {
		read.into = &rec.response
	}
	response.Body = read
	return response, nil
}

// copyBody makes the record see the request's body as it is sent, and once
// more from the start if the transport has to send it again.
func copyBody(r *http.Request, rec *record) {
	if r.Body == nil || r.Body == http.NoBody || !keepsBody(rec.requestType) {
		return
	}
	r.Body = &body{ReadCloser: r.Body, into: &rec.request}
	if again := r.GetBody; again != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			fresh, err := again()
			if err != nil {
				return nil, err
			}
			rec.request.reset()
			return &body{ReadCloser: fresh, into: &rec.request}, nil
		}
	}
}
