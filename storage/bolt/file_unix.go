//go:build unix

package bolt

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a directory's entries durable, those of new and renamed files.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// release gives up a file and its lock, which would otherwise stay for as long as
// the file is mapped.
func release(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close()) //nolint:gosec // a descriptor is small
}
