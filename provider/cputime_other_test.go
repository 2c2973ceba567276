//go:build !unix

package provider_test

import "time"

var started = time.Now()

// cpuTime is the time that has passed: here nobody says what of it was used.
func cpuTime() time.Duration { return time.Since(started) }
