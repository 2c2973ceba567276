package load

import "time"

// usage is what a process used so far.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
	known    bool
}

// serverUsage is that of the server; unknown without a process id.
func serverUsage(pid int) usage {
	if pid == 0 {
		return usage{}
	}
	u, _ := readUsage(pid) // CheckServer has said what is wrong
	return u
}

// CheckServer reports why the CPU time and memory of a process cannot be read.
func CheckServer(pid int) error {
	_, err := readUsage(pid)
	return err
}

// since is what was used since an earlier reading.
func (u usage) since(earlier usage) usage {
	u.cpu -= earlier.cpu
	u.known = u.known && earlier.known
	return u
}
