package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oidclab/oidclab/storage"
)

// defaultConns is how many connections a store opens at most, unless the URL
// says pool_max_conns.
const defaultConns = 16

// idleParameter is for how long the database waits for the second half of a
// transaction: a machine that is gone must not hold locks until TCP notices.
const idleParameter = "idle_in_transaction_session_timeout"

// Options adjust a store. The zero value is one without a background sweep.
type Options struct {
	// SweepInterval is how often expired records are removed in the background;
	// zero means never. Of several stores on one database, each may sweep.
	SweepInterval time.Duration
	// Logger hears of failed sweeps, of connections that were lost and of commits
	// whose end is not known; nil discards.
	Logger *slog.Logger
}

// Store is a storage.Store in a PostgreSQL database.
type Store struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	// cockroach says that the database is CockroachDB: transactions are
	// SERIALIZABLE, and there are no advisory locks.
	cockroach bool
	// foreign is nil while the tables have the version that we know.
	foreign atomic.Pointer[versionError]
	// workLimit bounds what a call does with a connection.
	workLimit time.Duration

	sweeper  context.CancelFunc
	sweeping sync.WaitGroup

	// open is held for reading by every call, so that Close, which wants it
	// for writing, waits for those under way.
	open      sync.RWMutex
	closed    bool
	closeOnce sync.Once
}

// Open opens the store in the database at a URL, postgres://… with libpq's
// parameters and those of pgxpool, and lays out or updates its tables. A
// database that others use is refused, unless search_path names a schema that
// is ours. No error tells the password. Nil options are the default ones.
func Open(ctx context.Context, url string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	config, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	name := nameOf(config)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	sweepCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{pool: pool, logger: o.Logger, sweeper: cancel, workLimit: workLimit}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.initialise(ctx); err != nil {
		cancel()
		pool.Close()
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	if o.SweepInterval > 0 {
		s.sweeping.Go(func() { storage.SweepEvery(sweepCtx, s, o.SweepInterval, s.logger) })
	}
	return s, nil
}

// Name is the address of a database without what nobody should see: a URL may
// hold a password, in more than one place.
func Name(url string) (string, error) {
	config, err := parse(url)
	if err != nil {
		return "", err
	}
	return nameOf(config), nil
}

// IsURL reports whether an address is for this package to open.
func IsURL(address string) bool {
	scheme, _, found := strings.Cut(address, "://")
	return found && (scheme == "postgres" || scheme == "postgresql")
}

// parse reads a URL. Its error quotes nothing of it.
func parse(address string) (*pgxpool.Config, error) {
	if !IsURL(address) {
		return nil, errors.New("the address must be a URL that begins with postgres://")
	}
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" || strings.Count(address[:len(address)-len(u.RawQuery)], "@") > 1 || strings.Contains(u.Path, "@") {
		// The reason may quote half a password: one with a slash ends the host, one
		// with an @ sign begins it.
		return nil, errors.New("the URL of the database cannot be read: special characters in its user, password and name must be percent-encoded")
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("the URL of the database cannot be used: %w", withoutURL(err))
	}
	if !u.Query().Has("pool_max_conns") {
		config.MaxConns = defaultConns
	}
	if !u.Query().Has(idleParameter) {
		// Not among the parameters that a connection begins with: poolers refuse
		// those that they do not know.
		config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, setIdleLimit)
			return err
		}
	}
	return config, nil
}

// withoutURL is the reason of an error that quotes a URL.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		if err = e.Unwrap(); err == nil {
			return errors.New("a parameter is wrong")
		}
	}
	return err
}

func nameOf(config *pgxpool.Config) string {
	c := config.ConnConfig
	host := c.Host
	if !strings.HasPrefix(host, "/") { // a socket's directory
		host += ":" + strconv.Itoa(int(c.Port))
	}
	name := fmt.Sprintf("postgres://%s@%s/%s", c.User, host, c.Database)
	if schema := c.RuntimeParams["search_path"]; schema != "" {
		name += " (schema " + schema + ")"
	}
	return name
}

// Close lets the calls under way finish and closes the connections. Later calls
// get storage.ErrClosed; closing again does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.sweeper()
		s.sweeping.Wait()

		s.open.Lock()
		s.closed = true
		s.open.Unlock()

		s.pool.Close()
	})
	return nil
}

// Ping implements storage.Store: the database answers, can be written to, and
// has our tables. It takes no longer than pingLimit, also where the database has
// stopped to answer.
func (s *Store) Ping(ctx context.Context) error {
	leave, err := s.enterAnyhow(ctx)
	if err != nil {
		return err
	}
	defer leave()
	limited, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	deadline, _ := limited.Deadline()
	work := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(context.WithoutCancel(ctx), deadline)
	}
	var version int64
	var readOnly string
	err = s.readWithin(limited, work, func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, selectState).Scan(&version, &readOnly)
	})
	switch {
	case err != nil && limited.Err() != nil:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("no answer of the database in %s: %v", pingLimit, err) //nolint:errorlint // this is not the caller's context
	case errors.Is(err, pgx.ErrNoRows):
		return s.note(ctx, 0)
	case err != nil:
		return err
	}
	if err := s.note(ctx, version); err != nil {
		return err
	}
	s.noteOurs(ctx)
	if readOnly == "on" {
		return errors.New("the database is read-only")
	}
	return nil
}

// enterAnyhow begins a call, unless the store is closed or ctx has ended. What it
// returns ends the call.
func (s *Store) enterAnyhow(ctx context.Context) (leave func(), err error) {
	if !s.open.TryRLock() { // Close has it, or waits for it
		return nil, storage.ErrClosed
	}
	if s.closed {
		err = storage.ErrClosed
	} else {
		err = ctx.Err()
	}
	if err != nil {
		s.open.RUnlock()
		return nil, err
	}
	return s.open.RUnlock, nil
}
