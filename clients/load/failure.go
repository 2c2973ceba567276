package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// Failure is why an operation failed. Failures of one Kind are counted together,
// so a kind names nothing that belongs to one operation alone; the detail does.
type Failure struct {
	Kind   string
	Detail string
	cause  error
}

func (f *Failure) Error() string {
	if f.Detail == "" {
		return f.Kind
	}
	return f.Kind + ": " + f.Detail
}

// Unwrap is the error of an exchange that brought no answer, or nil.
func (f *Failure) Unwrap() error { return f.cause }

func failf(kind, format string, args ...any) error {
	return &Failure{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// noAnswer is the failure of an exchange that brought none.
func noAnswer(where string, err error, timeout time.Duration) error {
	kind, detail := "exchange failed", err.Error()
	var network net.Error
	switch {
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, fasthttp.ErrDialTimeout), errors.As(err, &network) && network.Timeout():
		kind, detail = "no answer in time", fmt.Sprintf("within %s", timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		kind = "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, fasthttp.ErrConnectionClosed), errors.Is(err, net.ErrClosed):
		kind, detail = "connection closed", "by the server, in the place of an answer"
	}
	return &Failure{Kind: kind + " at " + where, Detail: detail, cause: err}
}
