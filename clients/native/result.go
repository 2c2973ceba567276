package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Result is a completed login.
type Result struct {
	// Issuer is the provider at which the person signed in.
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Via is the backend that did the exchange, if one did. The tokens are
	// then the application's, not the provider's.
	Via     string `json:"via,omitempty"`
	Subject string `json:"sub"`
	// Claims are those of the ID token with those of userinfo over them.
	Claims map[string]any `json:"claims"`
	Tokens Tokens         `json:"tokens"`
}

// Tokens is what the program holds after the login.
type Tokens struct {
	Access  string    `json:"access_token"`
	Type    string    `json:"token_type"`
	Refresh string    `json:"refresh_token,omitempty"`
	ID      string    `json:"id_token,omitempty"`
	Scope   string    `json:"scope,omitempty"`
	Expiry  time.Time `json:"expiry,omitzero"` // of the access token; zero if it was not told
}

// Name is what to call the person: the first of name, preferred_username and
// email that is there, else the subject.
func (r *Result) Name() string {
	for _, claim := range []string{"name", "preferred_username", "email"} {
		if s, ok := r.Claims[claim].(string); ok && s != "" {
			return s
		}
	}
	return r.Subject
}

// LogValue keeps the tokens out of logs.
func (r *Result) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", r.Issuer), slog.String("sub", r.Subject))
}

// String keeps the tokens out of messages.
func (Tokens) String() string { return "(tokens)" }

// GoString keeps the tokens out of messages.
func (Tokens) GoString() string { return "native.Tokens{}" }

// CheckSave says whether Save could write to path, and leaves nothing there.
func CheckSave(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("save the login: %s is a directory", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".oidclab-*")
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	return errors.Join(tmp.Close(), os.Remove(tmp.Name()))
}

// Save writes r with its tokens to path as JSON, readable by its owner only.
// It replaces a file that is there already, and its mode with it, in one step:
// a reader sees the old file or the new one, and a link is replaced rather
// than followed.
func Save(path string, r *Result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	// CreateTemp makes the file with mode 0600. It must be in the same folder
	// for the rename to be one step.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".oidclab-*")
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	_, err = tmp.Write(append(data, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	return nil
}
