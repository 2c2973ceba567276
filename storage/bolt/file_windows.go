package bolt

import "os"

// syncDir does nothing: Windows flushes no directories, it journals them.
func syncDir(string) error { return nil }

// release gives up a file and its lock.
func release(file *os.File) error { return file.Close() }
