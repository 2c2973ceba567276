package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectLimit bounds how long a call waits for a connection.
	connectLimit = 5 * time.Second
	// workLimit bounds what it does with the connection, waiting for locks
	// included.
	workLimit = 15 * time.Second
	// pingLimit bounds Ping, all included. A database that is well answers in
	// milliseconds, and who asks whether a replica is ready waits for a second or a few.
	pingLimit = 1500 * time.Millisecond
	// maxTries bounds how often a transaction is begun that others kept from its
	// commit; maxPause is the longest pause between two tries.
	maxTries = 30
	maxPause = 100 * time.Millisecond
	// maxLost bounds how often a call takes a new connection in place of one that
	// broke.
	maxLost = 3
)

// querier is the part of a connection that reads.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// acquire takes a connection from the pool.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := s.pool.Acquire(limited)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil: // this is not the caller's context
		return nil, fmt.Errorf("no connection to the database in %s: %v", connectLimit, err) //nolint:errorlint // see above
	}
	return nil, err
}

// work is a context for what is done with a connection. It outlives the
// caller's: cutting off a statement would cost the connection.
func (s *Store) work(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.workLimit)
}

// read runs f, which changes nothing, again if the connection broke.
func (s *Store) read(ctx context.Context, f func(context.Context, querier) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.readWithin(ctx, s.work, f)
}

// readWithin is read of a call that has begun, with something else that bounds what is done
// with a connection.
func (s *Store) readWithin(
	ctx context.Context, work func(context.Context) (context.Context, context.CancelFunc), f func(context.Context, querier) error,
) error {
	for lost := 0; ; {
		conn, err := s.acquire(ctx)
		if err != nil {
			return err
		}
		working, cancel := work(ctx)
		err = s.explained(working, conn, f(working, conn))
		cancel()
		conn.Release()
		if err == nil || !isLost(err) {
			return withHint(err)
		}
		s.pool.Reset() // the others of its age are likely to be broken as well
		if lost++; lost == maxLost {
			return err
		}
	}
}

// transact commits w. It tries again as long as it is certain that nothing was
// committed.
func (s *Store) transact(ctx context.Context, w *commit) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if w.Empty() {
		return nil
	}
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	// From here on the caller's context no longer matters.
	ctx, cancel := s.work(ctx)
	defer cancel()
	for try, lost := 1, 0; ; try++ {
		next, err := s.attempt(ctx, conn, w)
		conn.Release()
		switch {
		case next == done || try == maxTries:
			return withHint(err)
		case next == afterLoss:
			s.pool.Reset()
			if lost++; lost == maxLost {
				return err
			}
		case next == afterPause:
			if pause(ctx, try) != nil {
				return err
			}
		}
		if conn, err = s.acquire(ctx); err != nil {
			return err
		}
	}
}

// next is what to do after an attempt.
type next int

const (
	// done: the attempt's error is the answer.
	done next = iota
	// atOnce: the transaction was rolled back, and w knows better now.
	atOnce
	// afterPause: others were in the way.
	afterPause
	// afterLoss: the connection broke before there was anything to commit.
	afterLoss
)

// attempt runs the transaction once.
func (s *Store) attempt(ctx context.Context, conn *pgxpool.Conn, w *commit) (next, error) {
	// 1. Look, keeping what is seen as it is.
	var look pgx.Batch
	if s.cockroach {
		look.Queue(beginCockroach)
	} else {
		look.Queue(beginPostgres)
		w.lookAtNames(&look)
	}
	look.Queue(selectVersion).Query(scanVersion(&w.version))
	w.look(&look)
	if err := conn.SendBatch(ctx, &look).Close(); err != nil {
		rollBack(ctx, conn)
		switch {
		case isConflict(err):
			return afterPause, fmt.Errorf("other transactions were in the way: %w", err)
		case isLost(err):
			return afterLoss, err
		}
		return done, s.explained(ctx, conn, err)
	}
	if err := s.note(ctx, w.version); err != nil {
		rollBack(ctx, conn)
		return done, err
	}

	// 2. Check. Only a reuse leaves something behind.
	refused := w.check()
	if refused != nil && len(w.reused) == 0 {
		rollBack(ctx, conn)
		if !w.closely && len(w.onces)+len(w.inserts) > 0 {
			w.closely = true
			return atOnce, refused
		}
		return done, refused
	}

	// 3. Apply and commit.
	return s.finish(ctx, conn, w, refused)
}

// finish writes and commits.
func (s *Store) finish(ctx context.Context, conn *pgxpool.Conn, w *commit, refused error) (next, error) {
	var change pgx.Batch
	if err := w.apply(&change, refused); err != nil {
		rollBack(ctx, conn)
		return done, err
	}
	var tag pgconn.CommandTag
	change.Queue(commitSQL).Exec(func(t pgconn.CommandTag) error {
		tag = t
		return nil
	})
	err := conn.SendBatch(ctx, &change).Close()
	switch {
	case err == nil && tag.String() == commitSQL:
		return done, refused
	case err == nil:
		return done, fmt.Errorf("the database answered %q to COMMIT", tag)
	case isConflict(err), hasCode(err, uniqueViolation):
		rollBack(ctx, conn)
		if !w.closely && hasCode(err, uniqueViolation) {
			w.closely = true
			return atOnce, err
		}
		return afterPause, fmt.Errorf("other transactions were in the way: %w", err)
	case isLost(err):
		s.logger.WarnContext(ctx, "the connection to the database broke during a commit", "error", err)
		return done, fmt.Errorf("whether this was committed is not known: %w", err)
	}
	rollBack(ctx, conn)
	return done, err
}

// rollBack ends a transaction. If it cannot, the pool drops the connection, and
// so the database the transaction.
func rollBack(ctx context.Context, conn *pgxpool.Conn) {
	if !conn.Conn().IsClosed() {
		_, _ = conn.Exec(ctx, rollbackSQL)
	}
}

// pause waits for a while that is longer after each try, and not the same for
// all who wait.
func pause(ctx context.Context, try int) error {
	limit := min(time.Millisecond<<min(try, 10), maxPause)
	timer := time.NewTimer(rand.N(limit)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	noStatement          = "26000"
	duplicateStatement   = "42P05"
	// completionUnknown is how CockroachDB says that a commit may have happened.
	completionUnknown = "40003"
)

func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == code
}

// withHint says what to do where prepared statements get lost.
func withHint(err error) error {
	if hasCode(err, noStatement) || hasCode(err, duplicateStatement) {
		return fmt.Errorf("%w; behind a pooler that does not keep prepared statements, the URL needs default_query_exec_mode=exec", err)
	}
	return err
}

// isConflict says that the database took back a transaction since others were in
// its way.
func isConflict(err error) bool {
	return hasCode(err, serializationFailure) || hasCode(err, deadlockDetected)
}

// isLost says that the connection broke: no answer came, or one that it is
// being closed.
func isLost(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return !errors.Is(err, pgx.ErrNoRows)
	}
	return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P") || e.Code == completionUnknown
}
