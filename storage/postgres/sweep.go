package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// maxSweep bounds what one transaction of a sweep removes, so that it holds
	// nobody up for long.
	maxSweep = 256
)

// selectExpired finds the rows that expired first, of all tables.
var selectExpired = func() string {
	var parts []string
	for i, t := range tables {
		if t.expires() {
			parts = append(parts, fmt.Sprintf("(SELECT %d::INT8 AS place, id, expires FROM %s WHERE expires < $1 ORDER BY expires, id LIMIT $2)", i, t.name))
		}
	}
	return "SELECT place, id FROM (" + strings.Join(parts, " UNION ALL ") + ") AS expired ORDER BY expires, place, id LIMIT $2"
}()

// Sweep implements storage.Store, in small transactions; on an error it returns
// what was removed until then. Of two that sweep at the same time, each removes
// what the other has not begun to. No record is read for it: what is damaged goes
// as well, since all that finds it is in columns beside it.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	for {
		size := max(0, min(limit-removed, maxSweep))
		found, n, err := s.sweep(ctx, now, size)
		removed += n
		if err != nil || found < size || n == 0 {
			return removed, err
		}
	}
}

// sweep does one transaction of a sweep. It returns how many rows it found, and
// how many it removed.
func (s *Store) sweep(ctx context.Context, now time.Time, limit int) (found, removed int, err error) {
	expired := make([][][]byte, len(tables))
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		clear(expired)
		found = 0
		if err := s.ask(ctx, q); err != nil {
			return err
		}
		rows, err := q.Query(ctx, selectExpired, end(now), limit)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var place int64
			var id []byte
			err := rows.Scan(&place, &id)
			expired[place] = append(expired[place], id)
			found++
			return err
		})
	})
	if err != nil || found == 0 {
		return 0, 0, err
	}
	removed, err = s.removeExpired(ctx, now, expired)
	return found, removed, err
}

// end is the first instant that has not passed; the zero time is no end.
func end(now time.Time) []byte {
	if now.IsZero() {
		return []byte{}
	}
	return instant(now)
}

func (s *Store) removeExpired(ctx context.Context, now time.Time, expired [][][]byte) (removed int, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	conn, err := s.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	ctx, cancel := s.work(ctx)
	defer cancel()
	var batch pgx.Batch // which is a transaction by itself
	for i, ids := range expired {
		if len(ids) > 0 {
			batch.Queue(tables[i].sweep, ids, end(now), schema).Exec(func(tag pgconn.CommandTag) error {
				removed += int(tag.RowsAffected())
				return nil
			})
		}
	}
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, err
	}
	return removed, nil
}
