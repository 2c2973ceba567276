package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations bring a database from each version to the next, in the order of
// their names. An empty database has version 0.
var migrations = readMigrations()

// schema is the version of the tables in doc.go.
var schema = int64(len(migrations))

func readMigrations() []string {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	var all []string
	for _, name := range names {
		sql, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		all = append(all, string(sql))
	}
	return all
}

// place is what we find where our tables are or will be.
type place struct {
	program, database, schema string
	tables, versions          int64
}

// initialise lays out new tables, brings old ones up to date, and refuses a
// place that is not ours.
func (s *Store) initialise(ctx context.Context) error {
	for try := 1; ; try++ {
		err := s.migrate(ctx)
		// In CockroachDB, which has no advisory locks, several may lay out the
		// tables at once. One can; the others find them.
		if try == maxTries || !isConflict(err) && !hasCode(err, uniqueViolation) && !hasCode(err, duplicateTable) {
			return err
		}
		if pause(ctx, try) != nil {
			return err
		}
	}
}

const duplicateTable = "42P07"

// migrate does all in one transaction, in which it is alone.
func (s *Store) migrate(ctx context.Context) error {
	// 1. As a rule there is nothing to do, and no lock to wait for.
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	where, err := s.look(ctx, conn.Conn())
	if err != nil {
		return err
	}
	if where.versions > 0 {
		if version, err := versionOf(ctx, conn.Conn()); err != nil || version == schema {
			return err
		}
	}

	// 2. Be alone, and look again: another may have been faster.
	tx, err := s.beginAlone(ctx, conn.Conn())
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit it does nothing
	if where, err = s.look(ctx, tx.Conn()); err != nil {
		return err
	}
	if where.versions == 0 {
		if err := run(ctx, tx, createVersion, insertVersion); err != nil {
			return fmt.Errorf("lay out the tables: %w", err)
		}
	}

	// 3. From version to version. Commits that rely on the old one end first, and
	//    those that come wait for the new one.
	version, err := versionOf(ctx, tx.Conn())
	if err != nil {
		return err
	}
	if version < schema && !s.cockroach {
		if err := run(ctx, tx, lockVersion); err != nil {
			return err
		}
	}
	for ; version < schema; version++ {
		if err := migrateFrom(ctx, tx, version); err != nil {
			return fmt.Errorf("from version %d of the tables: %w", version, err)
		}
	}
	return tx.Commit(ctx)
}

// beginAlone begins a transaction that changes tables.
func (s *Store) beginAlone(ctx context.Context, conn *pgx.Conn) (pgx.Tx, error) {
	if s.cockroach {
		// Later versions commit before each change of a table unless told not to;
		// earlier ones know no such thing, and say so.
		_, _ = conn.Exec(ctx, changeTablesAtOnce)
		return conn.Begin(ctx)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := run(ctx, tx, lockSchema); err != nil {
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return tx, nil
}

// run runs statements without parameters.
func run(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// look finds out where we are, and refuses a place that others use.
func (s *Store) look(ctx context.Context, conn *pgx.Conn) (where place, err error) {
	err = conn.QueryRow(ctx, selectPlace).Scan(&where.program, &where.database, &where.schema, &where.tables, &where.versions)
	switch {
	case err != nil:
		return where, err
	case where.schema == "":
		return where, fmt.Errorf("in the database %s, search_path names no schema that is there", where.database)
	case where.versions == 0 && where.tables > 0:
		return where, fmt.Errorf("the schema %s of the database %s has tables, but none of this program: choose another with search_path, or an empty database", where.schema, where.database)
	}
	s.cockroach = strings.Contains(where.program, "CockroachDB")
	return where, nil
}

// versionOf reads the version of the tables.
func versionOf(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	err = conn.QueryRow(ctx, selectVersion).Scan(&version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, errors.New("the table oidclab_schema has no version: these are not tables of this program")
	case err == nil && (version < 0 || version > schema):
		err = versionError(version)
	}
	return version, err
}

// migrateFrom brings the tables from a version to the next.
func migrateFrom(ctx context.Context, tx pgx.Tx, version int64) error {
	tag, err := tx.Exec(ctx, updateVersion, version, version+1)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return errors.New("another process changes them at the same time")
	}
	for statement := range strings.SplitSeq(migrations[version], ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := run(ctx, tx, statement); err != nil {
			return err
		}
	}
	return nil
}
