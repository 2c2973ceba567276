package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/oidclab/oidclab/clients/internal/records"
)

const (
	maxNoteBody = 8 << 10             // bytes of a POST
	maxNoteText = 500                 // characters of a note
	maxNotes    = 50                  // notes of a user; a new one then takes the place of the oldest
	keepNotes   = 90 * 24 * time.Hour // after the user's last note
)

type note struct {
	ID        string    `json:"id"`
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"created_at"`
}

// notebook keeps each user's notes, newest first.
type notebook struct {
	mu      sync.Mutex // makes reading and writing a list one step
	records *records.Records[[]note]
}

func openNotebook(db *records.DB) (*notebook, error) {
	r, err := records.Bucket[[]note](db, "notes")
	return &notebook{records: r}, err
}

func (n *notebook) list(owner string) ([]note, error) {
	notes, err := n.records.Get(owner)
	if errors.Is(err, records.ErrNotFound) {
		return []note{}, nil
	}
	return notes, err
}

func (n *notebook) add(owner, text string) (note, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	notes, err := n.list(owner)
	if err != nil {
		return note{}, err
	}
	now := time.Now().UTC()
	added := note{ID: rand.Text(), Text: text, CreatedAt: now.Truncate(time.Second)}
	notes = append([]note{added}, notes...)
	return added, n.records.Put(owner, notes[:min(len(notes), maxNotes)], now.Add(keepNotes))
}

// handleListNotes serves GET /api/notes.
func (a *API) handleListNotes(w http.ResponseWriter, r *http.Request, t *Token) {
	notes, err := a.notes.list(t.owner)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"notes": notes})
}

// handleAddNote serves POST /api/notes.
func (a *API) handleAddNote(w http.ResponseWriter, r *http.Request, t *Token) {
	var body struct {
		Text string `json:"text"`
	}
	if p := readJSON(w, r, &body); p != nil {
		a.refuse(w, r, p)
		return
	}
	text := strings.TrimSpace(body.Text)
	if text == "" {
		a.refuse(w, r, badRequest("A note needs a text."))
		return
	}
	if n := utf8.RuneCountInString(text); n > maxNoteText {
		a.refuse(w, r, badRequest(fmt.Sprintf("A note may have %d characters; this one has %d.", maxNoteText, n)))
		return
	}
	added, err := a.notes.add(t.owner, text)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, added)
}

// readJSON decodes a bounded JSON body into v. The content type must be JSON's:
// a plain form of another origin cannot send that without a preflight.
func readJSON(w http.ResponseWriter, r *http.Request, v any) *problem {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &problem{status: http.StatusUnsupportedMediaType, code: "invalid_request", description: "The Content-Type must be application/json."}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxNoteBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("there is more than one JSON value")
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return &problem{status: http.StatusRequestEntityTooLarge, code: "invalid_request", description: fmt.Sprintf("The body may have %d bytes.", tooLarge.Limit)}
	}
	return badRequest("The body is not the JSON object that is expected: " + strings.TrimPrefix(err.Error(), "json: "))
}

func badRequest(description string) *problem {
	return &problem{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

// fail answers a failure of this server's own; the reason goes to the log only.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.logger.ErrorContext(r.Context(), "notes", "error", err)
	a.refuse(w, r, &problem{status: http.StatusInternalServerError, code: "server_error", description: "The notes cannot be read or written at the moment."})
}
