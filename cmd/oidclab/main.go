package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

func main() { os.Exit(run()) }

// run is main with an exit status.
func run() int {
	if err := newRoot().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "oidclab:", strings.Join(strings.Fields(err.Error()), " ")) // one line, whatever it says
		return 1
	}
	return 0
}
