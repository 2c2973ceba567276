//go:build !linux

package load

import "os"

// syncData waits until the disk has the file's data, as bbolt does.
func syncData(f *os.File) error { return f.Sync() }
