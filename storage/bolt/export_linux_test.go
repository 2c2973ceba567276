package bolt

import (
	"errors"
	"os"
	"reflect"
	"syscall"

	"go.etcd.io/bbolt"
)

// OnWrite lets f decide about every write of the file, in place of bbolt: f calls
// write, or does not. Nil is bbolt again. bbolt keeps the function for its own
// tests.
func (s *Store) OnWrite(f func(offset int64, write func() error) error) { onWrite(s.db, s.file, f) }

func onWrite(db *bbolt.DB, file *os.File, f func(offset int64, write func() error) error) {
	if f == nil {
		onWriteOf(db, file.WriteAt)
		return
	}
	onWriteOf(db, func(b []byte, offset int64) (n int, err error) {
		err = f(offset, func() error {
			n, err = file.WriteAt(b, offset)
			return err
		})
		return n, err
	})
}

// onWriteOf puts a function in the place of the one that bbolt writes with.
func onWriteOf(db *bbolt.DB, write func(b []byte, offset int64) (int, error)) {
	field := reflect.ValueOf(db).Elem().FieldByName("ops").FieldByName("writeAt")
	*(*func([]byte, int64) (int, error))(field.Addr().UnsafePointer()) = write
}

// OpenRecorded is OpenWatched for who wants to see what is written, before it is.
func OpenRecorded(path string, f func(offset int64, b []byte)) error {
	db, file, err := openBolt(path, &bbolt.Options{})
	if err != nil {
		return err
	}
	onWriteOf(db, func(b []byte, offset int64) (int, error) {
		f(offset, b)
		return file.WriteAt(b, offset)
	})
	return errors.Join(makeReady(db, file, SmallPart), db.Close())
}

// SmallPart is a part of the way to the present schema that makes a small file have many.
const SmallPart = 256 << 10

// FailFlushes puts in the place of the file, for all but what is mapped, one that
// cannot be flushed, until restore is called.
func (s *Store) FailFlushes() (restore func() error, err error) {
	fd := int(s.file.Fd())
	kept, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(syscall.Dup3(kept, fd, syscall.O_CLOEXEC), syscall.Close(kept)) }, nil
}

// LoseMetas puts zeros in the place of the meta pages. Who begins a transaction panics,
// with a lock of bbolt's in hand.
func (s *Store) LoseMetas() error {
	_, err := s.file.WriteAt(make([]byte, 2*s.db.Info().PageSize), 0)
	return err
}

// Settle is settle.
var Settle = settle

// MakeReady makes the store at path ready, with another file in the place of its own.
func MakeReady(path string, o *Options, file *os.File) error {
	db, _, err := openBolt(path, &bbolt.Options{NoSync: o.NoSync})
	if err != nil {
		return err
	}
	return errors.Join(makeReady(db, file, maxMove), db.Close())
}

// OpenWatched opens the file at path as Open does, and closes it. The way to the present
// schema has small parts, and f decides about every write of it.
func OpenWatched(path string, f func(offset int64, write func() error) error) error {
	db, file, err := openBolt(path, &bbolt.Options{})
	if err != nil {
		return err
	}
	onWrite(db, file, f)
	return errors.Join(makeReady(db, file, SmallPart), db.Close())
}
