package bff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

const (
	maxRequestBody = 64 << 10
	maxAPIAnswer   = 1 << 20
)

// call is one request that the backend forwards.
type call struct{ method, path string }

// proxied lists all calls to the API that the page can make, as /bff + path.
// The address is made from this list and the configuration, never from the
// request, so no request can lead the access token elsewhere (RFC 10017
// §6.1.3.6).
var proxied = []call{
	{http.MethodGet, "/api/me"},
	{http.MethodGet, "/api/notes"},
	{http.MethodPost, "/api/notes"},
}

// handleNotProxied answers what is below /bff/ and on no list.
func (b *BFF) handleNotProxied(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, c := range proxied {
		allowed = append(allowed, c.method+" /bff"+c.path)
	}
	b.refuseJSON(w, r, errNotProxied.because("one of "+strings.Join(allowed, ", "), clip(r.Method+" "+r.URL.Path)))
}

// proxy forwards one call to the API, with the session's access token.
func (b *BFF) proxy(c call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// 1. Who calls: the session of the cookie.
		id, s, err := b.current(r)
		if err != nil {
			b.refuseSession(w, r, err)
			return
		}
		// 2. What is sent: a bounded JSON body, or none. Nothing else of the request
		//    goes on: neither its cookies nor its headers.
		body, err := requestBody(w, r)
		if err != nil {
			b.refuseJSON(w, r, err)
			return
		}
		// 3. An access token that is still good.
		s, err = b.fresh(r.Context(), id, s)
		if err != nil {
			b.refuseSession(w, r, err)
			return
		}
		// 4. The call. If the API refuses the token, once more with a new one: it
		//    may have been revoked. RFC 6750 §3.1.
		answer, err := b.callAPI(r.Context(), c, body, s.AccessToken)
		if err == nil && answer.status == http.StatusUnauthorized {
			if s, err = b.renew(r.Context(), id, s.AccessToken); err == nil {
				answer, err = b.callAPI(r.Context(), c, body, s.AccessToken)
			}
		}
		if err != nil {
			b.refuseSession(w, r, err)
			return
		}
		// 5. The answer: status and JSON, no headers of the API's.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		w.Write(answer.body)
	}
}

func requestBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errMediaType.because("application/json", clip(r.Header.Get("Content-Type")))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge.because(fmt.Sprintf("at most %d bytes", maxRequestBody), "more")
	}
	if err != nil {
		return nil, errMediaType.because("a whole body", "a part of it")
	}
	return body, nil
}

type apiAnswer struct {
	status int
	body   []byte
}

func (b *BFF) callAPI(ctx context.Context, c call, body []byte, accessToken string) (apiAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, b.cfg.APIURL+c.path, bytes.NewReader(body))
	if err != nil {
		return apiAnswer{}, errAPI.after(err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken) // RFC 6750 §2.1
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := b.http.Do(req) //nolint:gosec // G704: the address is made from the configuration and the list above
	if err != nil {
		return apiAnswer{}, errAPI.after(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAPIAnswer+1))
	if err != nil {
		return apiAnswer{}, errAPI.after(err)
	}
	// Only JSON passes: HTML from elsewhere would run as this page's own.
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/json" || len(answer) > maxAPIAnswer {
		return apiAnswer{}, errAPI.because(fmt.Sprintf("JSON of at most %d bytes", maxAPIAnswer), fmt.Sprintf("status %d, %s", resp.StatusCode, clip(kind)))
	}
	return apiAnswer{status: resp.StatusCode, body: answer}, nil
}
