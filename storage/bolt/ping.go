package bolt

import (
	"context"
	"fmt"
	"time"
)

const (
	// pingLimit bounds Ping. To read takes microseconds, unless a write of bbolt's hangs
	// that has its lock; who asks whether the provider is ready waits for a second or a few.
	pingLimit = 1500 * time.Millisecond
	// writeLimit is how long a transaction may be under way: on a slow disk a flush takes
	// a second, one that takes longer than this is not worth waiting for.
	writeLimit = 5 * time.Second
)

// Ping implements storage.Store: it reads the file, knows whether it can still be written,
// and does not wait for a disk that hangs.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.broken(); err != nil {
		return err
	}
	if began := s.began.Load(); began != nil && time.Since(*began) > writeLimit {
		return fmt.Errorf("the disk has not taken what was written for more than %s", writeLimit)
	}
	limited, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case s.asks <- struct{}{}: // those that hang are one at most
		go func() {
			answer <- s.view(ctx, func(t *tx) error {
				_, err := schemaOf(t.Tx)
				return err
			})
			<-s.asks
		}()
	case <-limited.Done():
	}
	select {
	case err := <-answer:
		return err
	case <-limited.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("the file could not be read in %s", pingLimit)
}
