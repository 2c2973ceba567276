package main

import (
	"os"
	"runtime/debug"
)

// collectPercent is how much a server may allocate before the garbage collector
// runs, in percent of what lives. What lives in a provider is a few MiB, and a flow
// allocates a quarter of one: by Go's default of 100 the collector ran for every
// twenty flows.
const collectPercent = 400

// relaxCollector trades some MiB for a tenth of the processor time. GOGC decides
// where somebody has set it.
func relaxCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
