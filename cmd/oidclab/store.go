package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/postgres"
)

// storeFile is the embedded store's file in the data directory.
const storeFile = "provider.db"

// storeOptions say where the provider's state is, and what may become of it.
type storeOptions struct {
	// dir is the data directory; "" is a temporary one.
	dir string
	// url is that of a database which has the provider's state; "" is none. It
	// may hold a password, and is for no eye: see name.
	url        string
	durability provider.Durability
}

// flags adds the flags; data says what --data is for.
func (o *storeOptions) flags(cmd *cobra.Command, data string) {
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "data", "", data)
	flags.StringVar(&o.url, "store", "",
		"keep the provider's state in the PostgreSQL or CockroachDB database at this `URL`, which replicas\n"+
			"share: postgres://USER@HOST/DATABASE. A password is safer in OIDCLAB_STORE or PGPASSFILE")
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
	if file.Store != "" && !given("store") {
		o.url = file.Store
	}
	if !given("durability") {
		o.durability = file.Durability
	}
}

// checkURL refuses what contradicts --store.
func (o *storeOptions) checkURL() error {
	if o.url == "" {
		return nil
	}
	if _, err := postgres.Name(o.url); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	if o.durability != "" {
		return errors.New("--durability is about the data directory; what is in --store is as durable as that database is told to be (synchronous_commit)")
	}
	return nil
}

// name is the database's address without the password, "" if there is no
// database.
func (o *storeOptions) name() string {
	name, _ := postgres.Name(o.url)
	return name
}

// keeping is the durability that holds: nobody misses what a power failure
// takes from a temporary directory.
func (o *storeOptions) keeping() provider.Durability {
	switch {
	case o.url != "":
		return "" // the database's own affair
	case o.dir == "":
		return cmp.Or(o.durability, provider.Ephemeral)
	default:
		return cmp.Or(o.durability, provider.Durable)
	}
}

// greet tells a person what is kept, and how well.
func (o *storeOptions) greet(w io.Writer) {
	if o.url != "" {
		fmt.Fprintf(w, "  store\t%s\n", o.name())
		if o.dir != "" {
			fmt.Fprintf(w, "  data\t%s, for the clients' own\n", o.dir)
		}
		return
	}
	fmt.Fprintf(w, "  data\t%s\n", cmp.Or(o.dir, "forgotten at the end; --data keeps it"))
	switch o.keeping() {
	case provider.Ephemeral:
		fmt.Fprintf(w, "  durability\tephemeral: no fsync, a power failure can corrupt the data\n")
	default:
		fmt.Fprintf(w, "  durability\tdurable: what was answered is on disk\n")
	}
}

// openStore opens the store in the database or in the data directory.
func (a *app) openStore(ctx context.Context, o *storeOptions) (storage.Store, func() error, error) {
	if o.url == "" {
		return a.openFile(o)
	}
	return a.openDatabase(ctx, o)
}

// openDatabase opens the store in the database, nil if there is none.
func (a *app) openDatabase(ctx context.Context, o *storeOptions) (storage.Store, func() error, error) {
	if o.url == "" {
		return nil, func() error { return nil }, nil
	}
	store, err := postgres.Open(ctx, o.url, &postgres.Options{SweepInterval: time.Minute, Logger: a.logger})
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// openFile opens the store in the data directory, or in a temporary one that
// the returned function removes.
func (a *app) openFile(o *storeOptions) (storage.Store, func() error, error) {
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
		NoSync: o.keeping() == provider.Ephemeral, SweepInterval: time.Second, Logger: a.logger,
	})
	if err != nil {
		return nil, nil, firstError(dataError(dir, err), cleanUp())
	}
	return store, func() error { return firstError(store.Close(), cleanUp()) }, nil
}
