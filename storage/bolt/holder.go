package bolt

import (
	"fmt"

	"github.com/oidclab/oidclab/storage"
)

// InUseError says which process has the file open. It is a storage.ErrInUse.
type InUseError struct {
	// PID and Command are those of the holder, 0 and "" if the system does not
	// tell.
	PID     int
	Command string
}

// Error implements error.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return storage.ErrInUse.Error()
	}
	return fmt.Sprintf("in use by %s", e.Holder())
}

// Unwrap makes it a storage.ErrInUse.
func (e *InUseError) Unwrap() error { return storage.ErrInUse }

// Holder names the process.
func (e *InUseError) Holder() string {
	switch {
	case e.PID == 0:
		return "another process"
	case e.Command == "":
		return fmt.Sprintf("process %d", e.PID)
	default:
		return fmt.Sprintf("%s (process %d)", e.Command, e.PID)
	}
}

// heldBy is the error for a file whose lock somebody else has.
func heldBy(path string) *InUseError {
	pid, command := holder(path)
	return &InUseError{PID: pid, Command: command}
}
