package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/storage/bolt"
)

// TestCheckEveryPage wipes each page in turn: whatever is in use is missed, and
// nothing of it stops the program.
func TestCheckEveryPage(t *testing.T) {
	path := closedStore(t, 100)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := bolt.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := f.Stats(start)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	missed := 0
	for page := 2; page < stats.Pages; page++ {
		wiped := append([]byte{}, whole...)
		clear(wiped[page*size : (page+1)*size])
		if looksAt(t, wiped, fmt.Sprintf("page %d wiped", page)) {
			missed++
		}
	}
	// The pages of one's overflow begin with what they hold, not with what they are.
	if want := stats.Pages - 2 - stats.FreePages; missed < want*9/10 || missed > want {
		t.Errorf("%d pages were missed, want %d or few less", missed, want)
	}
}

// TestCheckPages: all damage to pages is told, and that nothing else was looked for; and
// what bbolt alone sees.
func TestCheckPages(t *testing.T) {
	whole, err := os.ReadFile(closedStore(t, 100))
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	// The state is that of the meta page with the later transaction: the fields are behind
	// the page's header, 16 bytes.
	meta := whole[16:]
	if other := whole[size+16:]; binary.NativeEndian.Uint64(other[48:]) > binary.NativeEndian.Uint64(meta[48:]) {
		meta = other
	}
	root, freelist := binary.NativeEndian.Uint64(meta[16:]), binary.NativeEndian.Uint64(meta[32:])
	for _, tt := range []struct {
		name   string
		change func(root, freelist []byte)
		want   []string
	}{
		{"two pages wiped", func(root, freelist []byte) { clear(root); clear(freelist) }, []string{
			fmt.Sprintf("page %d: it is not itself", root), fmt.Sprintf("page %d: it is not itself", freelist), "the records were not looked at",
		}},
		{"a page in use that is free", func(_, freelist []byte) { binary.NativeEndian.PutUint64(freelist[16:], root) }, []string{
			fmt.Sprintf("page %d: reachable freed", root), "unreachable unfreed",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "damaged.db")
			damaged := bytes.Clone(whole)
			page := func(id uint64) []byte { return damaged[int(id)*size:][:size] }
			tt.change(page(root), page(freelist))
			writeBytes(t, path, damaged)
			problems := inspect(t, path).Check()
			text := fmt.Sprint(problems)
			if len(problems) != len(tt.want) {
				t.Errorf("%s, want %q", text, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s, want %q", text, want)
				}
			}
		})
	}
}

// TestDamagedPages damages a file in many ways. Nothing may panic, or run for ever.
func TestDamagedPages(t *testing.T) {
	path := closedStore(t, 100)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	rounds := 100
	if testing.Short() {
		rounds = 50
	}
	found := 0
	for round := range rounds {
		damaged := append([]byte{}, whole...)
		for range 1 + r.IntN(4) {
			at := r.IntN(len(damaged) - 16)
			switch r.IntN(4) {
			case 0: // anywhere
				damaged[at] ^= byte(1 + r.IntN(255))
			case 1: // a page's header
				damaged[at&^4095+r.IntN(16)] ^= byte(1 + r.IntN(255))
			case 2: // its first elements
				damaged[at&^4095+16+r.IntN(64)] = byte(r.IntN(64))
			case 3: // one page in another's place
				copy(damaged[at&^4095:], damaged[r.IntN(len(damaged))&^4095:][:4096])
			}
		}
		if r.IntN(8) == 0 {
			damaged = damaged[:r.IntN(len(damaged))]
		}
		if looksAt(t, damaged, fmt.Sprintf("seed %d, round %d", seed, round)) {
			found++
		}
	}
	t.Logf("damage was found in %d of %d files", found, rounds)
	if found < rounds/4 {
		t.Error("that is few")
	}
}

// looksAt does everything that can be done with a closed file, and reports whether
// something was found to be wrong.
func looksAt(t *testing.T, content []byte, what string) (wrong bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := bolt.Inspect(path)
	if err != nil {
		return true
	}
	problems := f.Check()
	_, statsErr := f.Stats(start)
	dumpErr := f.Dump(func(bolt.Dumped) error { return nil })
	if err := f.Close(); err != nil {
		t.Errorf("%s: Close: %v", what, err)
	}
	if len(problems) == 0 && (statsErr != nil || dumpErr != nil) {
		t.Errorf("%s: in order, but %v, %v", what, statsErr, dumpErr)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(content) {
		t.Errorf("%s: looking at the file changed it (%v)", what, err)
	}
	if _, _, err := bolt.Compact(path); (err != nil) != (len(problems) > 0) {
		t.Errorf("%s: %d problems, but Compact: %v", what, len(problems), err)
	}
	return len(problems) > 0
}
