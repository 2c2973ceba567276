package bolt

import "os"

// syncDir does nothing: Windows flushes no directories, it journals them.
func syncDir(string) error { return nil }

// release gives up a file and its lock.
func release(file *os.File) error { return file.Close() }

// lockAlone does nothing: the lock of a file that is looked at keeps out who would
// write it.
func lockAlone(*os.File) error { return nil }

// likeOld does nothing: a new file has the rights of its directory.
func likeOld(string, os.FileInfo) error { return nil }
