//go:build !linux

package load

import "errors"

func readUsage(int) (usage, error) {
	return usage{}, errors.New("the server's CPU time and memory are read from /proc, which only Linux has")
}
