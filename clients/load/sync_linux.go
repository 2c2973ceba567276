package load

import (
	"os"
	"syscall"
)

// syncData waits until the disk has the file's data, as bbolt does.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
