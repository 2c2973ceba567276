//go:build !linux

package load

import (
	"errors"
	"time"
)

func readUsage(int) (usage, error) {
	return usage{}, errors.New("the server's CPU time and memory are read from /proc, which only Linux has")
}

// threadCPU is the CPU time of the calling thread, which nobody tells here.
func threadCPU() (time.Duration, bool) { return 0, false }
