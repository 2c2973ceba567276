package native

import (
	"context"
	"os/exec"
	"runtime"
)

// OpenBrowser shows url in the system's browser. It returns as soon as the
// opener has started: some stay for as long as the browser does.
func OpenBrowser(ctx context.Context, url string) error {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	// Without cancellation: the end of the login must not close the browser.
	// The URL is one argument, no shell reads it, and Login has checked that
	// it is a web address.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() //nolint:errcheck // only so that no zombie stays
	return nil
}
