package bolt_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// BenchmarkCommit compares the store with a plain bbolt.Update that puts one
// value of the same size, alone and under 64 goroutines: the ratio is what
// grouping gives, on whatever disk.
func BenchmarkCommit(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("session/goroutines=%d", goroutines), func(b *testing.B) {
			s := benchStore(b)
			share(b, goroutines, func(n int) error {
				return s.Commit(b.Context(), storage.Changes{Sessions: []storage.Session{benchSession(n)}})
			})
		})
		b.Run(fmt.Sprintf("redeem/goroutines=%d", goroutines), func(b *testing.B) {
			s := benchStore(b)
			var issued storage.Changes
			for n := range b.N {
				c := exchange(n)
				issued.Grants = append(issued.Grants, c.Grants...)
				issued.Codes = append(issued.Codes, c.Codes...)
				if len(issued.Codes) < 250 && n < b.N-1 {
					continue
				}
				if err := s.Commit(b.Context(), issued); err != nil {
					b.Fatal(err)
				}
				issued = storage.Changes{}
			}
			share(b, goroutines, func(n int) error {
				c := exchange(n)
				return s.Commit(b.Context(), storage.Changes{
					At: start, RedeemCode: c.Codes[0].ID, AccessTokens: c.AccessTokens, RefreshTokens: c.RefreshTokens,
				})
			})
		})
		b.Run(fmt.Sprintf("plain-put/goroutines=%d", goroutines), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			value := make([]byte, 320)
			share(b, goroutines, func(n int) error {
				return db.Update(func(t *bbolt.Tx) error {
					bucket, err := t.CreateBucketIfNotExists([]byte("session"))
					if err != nil {
						return err
					}
					id := benchSession(n).ID
					return bucket.Put(id[:], value)
				})
			})
		})
	}
}

// BenchmarkRead is a lookup of a code with its grant.
func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	if err := s.Commit(b.Context(), exchange(0)); err != nil {
		b.Fatal(err)
	}
	id := storage.DigestOf("grant 0")
	for b.Loop() {
		if _, _, err := s.Code(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B) *bolt.Store {
	b.Helper()
	s, err := bolt.Open(filepath.Join(b.TempDir(), "op.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func benchSession(n int) storage.Session {
	id := fmt.Sprint(n)
	return storage.Session{
		ID: storage.DigestOf(id), SID: id, Subject: "alice", ACR: "1", AMR: []string{"pwd"},
		AuthTime: start, ExpiresAt: start.Add(time.Hour),
	}
}

// share divides b.N operations among goroutines.
func share(b *testing.B, goroutines int, f func(n int) error) {
	b.Helper()
	b.ResetTimer()
	var next atomic.Int64
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			for n := int(next.Add(1)) - 1; n < b.N; n = int(next.Add(1)) - 1 {
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
