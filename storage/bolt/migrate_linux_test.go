package bolt_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
	keys "github.com/oidclab/oidclab/storage/internal/ordered"
)

// addVersion5 adds records to the buckets of a file as version 5 kept them.
func addVersion5(t *testing.T, buckets map[string]map[string]string, c storage.Changes) {
	t.Helper()
	add := func(bucket string, kind byte, key string, expires time.Time, record any) {
		text, err := bolt.Packed(record)
		if err != nil {
			t.Fatal(err)
		}
		buckets[bucket][key] = text
		buckets["expiry"][string(keys.AppendInstant(nil, expires))+string(kind)+key] = ""
	}
	end := c.Grants[0].ExpiresAt
	for i := range c.Codes {
		add("code", 1, string(c.Codes[i].ID[:]), end, &c.Codes[i])
	}
	for i := range c.AccessTokens {
		add("access", 2, string(c.AccessTokens[i].ID[:]), c.AccessTokens[i].ExpiresAt, &c.AccessTokens[i])
	}
	for i := range c.RefreshTokens {
		add("refresh", 3, string(c.RefreshTokens[i].ID[:]), end, &c.RefreshTokens[i])
	}
	for i := range c.Sessions {
		s := &c.Sessions[i]
		add("session", 4, string(s.ID[:]), s.ExpiresAt, s)
		buckets["sid"][string(keys.Pair(s.SID, string(s.ID[:])))] = ""
	}
	add("grant", 5, c.Grants[0].ID, end, &c.Grants[0])
	buckets["sessiongrant"][string(keys.Pair(c.Grants[0].SessionID, c.Grants[0].ID))] = ""
	for i := range c.SessionClients {
		x := &c.SessionClients[i]
		add("sessionclient", 12, string(keys.SessionClient(x.SID, x.ClientID)), x.ExpiresAt, x)
	}
}

// manyOfVersion5 makes a file of version 5 with many records: of flows, which the provider
// named, and others. It returns how many of them expire.
func manyOfVersion5(t *testing.T, path string, flows int) (expire int) {
	t.Helper()
	buckets := version5(t)
	for n := range flows {
		now := start.Add(time.Duration(n) * 3 * time.Millisecond)
		f := newFlow(n, now, usual)
		c, redeemed := f.login(), f.redeem(now)
		c.AccessTokens, c.RefreshTokens = redeemed.AccessTokens, redeemed.RefreshTokens
		c.Codes[0].UsedAt = now
		addVersion5(t, buckets, c)
		if n%5 == 0 {
			addVersion5(t, buckets, exchange(n))
		}
	}
	writeFile(t, path, buckets)
	return len(buckets["expiry"])
}

// everyWrite is how many times the file at path is written to while it is opened.
func everyWrite(t *testing.T, path string) (writes int) {
	t.Helper()
	copied := copyFile(t, path)
	if err := bolt.OpenWatched(copied, func(_ int64, write func() error) error {
		writes++
		return write()
	}); err != nil {
		t.Fatal(err)
	}
	return writes
}

// copyFile copies a file to a place that the test has for itself.
func copyFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "op.db")
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

func init() { openers["migrate"] = dieWhileOpening }

// dieWhileOpening opens the file and is killed after the write whose number the parent
// gave.
func dieWhileOpening(path string) error {
	at, err := strconv.Atoi(os.Getenv(childFrom))
	if err != nil {
		return err
	}
	writes := 0
	return bolt.OpenWatched(path, func(_ int64, write func() error) error {
		if writes++; writes == at {
			return errors.Join(write(), syscall.Kill(os.Getpid(), syscall.SIGKILL))
		}
		return write()
	})
}

// spread is the numbers of some of n writes: the first and the last ones, and those that
// divide what is between.
func spread(n, some int) (all []int) {
	all = []int{1, 2, n - 3, n - 2, n - 1, n}
	for i := range some {
		all = append(all, 1+i*n/some)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(at int) bool { return at < 1 })
}

// holdsContents tests that the file at path has these contents and is in order, and returns
// its schema.
func holdsContents(t *testing.T, path string, want map[string]string) (schema int) {
	t.Helper()
	schema, got, err := bolt.Contents(path)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%d records and entries, want %d:\n%s", len(got), len(want), cmp.Diff(want, got))
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Fatal(err)
	}
	return schema
}

func isOfSchema(t *testing.T, want, got int) {
	t.Helper()
	if got != want {
		t.Errorf("schema %d, want %d", got, want)
	}
}

// TestKillWhileMigrating: whenever a process is killed that brings a file up to date, all
// records are there, and the next one does it.
func TestKillWhileMigrating(t *testing.T) {
	flows, rounds := 600, 12
	if testing.Short() {
		flows, rounds = 200, 4
	}
	older := filepath.Join(t.TempDir(), "older.db")
	expire := manyOfVersion5(t, older, flows)
	_, want, err := bolt.Contents(older)
	if err != nil {
		t.Fatal(err)
	}
	writes := everyWrite(t, older)
	left := map[int]int{}
	path := ""
	for _, at := range spread(writes, rounds) {
		path = copyFile(t, older)

		// 1. The process is killed, and what was there is there.
		cmd, _, _ := startChild(t, "migrate", path, at)
		err := cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("write %d of %d: the child ended by itself: %v", at, writes, err)
		}
		left[holdsContents(t, path, want)]++

		// 2. The next one is not.
		if err := reopen(t, path, nil).Close(); err != nil {
			t.Fatal(err)
		}
		isOfSchema(t, bolt.Schema, holdsContents(t, path, want))
	}
	t.Logf("%d writes; left behind, by schema: %v", writes, left)
	if left[5] < rounds || left[bolt.Schema] == 0 {
		t.Errorf("left behind, by schema: %v; want both", left)
	}

	// 3. Everything expires once, and leaves nothing in the indexes.
	s := reopen(t, path, nil)
	if n, err := s.Sweep(t.Context(), start.Add(always), 10*expire); n != expire || err != nil {
		t.Errorf("Sweep: %d, %v; want %d", n, err, expire)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckFile(path); err != nil {
		t.Error(err)
	}
}

