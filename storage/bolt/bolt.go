package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

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
	// background; zero means never. The file is as large as what lives and what
	// expired since the last time: where a thousand records a second expire after
	// seconds, a minute is long. To find nothing costs next to nothing.
	SweepInterval time.Duration
	// Logger hears of failed writes and sweeps; nil discards.
	Logger *slog.Logger
}

// Store is a storage.Store in a bbolt file.
type Store struct {
	db     *bbolt.DB
	file   *os.File // the database's
	logger *slog.Logger

	queue    chan *request // to the writer; see writer.go
	written  chan struct{} // closed when the writer has ended
	sweeper  context.CancelFunc
	sweeping sync.WaitGroup

	failed atomic.Pointer[failure] // nil: it can be written; see failure.go

	began atomic.Pointer[time.Time] // when the transaction under way did, nil for none
	asks  chan struct{}             // has room for one Ping; see ping.go

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
// the file open, Open fails with an InUseError, which is storage.ErrInUse and names
// the process. Nil options are the default ones.
func Open(path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	db, file, err := openFile(path, o)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}

	sweepCtx, cancel := context.WithCancel(context.Background())
	s := &Store{
		db:      db,
		file:    file,
		logger:  o.Logger,
		queue:   make(chan *request),
		written: make(chan struct{}),
		asks:    make(chan struct{}, 1),
		sweeper: cancel,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	go s.write()
	if o.SweepInterval > 0 {
		s.sweeping.Go(func() { storage.SweepEvery(sweepCtx, s, o.SweepInterval, s.logger) })
	}
	return s, nil
}

// openFile opens the file, and closes it again if it cannot be used.
func openFile(path string, o *Options) (*bbolt.DB, *os.File, error) {
	db, file, err := openBolt(path, &bbolt.Options{NoSync: o.NoSync, NoGrowSync: o.NoSync})
	if err != nil {
		return nil, nil, err
	}
	if replaced(path, file) { // by Compact, while we waited for the lock
		return nil, nil, errors.Join(heldBy(path), db.Close())
	}
	if err := makeReady(db, file, maxMove); err != nil {
		return nil, nil, errors.Join(err, recovered(db.Close))
	}
	return db, file, nil
}

// makeReady makes sure of what the disk has, and brings an open file up to date, a part of it
// at a time. In this order: the first transaction writes where only the state before the
// last one is, which may be what the disk has until then.
func makeReady(db *bbolt.DB, file *os.File, part int64) error {
	return recovered(func() error {
		version, err := knownSchema(db)
		if err != nil {
			return err
		}
		if !db.NoSync {
			if err := settle(file, db.Info().PageSize); err != nil {
				return err
			}
		}
		return initialise(db, version, part)
	})
}

// replaced reports whether a path leads no more to the file that was opened by it.
func replaced(path string, file *os.File) bool {
	opened, err := file.Stat()
	if err != nil {
		return true
	}
	found, err := os.Stat(path)
	return err != nil || !os.SameFile(opened, found)
}

// settle makes the disk hold what is read. The last process may have ended between
// the write of a meta page and its flush, or because that flush failed: then the
// kernel shows a page that it will not write by itself. So the meta pages, which
// come first in the file, are written again as they are, and all is flushed.
func settle(file *os.File, pageSize int) error {
	metas := make([]byte, 2*pageSize)
	if _, err := file.ReadAt(metas, 0); err != nil {
		return err
	}
	if _, err := file.WriteAt(metas, 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file.Name()))
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
		if s.stuck() { // bbolt would wait for a lock that is never released
			s.closeErr = errors.Join(s.broken(), release(s.file))
			return
		}
		s.closeErr = s.db.Close()
	})
	return s.closeErr
}

// Durable reports whether commits wait for the disk.
func (s *Store) Durable() bool { return !s.db.NoSync }
