package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// The test binary, started again with these, is another process on the file.
const (
	childMode = "STORE_TEST_CHILD" // one of children or openers
	childPath = "STORE_TEST_PATH"
	childFrom = "STORE_TEST_FROM" // the first number that "write" uses
)

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := child(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(mode string) error {
	path := os.Getenv(childPath)
	if open, ok := openers[mode]; ok {
		return open(path)
	}
	s, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	return children[mode](s)
}

// openers are what the other process may do with a file that it has not opened.
var openers = map[string]func(path string) error{}

// children are what the other process may do with the store.
var children = map[string]func(*bolt.Store) error{"hold": holdOpen, "write": writeOn, "compact": compactOn}

// holdOpen holds the file until the parent has seen enough.
func holdOpen(s *bolt.Store) error {
	fmt.Fprintln(os.Stdout, "open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Close())
}

// writeOn commits without end.
func writeOn(s *bolt.Store) error {
	from, err := strconv.Atoi(os.Getenv(childFrom))
	if err != nil {
		return err
	}
	var done sync.WaitGroup
	for writer := range writers {
		done.Go(func() {
			for n := from + writer; ; n += writers {
				if err := issueAndRedeem(s, n); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	done.Wait()
	return nil
}

// writers is how many goroutines of the child commit.
const writers = 8

// issueAndRedeem commits a grant with a code, redeems it for an access token,
// and says what was acknowledged.
func issueAndRedeem(s *bolt.Store, n int) error {
	c := exchange(n)
	access := c.AccessTokens
	c.AccessTokens = nil
	if err := s.Commit(context.Background(), c); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "issued", n)
	if err := s.Commit(context.Background(), storage.Changes{At: start, RedeemCode: c.Codes[0].ID, AccessTokens: access}); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "redeemed", n)
	return nil
}

// startChild starts another process on the file.
func startChild(t *testing.T, mode, path string, from int) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode, childPath+"="+path, childFrom+"="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	in, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(pipe)
}

func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	cmd, in, out := startChild(t, "hold", path, 0)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("child said %q", out.Text())
	}
	refusesAtOnce(t, path)
	_, err := bolt.Open(path, nil)
	if held, ok := errors.AsType[*bolt.InUseError](err); runtime.GOOS == "linux" && (!ok || held.PID != cmd.Process.Pid || held.Command == "") {
		t.Errorf("got error %v, want one that names process %d", err, cmd.Process.Pid)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("child: %v", err)
	}
	reopen(t, path, nil)
}

// A process that is killed while it writes loses nothing that it was told is
// committed, and leaves no commit in part.
func TestKill(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "op.db")
	issued, redeemed := map[int]bool{}, map[int]bool{}
	for round := range rounds {
		from := round * 100_000
		cmd, _, out := startChild(t, "write", path, from)
		stop, lines, last := 1+r.IntN(1500), 0, from
		for out.Scan() { // after the kill too: what was said is said
			var what string
			var n int
			if _, err := fmt.Sscan(out.Text(), &what, &n); err != nil {
				t.Fatalf("child said %q", out.Text())
			}
			map[string]map[int]bool{"issued": issued, "redeemed": redeemed}[what][n] = true
			last = max(last, n)
			if lines++; lines == stop {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || lines < stop {
			t.Fatalf("child ended by itself after %d lines", lines)
		}
		if err := bolt.CheckFile(path); err != nil {
			t.Fatalf("seed %d, round %d, killed after %d lines: %v", seed, round, stop, err)
		}
		survives(t, path, last, issued, redeemed)
	}
	t.Logf("%d codes issued and %d redeemed in %d rounds", len(issued), len(redeemed), rounds)
}

// survives tests that the file holds what was acknowledged, and what was not
// wholly or not at all.
func survives(t *testing.T, path string, last int, issued, redeemed map[int]bool) {
	t.Helper()
	s, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	numbers := slices.Collect(maps.Keys(issued))
	for n := range 2 * writers {
		numbers = append(numbers, last+1+n) // where what was not acknowledged may be
	}
	for _, n := range numbers {
		id := storage.DigestOf(fmt.Sprintf("grant %d", n))
		code, _, codeErr := s.Code(t.Context(), id)
		_, _, refreshErr := s.RefreshToken(t.Context(), id)
		_, _, accessErr := s.AccessToken(t.Context(), id)
		if issued[n] && codeErr != nil {
			t.Errorf("code %d was issued: %v", n, codeErr)
		}
		if redeemed[n] && (code.UsedAt.IsZero() || accessErr != nil) {
			t.Errorf("code %d was redeemed: used at %v, access token: %v", n, code.UsedAt, accessErr)
		}
		if (codeErr == nil) != (refreshErr == nil) {
			t.Errorf("code %d was issued in part: %v, %v", n, codeErr, refreshErr)
		}
		if code.UsedAt.IsZero() != (accessErr != nil) {
			t.Errorf("code %d was redeemed in part: used at %v, access token: %v", n, code.UsedAt, accessErr)
		}
	}
}

// compactOn compacts the file without end.
func compactOn(s *bolt.Store) error {
	if err := s.Close(); err != nil {
		return err
	}
	for {
		if _, _, err := bolt.Compact(os.Getenv(childPath)); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "compacted")
	}
}

// Whenever a process is killed that compacts a file, the whole file is there.
func TestKillWhileCompacting(t *testing.T) {
	const exchanges = 200
	path := closedStore(t, exchanges)
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 10 {
		cmd, _, out := startChild(t, "compact", path, 0)
		for out.Scan() { // from the first one on it is at work
			time.AfterFunc(time.Duration(r.IntN(20_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		if err := bolt.CheckFile(path); err != nil {
			t.Fatal(err)
		}
	}
	s := reopen(t, path, nil)
	for n := range exchanges + 1 {
		holdsExchange(t, s, n)
	}
}
