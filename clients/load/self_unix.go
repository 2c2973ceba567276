//go:build unix

package load

import (
	"syscall"
	"time"
)

// selfUsage is that of this process.
func selfUsage() usage {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return usage{}
	}
	return usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), known: true}
}
