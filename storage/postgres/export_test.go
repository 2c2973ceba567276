package postgres

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Schema is the version of the tables that this program knows.
func Schema() int64 { return schema }

// SetSerializable makes the store believe that its database is CockroachDB.
func (s *Store) SetSerializable() { s.cockroach = true }

// SetWorkLimit bounds what a call does with a connection.
func (s *Store) SetWorkLimit(limit time.Duration) { s.workLimit = limit }

// Reset gives up all connections.
func (s *Store) Reset() { s.pool.Reset() }

// Acquired is how many connections are used.
func (s *Store) Acquired() int { return int(s.pool.Stat().AcquiredConns()) }

// Closing reports whether Close waits for a call to end.
func (s *Store) Closing() bool {
	if s.open.TryRLock() {
		s.open.RUnlock()
		return false
	}
	return true
}

// Query reads one value through the store's pool.
func (s *Store) Query(ctx context.Context, sql string) (value string, err error) {
	err = s.pool.QueryRow(ctx, sql).Scan(&value)
	return value, err
}

// RemoveExpired is the second half of a sweep, of one grant.
func (s *Store) RemoveExpired(ctx context.Context, now time.Time, grantID string) (int, error) {
	expired := make([][][]byte, len(tables))
	expired[slices.Index(tables, grants)] = [][]byte{[]byte(grantID)}
	return s.removeExpired(ctx, now, expired)
}

// Statements returns the statements that tables have in common.
func Statements() (all []string) {
	for _, t := range tables {
		all = append(all, t.insert, t.upsert, t.remove, t.existing, t.sweep)
	}
	return append(slices.Clone(migrations), append(all, selectExpired)...)
}

// LockSchema is how whoever changes tables waits for others who do.
const LockSchema = lockSchema

// MigrateFrom brings the tables from a version to the next, and takes that back.
func (s *Store) MigrateFrom(ctx context.Context, version int64) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(migrateFrom(ctx, tx, version), tx.Rollback(ctx))
}
