package provider_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider"
)

// endless is a body without an end, up to where nobody should have read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	const far = 4 << 20
	if e.read > far {
		return 0, errors.New("too far")
	}
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

// TestNoRouteReadsWithoutEnd: whatever a body is said to be, each endpoint stops
// reading, and refuses it.
func TestNoRouteReadsWithoutEnd(t *testing.T) {
	op := serving(t, provider.Config{Clients: deviceClients()})
	control := op.provider().Control("", nil)
	const most = 192 << 10 // bytes: twice what is allowed, since buffers are filled
	for path, methods := range op.provider().Routes() {
		for method := range strings.SplitSeq(methods, ", ") {
			if method != http.MethodPost && method != http.MethodPut {
				continue
			}
			for _, media := range []string{"application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data; boundary=x"} {
				body := &endless{}
				req := httptest.NewRequestWithContext(t.Context(), method, "http://op.localhost"+strings.ReplaceAll(path, "{client_id}", "x"), body)
				req.Header.Set("Content-Type", media)
				rec := httptest.NewRecorder()
				op.handler.ServeHTTP(rec, req)
				if rec.Code < 400 || rec.Code >= 500 || body.read > most {
					t.Errorf("%s %s, %s: %d after %d bytes", method, path, media, rec.Code, body.read)
				}
			}
		}
	}
	t.Run("control plane", func(t *testing.T) {
		body := &endless{}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/keys/rotate", body)
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		control.ServeHTTP(rec, req)
		if rec.Code != http.StatusRequestEntityTooLarge || body.read > most {
			t.Errorf("%d after %d bytes", rec.Code, body.read)
		}
	})
}
