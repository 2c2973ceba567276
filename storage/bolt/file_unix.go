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
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

// lockAlone makes the lock of an open file exclusive.
func lockAlone(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// likeOld gives a file the mode and, if this process may, the owner of another:
// who compacts may be another than who runs the provider.
func likeOld(path string, old os.FileInfo) error {
	if err := os.Chmod(path, old.Mode().Perm()); err != nil {
		return err
	}
	stat, ok := old.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, int(stat.Uid), int(stat.Gid))
}
