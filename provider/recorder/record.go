package recorder

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

// markHeader ties a request that leaves through a wrapped transport to its
// arrival at a wrapped handler. The handler's side removes it.
const markHeader = "Oidclab-Recorded"

// record is an exchange under way.
type record struct {
	log         *Log
	exchange    Exchange
	requestType string // the request body's media type
	request     capture
	response    capture

	mu sync.Mutex
	to string
}

// newRecord notes all of the request but its body.
func (l *Log) newRecord(r *http.Request, from string, channel Channel) *record {
	e := Exchange{
		ID: l.begin(), Time: time.Now(),
		From: from, Channel: channel, Asset: isAsset(r),
		Method: r.Method, Host: r.Host, Path: clip(r.URL.EscapedPath()),
		Query:  readQuery(r.URL.RawQuery),
		Header: readHeader(r.Header, "Origin", "Authorization", "Cookie", "DPoP"),
	}
	if e.Host == "" { // an outgoing request may leave it to the URL
		e.Host = r.URL.Host
	}
	e.Truncated = len(r.URL.RawQuery) > maxText
	return &record{log: l, exchange: e, requestType: mediaType(r.Header)}
}

// reached says which party received the request.
func (r *record) reached(party string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = party
}

// finish completes the exchange and hands it to the log. Status 0 says that
// there was no response; header is then nil.
func (r *record) finish(status int, header http.Header) {
	e := r.exchange
	r.mu.Lock()
	e.To = r.to
	r.mu.Unlock()
	e.Duration = time.Since(e.Time)
	body, cut := r.request.text()
	e.Form = readBody(r.requestType, body)
	e.Truncated = e.Truncated || cut
	e.Status = status
	if header != nil {
		e.ContentType = mediaType(header)
		e.Location = readLocation(header.Get("Location"))
		e.ResponseHeader = readHeader(header, "Set-Cookie", "WWW-Authenticate", "Access-Control-Allow-Origin")
		body, cut = r.response.text()
		e.ResponseParams = readBody(e.ContentType, body)
		e.Truncated = e.Truncated || cut
	}
	e.Tokens = findTokens(e)
	r.log.end(e)
}

// capture keeps the beginning of what is written to it, up to maxText bytes.
// A transport may still send the request's body while the response is read,
// so it locks.
type capture struct {
	mu   sync.Mutex
	kept bytes.Buffer
	cut  bool
}

func (c *capture) add(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := maxText - c.kept.Len(); len(p) > room {
		p, c.cut = p[:room], true
	}
	c.kept.Write(p)
}

func (c *capture) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Reset()
	c.cut = false
}

func (c *capture) text() (text string, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.String(), c.cut
}
