package storage

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// sweepLimit bounds one sweep in the background.
const sweepLimit = 100_000

// SweepEvery removes what has expired from a store, until ctx ends.
func SweepEvery(ctx context.Context, s Store, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			n, err := s.Sweep(ctx, now, sweepLimit)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrBroken): // said when it broke
			case err != nil:
				logger.ErrorContext(ctx, "sweep failed", "error", err, "count", n)
			case n > 0:
				logger.DebugContext(ctx, "expired records removed", "count", n)
			}
		}
	}
}
