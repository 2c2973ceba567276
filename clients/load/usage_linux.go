package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// clockTick is the unit of /proc/PID/stat: the kernel tells user space hundredths
// of a second, on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// readUsage reads the CPU time and the resident memory of a process.
func readUsage(pid int) (usage, error) {
	folder := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The name in parentheses may hold anything, so count from its end: utime and
	// stime are fields 14 and 15, rss is field 24, in pages (proc(5)).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 22 {
		return usage{}, errors.New("/proc/PID/stat is too short")
	}
	var numbers [3]int64
	for i, at := range []int{11, 12, 21} {
		if numbers[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return usage{}, fmt.Errorf("/proc/PID/stat: %w", err)
		}
	}
	return usage{
		cpu:      time.Duration(numbers[0]+numbers[1]) * clockTick,
		resident: numbers[2] * int64(os.Getpagesize()),
		known:    true,
	}, nil
}

// threadCPU is the CPU time of the calling thread.
func threadCPU() (time.Duration, bool) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_THREAD, &r) != nil {
		return 0, false
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), true
}
