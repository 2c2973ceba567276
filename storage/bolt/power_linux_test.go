package bolt_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage/bolt"
)

// sector is what a disk writes in one piece.
const sector = 512

// disk is a file as a power failure would leave it. bbolt flushes before each meta page and
// after it: of what was written since, any part may be there.
type disk struct {
	flushed []byte
	pending []written
	random  *rand.Rand
}

type written struct {
	offset int64
	data   []byte
}

// write notes what is written to the file, of which the size is flushed at once.
func (d *disk) write(offset int64, b []byte, size int64) {
	d.flushed = append(d.flushed, make([]byte, max(0, int(size)-len(d.flushed)))...)
	d.pending = append(d.pending, written{offset, bytes.Clone(b)})
}

// flush makes the disk have all.
func (d *disk) flush() {
	for _, w := range d.pending {
		d.flushed = grown(d.flushed, w)
		copy(d.flushed[w.offset:], w.data)
	}
	d.pending = nil
}

// fail is the file after a power failure: each sector of what was not flushed is there, or
// not.
func (d *disk) fail() []byte {
	left := bytes.Clone(d.flushed)
	often := 1 + d.random.IntN(8)
	for _, w := range d.pending {
		left = grown(left, w)
		for at := 0; at < len(w.data); at += sector {
			if d.random.IntN(8) < often {
				copy(left[w.offset+int64(at):], w.data[at:min(at+sector, len(w.data))])
			}
		}
	}
	return left
}

func grown(b []byte, w written) []byte {
	return append(b, make([]byte, max(0, int(w.offset)+len(w.data)-len(b)))...)
}

// TestPowerFailureWhileMigrating: whenever the power fails while a file is brought up to
// date, all records are there, and the next one does it.
func TestPowerFailureWhileMigrating(t *testing.T) {
	flows, failures := 900, 3
	if testing.Short() {
		flows, failures = 300, 1
	}
	older := filepath.Join(t.TempDir(), "older.db")
	manyOfVersion5(t, older, flows)
	_, want, err := bolt.Contents(older)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	d := &disk{flushed: before, random: rand.New(rand.NewPCG(seed, 0))}
	left, transactions := map[int]int{}, 0
	fail := func() {
		t.Helper()
		path := filepath.Join(t.TempDir(), "op.db")
		if err := os.WriteFile(path, d.fail(), 0o600); err != nil {
			t.Fatal(err)
		}
		left[holdsContents(t, path, want)]++
		if err := reopen(t, path, nil).Close(); err != nil {
			t.Fatal(err)
		}
		isOfSchema(t, bolt.Schema, holdsContents(t, path, want))
	}
	path := copyFile(t, older)
	if err := bolt.OpenRecorded(path, func(offset int64, b []byte) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if offset >= int64(2*os.Getpagesize()) {
			d.write(offset, b, info.Size())
			return
		}
		transactions++
		for range failures {
			fail() // in the midst of the pages
		}
		d.flush()
		d.write(offset, b, info.Size())
		fail() // of the meta page
		d.flush()
		fail() // just after it
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d transactions; left behind, by schema: %v", seed, transactions, left)
	if transactions < 3 || left[5] < transactions || left[bolt.Schema] == 0 {
		t.Errorf("%d transactions; left behind, by schema: %v; want several, and both", transactions, left)
	}
}

// TestSettleFirst: what the last process may not have flushed is flushed before anything is
// written in its place.
func TestSettleFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "older.db")
	manyOfVersion5(t, path, 10)
	long := start.Add(-always)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	writes := 0
	if err := bolt.OpenRecorded(path, func(int64, []byte) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if writes++; writes == 1 && info.ModTime().Equal(long) {
			t.Error("the meta pages were not written before")
		}
	}); err != nil {
		t.Fatal(err)
	}
	if writes == 0 {
		t.Error("nothing was written")
	}
}
