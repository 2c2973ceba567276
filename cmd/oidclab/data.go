package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	bbolt "go.etcd.io/bbolt/errors"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// makeDir makes the data directory, for its owner only.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dataError(dir, err)
	}
	return nil
}

// dataError names the directory and what to do.
func dataError(dir string, err error) error {
	if errors.Is(err, storage.ErrInUse) {
		holder := "another oidclab"
		if held, ok := errors.AsType[*bolt.InUseError](err); ok {
			holder = held.Holder()
		}
		return fmt.Errorf("the data directory %s is in use by %s; stop that one, or choose another with --data", dir, holder)
	}
	hint := ""
	if errors.Is(err, bolt.ErrDamaged) {
		hint = "\"oidclab db check\" has the details; "
	}
	return fmt.Errorf("cannot use the data directory %s: %w; %schoose another with --data", dir, pathReason(err), hint)
}

// isBroken reports whether a store's file is none, or is damaged.
func isBroken(err error) bool {
	return errors.Is(err, bolt.ErrDamaged) || errors.Is(err, bbolt.ErrInvalid) || errors.Is(err, bbolt.ErrChecksum) || errors.Is(err, bbolt.ErrVersionMismatch)
}

// labFiles are what the lab keeps in its directory.
var labFiles = []string{storeFile, "bff.db", "frontenddriven.db", "api.db", "lab-secrets.json"}

// clearDir removes what the lab keeps in its directory, and nothing else: it may be any
// directory of the person's. It refuses while another process uses it. A store
// that is broken is in nobody's use, and one more reason to start clean.
func (a *app) clearDir(o *storeOptions) error {
	_, closeStore, err := a.openFile(o)
	if err != nil && !isBroken(err) {
		return err
	}
	if err == nil {
		if err := closeStore(); err != nil {
			return dataError(o.dir, err)
		}
	}
	for _, name := range labFiles {
		if err := os.Remove(filepath.Join(o.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dataError(o.dir, err)
		}
	}
	return nil
}

// stateDir is where the lab keeps its data between runs: what a program should
// remember but no person edits (XDG Base Directory Specification).
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "oidclab"), nil
	}
	var base string
	var err error
	switch runtime.GOOS {
	case "darwin":
		base, err = os.UserConfigDir() // ~/Library/Application Support
	case "windows":
		base, err = os.UserCacheDir() // %LocalAppData%
	default:
		base, err = os.UserHomeDir()
		base = filepath.Join(base, ".local", "state")
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "oidclab"), nil
}

// readConfig reads the configuration file; no path is an empty file.
func readConfig(path string) (*provider.File, error) {
	if path == "" {
		return &provider.File{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %s: %w", path, pathReason(err))
	}
	defer f.Close()
	return provider.ReadConfig(f, path)
}
