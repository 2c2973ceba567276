package bolt

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// holder finds the process that has a lock on the file: /proc/locks names it
// beside the file's inode. It is 0 if there is none any more, or if the process is
// not one that we can see.
func holder(path string) (pid int, command string) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0, ""
	}
	defer locks.Close()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// "1: FLOCK  ADVISORY  WRITE 4711 fd:01:1835041 0 EOF"; "->" is one who waits.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], fmt.Sprintf(":%d", stat.Ino)) {
			continue
		}
		pid, err := strconv.Atoi(fields[4])
		if err != nil || pid <= 0 || !hasOpen(pid, info) {
			continue
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return pid, strings.TrimSpace(string(comm))
	}
	return 0, ""
}

// hasOpen reports whether a process has the file open. Inodes are numbered for
// each device, and the device in /proc/locks is not the one that stat tells on
// every file system. Of a process that is not ours to look into, the inode has to
// do.
func hasOpen(pid int, file os.FileInfo) bool {
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(descriptors) == 0 {
		return true
	}
	for _, name := range descriptors {
		if info, err := os.Stat(name); err == nil && os.SameFile(info, file) {
			return true
		}
	}
	return false
}
