//go:build !linux

package bolt

// holder knows no process: the system has no list of locks.
func holder(string) (pid int, command string) { return 0, "" }
