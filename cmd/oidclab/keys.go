package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/oidclab/oidclab/provider"
)

// keysAnswer is the control plane's answer about keys.
type keysAnswer struct {
	Changed bool                  `json:"changed"`
	Keys    []provider.SigningKey `json:"keys"`
}

func newKeys() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "keys",
		Short: "List or rotate the signing keys of a running provider",
		Long:  "List or rotate the signing keys of a provider that runs with --control.",
	})
	cmd.AddCommand(newKeysList(), newKeysRotate())
	return cmd
}

func newKeysList() *cobra.Command {
	var control controlClient
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the signing keys of a running provider",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := control.call(cmd.Context(), http.MethodGet, "/keys", nil)
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), raw, asJSON, func(*keysAnswer) string { return "" })
		},
	}
	control.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	return cmd
}

func newKeysRotate() *cobra.Command {
	var control controlClient
	var asJSON bool
	var command struct {
		Now  bool     `json:"now"`
		Algs []string `json:"algs,omitempty"`
	}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the signing keys of a running provider",
		Long: "Replace the signing keys of a running provider. The next keys are published at once, and sign\n" +
			"when whoever keeps the old ones has had time to see them. The old ones stay published until\n" +
			"what they signed has expired.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("alg") && len(command.Algs) == 0 {
				return errors.New("--alg names no algorithm; without it all keys are replaced")
			}
			raw, err := control.call(cmd.Context(), http.MethodPost, "/keys/rotate", command)
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), raw, asJSON, func(answer *keysAnswer) string {
				return rotationText(answer, command.Algs)
			})
		},
	}
	control.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	cmd.Flags().StringSliceVar(&command.Algs, "alg", nil, "replace only the key of this `ALGORITHM`, RS256 say; may be repeated")
	cmd.Flags().BoolVar(&command.Now, "now", false, "let the next keys sign at once: relying parties that keep the old ones fail until they ask again")
	return cmd
}

// rotationText says what a rotation of the algorithms, none for all, has done.
func rotationText(answer *keysAnswer, algs []string) string {
	var from time.Time // when the last of the next keys signs
	for _, key := range answer.Keys {
		named := len(algs) == 0 || slices.Contains(algs, key.Algorithm)
		if named && key.State == provider.KeyNext && key.ActiveFrom.After(from) {
			from = key.ActiveFrom
		}
	}
	switch {
	case from.IsZero():
		return "New keys sign from now on.\n\n"
	case answer.Changed:
		return fmt.Sprintf("The next keys are published. They sign from %s on.\n\n", keyTime(from))
	default:
		return fmt.Sprintf("Nothing to do: the next keys are published, and sign from %s on; --now lets them sign at once.\n\n", keyTime(from))
	}
}

// printKeys prints an answer: as it came, or as a table below a text.
func printKeys(w io.Writer, raw []byte, asJSON bool, text func(*keysAnswer) string) error {
	if asJSON {
		_, err := fmt.Fprintf(w, "%s\n", raw)
		return err
	}
	var answer keysAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	if _, err := io.WriteString(w, text(&answer)); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "ALG\tSTATE\tSIGNS FROM\tPUBLISHED UNTIL\tKID\n")
	for _, key := range answer.Keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n",
			printable(key.Algorithm), printable(string(key.State)), keyTime(key.ActiveFrom), keyTime(key.PublishedUntil), printable(key.ID))
	}
	return table.Flush()
}

// keyTime is a time for people, "-" for none.
func keyTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}