// TestMigrateAfterAnOlderProgram: where a process was killed that brought a file up to date,
// an older program may use the file, and the next way begins anew.
func TestMigrateAfterAnOlderProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	manyOfVersion5(t, path, 600)
	cmd, _, _ := startChild(t, "migrate", path, everyWrite(t, path)*3/4)
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	id := lastOfVersion5().AccessTokens[0].ID
	edit(t, path, func(tx *bbolt.Tx) error {
		stage := tx.Bucket([]byte("migration"))
		if stage == nil || stage.Bucket([]byte("issued")).Get([]byte(bolt.IssuedKey("access", string(id[:])))) == nil {
			return errors.New("the record has not been moved")
		}
		return errors.Join(
			tx.Bucket([]byte("access")).Delete(id[:]),
			tx.Bucket([]byte("expiry")).Delete([]byte(laterInstant+"\x02"+string(id[:]))))
	})
	_, want, err := bolt.Contents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := reopen(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	isOfSchema(t, bolt.Schema, holdsContents(t, path, want))
}

// TestMigrateInParts: no transaction of the way has much in memory, also where names are not
// in the order of time.
func TestMigrateInParts(t *testing.T) {
	const most = 3 // times the size of a part: what bbolt writes beside it
	older := filepath.Join(t.TempDir(), "older.db")
	manyOfVersion5(t, older, 600)
	odd := filepath.Join(t.TempDir(), "odd.db")
	buckets := version5(t)
	for n := range 1000 {
		addVersion5(t, buckets, exchange(n))
	}
	writeFile(t, odd, buckets)
	for name, path := range map[string]string{"named by the time": older, "other names": odd} {
		var transactions, writes, largest int
		if err := bolt.OpenWatched(path, func(offset int64, write func() error) error {
			if writes++; offset < int64(2*os.Getpagesize()) { // a meta page ends the transaction
				transactions, largest, writes = transactions+1, max(largest, writes), 0
			}
			return write()
		}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d transactions, %d writes at most", name, transactions, largest)
		if transactions < 5 || largest*os.Getpagesize() > most*bolt.SmallPart {
			t.Errorf("%s: %d transactions, of %d writes at most", name, transactions, largest)
		}
	}
}

// TestFailedMigration: where a file cannot be written while it is brought up to date, it
// keeps what it had, and Open says why.
func TestFailedMigration(t *testing.T) {
	older := filepath.Join(t.TempDir(), "older.db")
	manyOfVersion5(t, older, 300)
	_, want, err := bolt.Contents(older)
	if err != nil {
		t.Fatal(err)
	}
	writes := everyWrite(t, older)
	for _, failure := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, at := range spread(writes, 4) {
			t.Run(fmt.Sprintf("%v at write %d of %d", failure, at, writes), func(t *testing.T) {
				path, n := copyFile(t, older), 0
				err := bolt.OpenWatched(path, func(_ int64, write func() error) error {
					if n++; n >= at { // and so it stays
						return failure
					}
					return write()
				})
				saysWhy(t, err, failure)
				isOfSchema(t, 5, holdsContents(t, path, want))
				if err := reopen(t, path, nil).Close(); err != nil {
					t.Fatal(err)
				}
				isOfSchema(t, bolt.Schema, holdsContents(t, path, want))
			})
		}
	}
}

func saysWhy(t *testing.T, err error, failure syscall.Errno) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "bring the file from schema 5 to 6: ") || !strings.HasSuffix(err.Error(), failure.Error()) {
		t.Errorf("got error %v, want what could not be done, and %v", err, failure)
	}
}

func init() { openers["migrate under a limit"] = openUnderALimit }

// openUnderALimit opens a file in which nothing new has room, and again one that may grow.
func openUnderALimit(path string) error {
	f, err := bolt.Inspect(path)
	if err != nil {
		return err
	}
	stats, err := f.Stats(start)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	size := uint64(stats.FileBytes - stats.FreeBytes)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}); err != nil {
		return err
	}
	s, err := bolt.Open(path, nil)
	if err == nil {
		return errors.Join(errors.New("opened in spite of the limit"), s.Close())
	}
	fmt.Fprintln(os.Stdout, err)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the parent has looked
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if s, err = bolt.Open(path, nil); err != nil {
		return err
	}
	return s.Close()
}

// TestMigrateOnAFullDisk is the same with a real limit, and the real Open.
func TestMigrateOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "op.db")
	manyOfVersion5(t, path, 300)
	_, want, err := bolt.Contents(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd, in, out := startChild(t, "migrate under a limit", path, 0)
	if out.Scan(); !strings.HasPrefix(out.Text(), "store "+path+": ") {
		t.Errorf("got error %q, want one of %s", out.Text(), path)
	}
	saysWhy(t, errors.New(out.Text()), syscall.EFBIG)
	isOfSchema(t, 5, holdsContents(t, path, want))
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	isOfSchema(t, bolt.Schema, holdsContents(t, path, want))
}
