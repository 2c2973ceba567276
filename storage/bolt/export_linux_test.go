package bolt

import (
	"errors"
	"os"
	"reflect"
	"syscall"
)

// OnWrite lets f decide about every write of the file, in place of bbolt: f calls
// write, or does not. Nil is bbolt again. bbolt keeps the function for its own
// tests.
func (s *Store) OnWrite(f func(offset int64, write func() error) error) {
	field := reflect.ValueOf(s.db).Elem().FieldByName("ops").FieldByName("writeAt")
	hook := (*func([]byte, int64) (int, error))(field.Addr().UnsafePointer())
	file := s.file
	*hook = file.WriteAt
	if f == nil {
		return
	}
	*hook = func(b []byte, offset int64) (n int, err error) {
		err = f(offset, func() error {
			n, err = file.WriteAt(b, offset)
			return err
		})
		return n, err
	}
}

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
