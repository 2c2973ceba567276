package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/oidclab/oidclab/provider"
)

// ready is how a script learns that the program serves, and where.
type ready struct {
	file string
	json bool
}

// readyLine is what the script gets.
type readyLine struct {
	Issuer string `json:"issuer"`
	Port   int    `json:"port"`
	PID    int    `json:"pid"`
	// With --tls, the file that holds the local CA.
	CA string `json:"ca,omitempty"`
	// With --control, the control plane's URL.
	Control string `json:"control,omitempty"`
	// With --store, the database's address.
	Store string `json:"store,omitempty"`
	// Without --store, what may become of the data: "durable" or "ephemeral".
	Durability provider.Durability `json:"durability,omitempty"`
	// Of a lab: the home page, and each party's origin by its name.
	Home    string            `json:"home,omitempty"`
	Parties map[string]string `json:"parties,omitempty"`
}

func (r *ready) flags(flags *pflag.FlagSet) {
	flags.StringVar(&r.file, "ready-file", "", "write a line of JSON with issuer and port to this `FILE` once it serves, and remove it at the end")
	flags.BoolVar(&r.json, "ready-json", false, "print that line instead of text for people")
}

// forget removes the file: a stale one would tell of a provider that is gone.
func (r *ready) forget() error {
	if r.file == "" {
		return nil
	}
	if err := os.Remove(r.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ready file %s: %w", r.file, pathReason(err))
	}
	return nil
}

// run serves until ctx is done or serve fails, announces once it serves, and
// takes the announcement back at the end.
func (r *ready) run(ctx context.Context, serve, announce func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx) })
	group.Go(func() error {
		err := announce(ctx)
		if ctx.Err() != nil {
			return nil // stopped before it served
		}
		return err
	})
	return firstError(group.Wait(), r.forget())
}

// announce waits until check says that the provider serves, and says so: in the
// file, and on out as JSON or by calling human.
func (r *ready) announce(ctx context.Context, out io.Writer, line readyLine, check func(context.Context) error, human func(io.Writer) error) error {
	if err := waitReady(ctx, check); err != nil {
		return err
	}
	line.PID = os.Getpid()
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if r.file != "" {
		if err := writeAtomically(r.file, data); err != nil {
			return fmt.Errorf("ready file %s: %w", r.file, pathReason(err))
		}
	}
	if r.json {
		_, err = out.Write(data)
		return err
	}
	return human(out)
}

// waitReady asks again until the answer is yes, or ctx is done. Keys take a
// moment at the very first start.
func waitReady(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if check(ctx) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// writeAtomically shows readers the whole file or none.
func writeAtomically(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".oidclab-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	_, err = tmp.Write(data)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path) //nolint:gosec // the person named it
}

func portOf(addr net.Addr) int {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return 0
	}
	return tcp.Port
}

// pathReason is the error without the path, which the caller's sentence names.
func pathReason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
