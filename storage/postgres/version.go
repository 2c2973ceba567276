package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// When another replica has brought the tables to another version, the statements that are
// here are not theirs any more. Whoever finds that out notes it, and from then on every
// call is refused, until Ping finds the version that we know. See doc.go.

// versionError is a version of the tables that is not ours, 0 for none at all.
type versionError int64

// Error implements error.
func (e versionError) Error() string {
	return fmt.Sprintf("the tables were written by another version of the program (%d, this one knows %d)", int64(e), schema)
}

// note remembers a version of the tables that is not ours, and returns it as an error.
func (s *Store) note(ctx context.Context, version int64) error {
	if version == schema {
		return nil
	}
	err := versionError(version)
	if s.foreign.Swap(&err) == nil {
		s.logger.ErrorContext(ctx, "the store answers no more until the tables are of this program's version", "cause", err)
	}
	return err
}

// noteOurs lets the store answer again. Only Ping does it: what others have read may be
// older than what was noted since.
func (s *Store) noteOurs(ctx context.Context) {
	if s.foreign.Swap(nil) != nil {
		s.logger.InfoContext(ctx, "the tables are of this program's version again")
	}
}

// enter begins a call, unless the store is closed, ctx has ended or the tables are known
// to have another version. What it returns ends the call.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	if leave, err = s.enterAnyhow(ctx); err != nil {
		return nil, err
	}
	if foreign := s.foreign.Load(); foreign != nil {
		leave()
		return nil, *foreign
	}
	return leave, nil
}

// isStrange says that a statement does not suit the tables: a table or a column is gone, or
// of another type.
func isStrange(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(e.Code, "42")
}

// explained is an error of a statement, or that of the version if this is why.
func (s *Store) explained(ctx context.Context, q querier, err error) error {
	if !isStrange(err) {
		return err
	}
	if foreign, ok := errors.AsType[versionError](s.ask(ctx, q)); ok {
		return foreign
	}
	return err
}

// ask asks for the version and notes it.
func (s *Store) ask(ctx context.Context, q querier) error {
	rows, err := q.Query(ctx, selectVersion)
	if err != nil {
		return err
	}
	var version int64
	if err := scanVersion(&version)(rows); err != nil {
		return err
	}
	return s.note(ctx, version)
}

// scanVersion reads the answer to selectVersion, 0 if there is none.
func scanVersion(version *int64) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		return each(rows, func() error { return rows.Scan(version) })
	}
}
