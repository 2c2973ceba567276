package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what the commands share.
type app struct {
	logLevel  string
	logFormat string
	logger    *slog.Logger // set before a command runs
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "oidclab",
		Short: "An OpenID Provider with reference clients, for learning, tests and demos",
		Long: "oidclab runs an OpenID Provider and reference clients on this machine.\n" +
			"It is for learning, tests and demos, not for production.",
		SilenceErrors: true, // main prints them, on one line
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			var err error
			a.logger, err = newLogger(cmd.ErrOrStderr(), a.logLevel, a.logFormat)
			return err
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.Version = thisVersion()
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.logLevel, "log-level", "info", "log from this level on: debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "log as text or json")
	completes(root, "log-level", "debug", "info", "warn", "error")
	completes(root, "log-format", "text", "json")
	root.AddCommand(a.newUp(), a.newServe(), a.newLogin(), newKeys(), newDB(), newBench(), newHealthcheck(), newVersion())
	return root
}

// group makes a command that only has others below it. Cobra answers a name that is
// none of them with the help and exit status 0, which a script takes for success.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return cmd
}

// completes tells the shell the values of a flag.
func completes(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not there
	}
}

// fromEnvironment sets the flags that were not given from OIDCLAB_ variables.
// They then count as given, so that the configuration file stays behind them.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "OIDCLAB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if f.Changed || !ok || value == "" || f.Name == "help" || failed != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = fmt.Errorf("environment variable %s: %w", name, valueError(f, value, err))
		}
	})
	return failed
}

// valueError says what a flag may be that got another value. err is pflag's.
func valueError(f *pflag.Flag, value string, err error) error {
	switch f.Value.Type() {
	case "bool":
		return fmt.Errorf("%q is not true or false", value)
	case "duration":
		return fmt.Errorf("%q is not a duration such as 30s or 5m", value)
	default:
		return errors.Unwrap(err)
	}
}

// flagError is the same for one on the command line.
func flagError(_ *cobra.Command, err error) error {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s: %w", wrong.GetFlag().Name, valueError(wrong.GetFlag(), wrong.GetValue(), err))
	}
	return err
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not one of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q is not text or json", format)
}

// untilSignal returns a context that the first Ctrl-C or SIGTERM ends. The
// second one finds no handler and ends the process at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
