package lab_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/provider/recorder"
)

// update writes what the tests compare with (make golden).
var update = flag.Bool("update", false, "write testdata/wire and the README's pictures anew")

// wire is where the transcripts are.
var wire = filepath.Join("..", "..", "testdata", "wire")

// TestTranscripts compares what each flow sends over the wire, from the sign-in
// to the sign-out, with its transcript in testdata/wire: what a reader learns
// from is what the test guards.
func TestTranscripts(t *testing.T) {
	for _, client := range browserClients {
		t.Run(client.name, func(t *testing.T) {
			l := start(t, nil)
			tab := browsertest.Open(t)
			l.signIn(tab, client.name, "alice")
			if client.name == "pkce" {
				tab.WaitText("#watch", "still signed in") // its frame has loaded
			}
			tab.Click("#call-api")
			tab.Wait(`#api-result[data-status="200"]`)
			tab.Click(client.renew)
			tab.Wait(`body[data-renewals="1"]`)
			tab.Click("#signout")
			tab.WaitURL(l.Origin(client.name))
			tab.Wait(`body[data-state="signed-out"]`)
			compareTranscript(t, l, client.name)
		})
	}
}

// compareTranscript compares what was recorded with the golden file, or writes it.
func compareTranscript(t *testing.T, l *running, name string) {
	t.Helper()
	if err := l.Recorder().Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	keep := func(e recorder.Exchange) bool { return !e.Asset && !e.Preflight() && e.Path != "/config.json" }
	if err := recorder.Transcript(&got, l.Recorder().Exchanges(), recorder.TranscriptOptions{Keep: keep}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(wire, name+".txt")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s differs; if that is meant, run make golden: %s", path, diff)
	}
}
