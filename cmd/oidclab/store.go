package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// storeFile is the embedded store's file in the data directory.
const storeFile = "provider.db"

// storeOptions say where the provider's state is, and what may become of it.
type storeOptions struct {
	// dir is the data directory; "" is a temporary one.
	dir        string
	durability provider.Durability
}

// flags adds the flags; data says what --data is for.
func (o *storeOptions) flags(cmd *cobra.Command, data string) {
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "data", "", data)
	flags.TextVar(&o.durability, "durability", provider.Durability(""),
		"`HOW` safely state is kept: \"durable\" waits for the disk before it answers; \"ephemeral\", for CI, does\n"+
			"not: a killed process still loses nothing, but a power failure can corrupt the store (default:\n"+
			"durable; ephemeral for what is forgotten at the end)")
	completes(cmd, "durability", string(provider.Durable), string(provider.Ephemeral))
}

// fill takes from the file what neither a flag nor the environment gave.
func (o *storeOptions) fill(given func(name string) bool, file *provider.File) {
	if file.Data != "" && !given("data") {
		o.dir = file.Data
	}
	if !given("durability") {
		o.durability = file.Durability
	}
}

// keeping is the durability that holds: nobody misses what a power failure
// takes from a temporary directory.
func (o *storeOptions) keeping() provider.Durability {
	if o.dir == "" {
		return cmp.Or(o.durability, provider.Ephemeral)
	}
	return cmp.Or(o.durability, provider.Durable)
}

// greet tells a person what is kept, and how well.
func (o *storeOptions) greet(w io.Writer) {
	fmt.Fprintf(w, "  data\t%s\n", cmp.Or(o.dir, "forgotten at the end; --data keeps it"))
	switch o.keeping() {
	case provider.Ephemeral:
		fmt.Fprintf(w, "  durability\tephemeral: no fsync, a power failure can corrupt the data\n")
	default:
		fmt.Fprintf(w, "  durability\tdurable: what was answered is on disk\n")
	}
}

// openStore opens the store in the data directory, or in a temporary one that
// the returned function removes.
func (a *app) openStore(o *storeOptions) (storage.Store, func() error, error) {
	dir, cleanUp := o.dir, func() error { return nil }
	if dir == "" {
		temp, err := os.MkdirTemp("", "oidclab-")
		if err != nil {
			return nil, nil, fmt.Errorf("no temporary directory: %w", err)
		}
		dir, cleanUp = temp, func() error { return os.RemoveAll(temp) }
	} else if err := makeDir(dir); err != nil {
		return nil, nil, err
	}
	store, err := bolt.Open(filepath.Join(dir, storeFile), &bolt.Options{
		NoSync: o.keeping() == provider.Ephemeral, SweepInterval: time.Minute, Logger: a.logger,
	})
	if err != nil {
		return nil, nil, firstError(dataError(dir, err), cleanUp())
	}
	return store, func() error { return firstError(store.Close(), cleanUp()) }, nil
}
