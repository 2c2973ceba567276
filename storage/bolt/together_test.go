package bolt_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidclab/oidclab/storage/bolt"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// TestTogether: several random operations in one transaction give the answers that they
// give one after the other, sweeps among them.
func TestTogether(t *testing.T) {
	for _, sort := range storagetest.Sorts() {
		for _, seed := range []uint64{0, 1, 2, 3, uint64(time.Now().UnixNano())} {
			t.Run(fmt.Sprintf("%s, seed %d", sort, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, _ := openStore(t, &bolt.Options{NoSync: true})
					storagetest.RunTogether(t, s, sort, seed, func(do []func()) {
						var done sync.WaitGroup
						release, _ := s.Hold(t.Context())
						for _, f := range do {
							done.Go(f)
							synctest.Wait() // it waits for the writer, behind those before
						}
						release()
						done.Wait()
					})
				})
			})
		}
	}
}
