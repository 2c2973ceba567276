//go:build !unix

package postgrestest

import (
	"errors"
	"syscall"
)

func unprivileged(string) (*syscall.SysProcAttr, error) {
	return nil, errors.New("the tests start PostgreSQL on Unix only: set OIDCLAB_POSTGRES to the URL of a server")
}
