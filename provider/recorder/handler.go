package recorder

import (
	"io"
	"net/http"
)

// Handler records the exchanges that h serves as the named party. A request
// that left through this log's Transport is recorded there, not twice.
func (l *Log) Handler(party string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark := r.Header.Get(markHeader)
		r.Header.Del(markHeader) // no handler sees it, forged or not
		if mark != "" {
			if sent := l.claim(mark); sent != nil {
				sent.reached(party)
				h.ServeHTTP(w, r)
				return
			}
		}
		l.serve(party, h, w, r)
	})
}

func (l *Log) serve(party string, h http.Handler, w http.ResponseWriter, r *http.Request) {
	from, channel := l.caller(r, party)
	rec := l.newRecord(r, from, channel)
	rec.reached(party)
	if keepsBody(rec.requestType) && r.Body != nil {
		r.Body = &body{ReadCloser: r.Body, into: &rec.request}
	}
	watched := &responseWriter{ResponseWriter: w, record: rec}
	returned := false
	defer func() { // also when the handler panics, as http.ErrAbortHandler asks it to
		if returned {
			watched.note(http.StatusOK) // net/http's answer for a handler that wrote nothing
		}
		rec.finish(watched.status, watched.header)
	}()
	h.ServeHTTP(watched, r)
	returned = true
}

// body keeps a copy of what is read from it.
type body struct {
	io.ReadCloser
	into *capture
	done func() // called at the end, once or more often; may be nil
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.into != nil {
		b.into.add(p[:n])
	}
	if err != nil && b.done != nil {
		b.done()
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if b.done != nil {
		b.done()
	}
	return err
}

// responseWriter notes the response as it passes. Whatever else the writer
// behind it can do stays in reach through http.ResponseController.
type responseWriter struct {
	http.ResponseWriter
	record *record
	status int
	header http.Header
	keep   bool
}

// note takes down the header as it leaves; what a handler changes in it
// afterwards is not sent.
func (w *responseWriter) note(status int) {
	if w.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	w.status = status
	w.header = w.Header().Clone()
	w.keep = keepsBody(mediaType(w.header))
}

func (w *responseWriter) WriteHeader(status int) {
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.note(http.StatusOK)
	if w.keep {
		w.record.response.add(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the writer behind.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError flushes for http.ResponseController.
func (w *responseWriter) FlushError() error {
	w.note(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush flushes for handlers that look for http.Flusher.
func (w *responseWriter) Flush() {
	_ = w.FlushError() // http.Flusher has no way to say that the writer cannot
}
