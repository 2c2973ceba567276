package lab

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const secretsFile = "lab-secrets.json"

// secrets of the confidential clients. The provider keeps only their digests,
// so the clients' side has this file.
type secrets struct {
	BFF            string `json:"bff"`
	FrontendDriven string `json:"frontenddriven"`
	API            string `json:"api"`
}

// loadSecrets reads the secrets in dir, and makes those that are missing.
func loadSecrets(dir string) (secrets, error) {
	var s secrets
	path := filepath.Join(dir, secretsFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, fmt.Errorf("lab: secrets: %w", err)
	default:
		// The decoder's error is left out: it may quote the text.
		if json.Unmarshal(text, &s) != nil {
			return s, fmt.Errorf("lab: secrets: %s is not valid JSON; remove it, and new secrets are made", path)
		}
	}
	missing := false
	for _, secret := range []*string{&s.BFF, &s.FrontendDriven, &s.API} {
		if *secret == "" {
			*secret, missing = newSecret(), true
		}
	}
	if !missing {
		return s, nil
	}
	return s, s.save(dir)
}

// save replaces the file as a whole: a reader finds all secrets or the old ones.
func (s secrets) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: secrets: %w", err)
	}
	file, err := os.CreateTemp(dir, secretsFile+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("lab: secrets: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, secretsFile))
	}
	if err != nil {
		return fmt.Errorf("lab: secrets: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// newSecret has 256 bits, more than the 160 of RFC 6749 §10.10.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
