package lab_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/loopback"
	"github.com/oidclab/oidclab/clients/native"
)

// TestCommandLine signs in through the loopback flow, directly and through the
// backend of the frontend-driven client, in a real browser.
func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config func(*running, *native.Config)
	}{
		{"native", func(l *running, c *native.Config) { c.Issuer = l.Issuer() }},
		{"native-via", func(l *running, c *native.Config) { c.Via = l.Origin("frontenddriven-backend") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := start(t, nil)
			visit := make(chan string, 1)
			config := native.Config{
				Open:       func(_ context.Context, url string) error { visit <- url; return nil },
				HTTPClient: &http.Client{Transport: l.Recorder().Transport("native", loopback.Transport())},
			}
			tt.config(l, &config)
			type outcome struct {
				result *native.Result
				err    error
			}
			done := make(chan outcome, 1)
			go func() {
				result, err := native.Login(t.Context(), config)
				done <- outcome{result, err}
			}()
			tab := browsertest.Open(t)
			tab.Navigate(<-visit)
			l.login(tab, "alice", "alice")
			tab.Click("#allow")
			tab.WaitURL("http://127.0.0.1:")
			tab.WaitText("body", "Alice Liddell")
			got := <-done
			if got.err != nil {
				t.Fatal(got.err)
			}
			if got.result.Name() != "Alice Liddell" || got.result.Issuer != l.Issuer() || got.result.Via != config.Via {
				t.Errorf("%q at %q via %q", got.result.Name(), got.result.Issuer, got.result.Via)
			}
			compareTranscript(t, l, tt.name)
		})
	}
}
