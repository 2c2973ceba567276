package postgres

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What each error of a database says. CockroachDB answers some that a PostgreSQL cannot be
// made to.
func TestErrors(t *testing.T) {
	answer := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	for _, tt := range []struct {
		err                  error
		conflict, lost, hint bool
	}{
		{err: answer("23505")}, // a unique key
		{err: answer("40001"), conflict: true},
		{err: answer("40P01"), conflict: true}, // a deadlock
		{err: answer("40003"), lost: true},     // CockroachDB does not know whether it was committed
		{err: answer("08006"), lost: true},
		{err: answer("57P01"), lost: true},
		{err: answer("57014")}, // a statement was cancelled, and the connection is there
		{err: io.ErrUnexpectedEOF, lost: true},
		{err: pgx.ErrNoRows},
		{err: answer("26000"), hint: true},
		{err: answer("42P05"), hint: true},
	} {
		hint := withHint(tt.err)
		if got := isConflict(tt.err); got != tt.conflict {
			t.Errorf("%v: conflict %t", tt.err, got)
		}
		if got := isLost(tt.err); got != tt.lost {
			t.Errorf("%v: lost %t", tt.err, got)
		}
		if got := strings.Contains(hint.Error(), "default_query_exec_mode"); got != tt.hint || !errors.Is(hint, tt.err) {
			t.Errorf("%v: hint %t", hint, got)
		}
	}
}
