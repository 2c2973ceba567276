package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/storage/bolt"
)

// newDB makes the commands that look into the embedded store's file.
func newDB() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "db",
		Short: "Check, count, compact or dump the embedded store's file",
		Long: "Check, count, compact or dump the file of the embedded store, provider.db, while no provider\n" +
			"has it open: a running one has it for itself, and is named. The file is the one in --data, by\n" +
			"default the lab's, or FILE. None of the commands but compact changes it; one that an older\n" +
			"version wrote they read as it is, and the next start of a provider brings it up to date.",
	})
	for _, add := range []func(*dbFile) *cobra.Command{newDBCheck, newDBStats, newDBCompact, newDBDump} {
		file := &dbFile{}
		sub := add(file)
		sub.Args = cobra.MaximumNArgs(1)
		sub.Flags().StringVar(&file.dir, "data", "", "the file is the one in this `DIR` (default: oidclab in your state directory)")
		cmd.AddCommand(sub)
	}
	return cmd
}

// dbFile says which file is meant.
type dbFile struct{ dir string }

// path is the file that the flags and arguments mean.
func (d *dbFile) path(cmd *cobra.Command, args []string) (string, error) {
	switch {
	case len(args) == 1 && cmd.Flags().Changed("data") && d.dir != os.Getenv("OIDCLAB_DATA"): // a FILE comes before the variable
		return "", errors.New("the file is either the one in --data or FILE: choose one")
	case len(args) == 1 && args[0] == "":
		return "", errors.New("FILE is empty: a variable that is not set?")
	case len(args) == 1 && isDir(args[0]):
		return "", fmt.Errorf("%s is a directory; the file in it is meant by --data %s", args[0], args[0])
	case len(args) == 1:
		return args[0], nil
	case d.dir != "":
		return filepath.Join(d.dir, storeFile), nil
	}
	dir, err := stateDir()
	if err != nil {
		return "", fmt.Errorf("no place for the data: %w; say where it is with --data", err)
	}
	return filepath.Join(dir, storeFile), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// inspect opens the file to look at it, until done has ended.
func (d *dbFile) inspect(cmd *cobra.Command, args []string, done func(path string, f *bolt.File) error) (err error) {
	path, err := d.path(cmd, args)
	if err != nil {
		return err
	}
	f, err := bolt.Inspect(path)
	if err != nil {
		return dbError(path, err)
	}
	defer func() { err = firstError(err, f.Close()) }()
	return done(path, f)
}

// dbError says what to do about it.
func dbError(path string, err error) error {
	if held, ok := errors.AsType[*bolt.InUseError](err); ok {
		return fmt.Errorf("%s is in use by %s; stop that one first", path, held.Holder())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store at %s; say where it is with --data, or name the file", path)
	}
	if errors.Is(err, bolt.ErrDamaged) {
		return fmt.Errorf("%w; \"oidclab db check\" has the details", err)
	}
	return err
}

func newDBCheck(file *dbFile) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with the store's file; the exit status answers, too",
		RunE: func(cmd *cobra.Command, args []string) error {
			return file.inspect(cmd, args, func(path string, f *bolt.File) error {
				problems := f.Check()
				for _, problem := range problems {
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), printable(problem.Error())); err != nil {
						return err
					}
				}
				if len(problems) > 0 {
					return fmt.Errorf("%s is damaged: a copy from before has to take its place, or it has to begin anew", path)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is in order%s\n", path, older(f.Schema))
				return err
			})
		},
	}
}

// older says of a file of an older version what that means.
func older(schema int) string {
	if schema == bolt.Schema {
		return ""
	}
	return fmt.Sprintf(" (schema %d; the next start of a provider makes it %d)", schema, bolt.Schema)
}

func newDBStats(file *dbFile) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats [FILE]",
		Short: "Count the records in the store's file, and what has expired",
		RunE: func(cmd *cobra.Command, args []string) error {
			return file.inspect(cmd, args, func(path string, f *bolt.File) error {
				stats, err := f.Stats(time.Now())
				if err != nil {
					return dbError(path, err)
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(stats)
				}
				return printStats(cmd.OutOrStdout(), stats)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	return cmd
}

func printStats(w io.Writer, stats *bolt.Stats) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "RECORDS\tCOUNT\tBYTES\tEXPIRED\t\n")
	for _, h := range stats.Records {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\n", h.Kind, h.Count, h.Bytes, h.Expired)
	}
	fmt.Fprintf(table, "\t\t\t\t\nINDEX\tCOUNT\tBYTES\t\t\n")
	for _, h := range stats.Indexes {
		fmt.Fprintf(table, "%s\t%d\t%d\t\t\n", h.Kind, h.Count, h.Bytes)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nschema %d; file of %d bytes, %d pages, %d of them free (%d bytes for the next records)%s\n",
		stats.Schema, stats.FileBytes, stats.Pages, stats.FreePages, stats.FreeBytes, older(stats.Schema))
	return err
}

func newDBCompact(file *dbFile) *cobra.Command {
	return &cobra.Command{
		Use:   "compact [FILE]",
		Short: "Write the store's file anew, without the space that deleted records have left",
		Long: "Write the store's file anew, without the space that deleted records have left: it does not shrink by\n" +
			"itself. The new file takes the place of the old one in one step, so that a whole one is there\n" +
			"whatever happens. Until then both need their space.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := file.path(cmd, args)
			if err != nil {
				return err
			}
			before, after, err := bolt.Compact(path)
			if err != nil {
				return dbError(path, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes before, %d bytes after\n", path, before, after)
			return err
		},
	}
}

func newDBDump(file *dbFile) *cobra.Command {
	return &cobra.Command{
		Use:   "dump [FILE]",
		Short: "Print the records as lines of JSON, without secrets",
		Long: "Print every record as a line of JSON. Keys, the digests of client secrets and of registration tokens,\n" +
			"and user codes are left out; the digests of codes, tokens and cookies are cut short. What users\n" +
			"are called, and who allowed what to whom, is in it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return file.inspect(cmd, args, func(path string, f *bolt.File) error {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				if err := f.Dump(func(d bolt.Dumped) error { return encoder.Encode(d) }); err != nil {
					return dbError(path, err)
				}
				return nil
			})
		},
	}
}
