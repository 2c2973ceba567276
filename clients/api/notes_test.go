package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// texts lists the notes that the token's user has, newest first.
func (b *bench) texts(t *testing.T, token string) []string {
	t.Helper()
	var texts []string
	for _, n := range decode(t, b.call(t, "GET", "/api/notes", token, ""))["notes"].([]any) {
		texts = append(texts, n.(map[string]any)["text"].(string))
	}
	return texts
}

func TestNotes(t *testing.T) {
	b := newBench(t)
	alice := b.provider.token(t, nil)
	bob := b.provider.token(t, claims{"sub": "bob-1"})

	if got := b.texts(t, alice); got != nil {
		t.Errorf("notes before the first: %v", got)
	}
	for _, text := range []string{"one", "  two  ", "<b>three</b>"} {
		if resp := b.call(t, "POST", "/api/notes", alice, fmt.Sprintf(`{"text":%q}`, text)); resp.StatusCode != http.StatusCreated {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if diff := cmp.Diff([]string{"<b>three</b>", "two", "one"}, b.texts(t, alice)); diff != "" {
		t.Error(diff)
	}
	if got := b.texts(t, bob); got != nil {
		t.Errorf("bob sees %v", got)
	}
	// The application's users are the provider's, as configured.
	if got := b.texts(t, b.app.token(t, claims{"aud": appAudience})); len(got) != 3 {
		t.Errorf("through the application alice sees %v", got)
	}
}

func TestNotesSurviveARestart(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "again.db")
	b.open(t, path)
	token := b.provider.token(t, nil)
	b.call(t, "POST", "/api/notes", token, `{"text":"kept"}`)
	if err := b.api.Close(); err != nil {
		t.Fatal(err)
	}
	b.open(t, path)
	if diff := cmp.Diff([]string{"kept"}, b.texts(t, token)); diff != "" {
		t.Error(diff)
	}
}

func TestNotesAreBounded(t *testing.T) {
	b := newBench(t)
	token := b.provider.token(t, nil)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() { b.call(t, "POST", "/api/notes", token, fmt.Sprintf(`{"text":"note %d"}`, i)) })
	}
	wg.Wait()
	b.call(t, "POST", "/api/notes", token, `{"text":"last"}`)
	got := b.texts(t, token)
	if len(got) != 50 || got[0] != "last" {
		t.Errorf("%d notes, the newest %q", len(got), got[0])
	}
}

func TestNoteBodies(t *testing.T) {
	b := newBench(t)
	token := b.provider.token(t, nil)
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"good", "application/json; charset=utf-8", `{"text":"x"}`, 201},
		{"as long as it may be", "application/json", `{"text":"` + strings.Repeat("ä", 500) + `"}`, 201},
		{"too long", "application/json", `{"text":"` + strings.Repeat("ä", 501) + `"}`, 400},
		{"empty", "application/json", `{"text":" "}`, 400},
		{"unknown field", "application/json", `{"text":"x","owner":"bob"}`, 400},
		{"two values", "application/json", `{"text":"x"}{"text":"y"}`, 400},
		{"no JSON", "application/json", `text=x`, 400},
		{"a form", "application/x-www-form-urlencoded", `{"text":"x"}`, 415},
		{"plain text, which needs no preflight", "text/plain", `{"text":"x"}`, 415},
		{"no type", "", `{"text":"x"}`, 415},
		{"huge", "application/json", `{"text":"` + strings.Repeat("x", 10<<10) + `"}`, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/notes", strings.NewReader(tt.body))
			req.Header.Set("Authorization", "Bearer "+token)
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			resp := b.do(req)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d: %v", resp.StatusCode, decode(t, resp))
			}
		})
	}
}
