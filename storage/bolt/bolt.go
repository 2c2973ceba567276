package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/oidclab/oidclab/storage"
)

// lockWait is how long Open waits for a process that is about to close the
// file. Whoever starts a second provider by mistake is told at once.
const lockWait = 100 * time.Millisecond

// Options adjust a store. The zero value is a durable store without a
// background sweep.
type Options struct {
	// NoSync leaves flushing to the operating system: commits are some ten
	// times faster and survive the death of the process, but a power failure
	// can corrupt the file. For ephemeral stores only.
	NoSync bool
	// SweepInterval is how often expired records are removed in the
	// background; zero means never.
	SweepInterval time.Duration
	// Logger hears of failed writes and sweeps; nil discards.
	Logger *slog.Logger
}

// Store is a storage.Store in a bbolt file.
type Store struct {
	db     *bbolt.DB
	logger *slog.Logger

	queue    chan *request // to the writer; see writer.go
	written  chan struct{} // closed when the writer has ended
	sweeper  context.CancelFunc
	sweeping sync.WaitGroup

	// open is held for reading by every call, so that Close, which wants it
	// for writing, waits for those under way.
	open      sync.RWMutex
	closed    bool
	closeOnce sync.Once
	closeErr  error
}

var _ storage.Store = (*Store)(nil)

// Open opens the store in the file at path, and makes the file, with mode
// 0600, if there is none. The directory must exist. While another process has
// the file open, Open fails with storage.ErrInUse. Nil options are the default
// ones.
func Open(path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType,
		NoSync:       o.NoSync,
		NoGrowSync:   o.NoSync,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("store %s: %w", path, storage.ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	if err := initialise(db); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, err), db.Close())
	}

	sweepCtx, cancel := context.WithCancel(context.Background())
	s := &Store{
		db:      db,
		logger:  o.Logger,
		queue:   make(chan *request),
		written: make(chan struct{}),
		sweeper: cancel,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	go s.write()
	if o.SweepInterval > 0 {
		s.sweeping.Go(func() { s.sweepEvery(sweepCtx, o.SweepInterval) })
	}
	return s, nil
}

// Close lets the calls under way finish and closes the file. Later calls get
// storage.ErrClosed; closing again does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.sweeper()
		s.sweeping.Wait()

		s.open.Lock()
		s.closed = true
		s.open.Unlock()

		close(s.queue)
		<-s.written
		s.closeErr = s.db.Close()
	})
	return s.closeErr
}

// Ping implements storage.Store: it reads the file.
func (s *Store) Ping(ctx context.Context) error {
	return s.view(ctx, func(t *tx) error {
		_, err := schemaOf(t.Tx)
		return err
	})
}
