package api

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxProofs bounds how many used proofs are remembered. Only who has a good
// token and its key adds one, and each is forgotten within a minute or so.
const maxProofs = 50_000

// ErrBusy says that a proof cannot be accepted now, since it could not be
// remembered.
var ErrBusy = errors.New("too many DPoP proofs were used within the last minute")

// usedProofs remembers the proofs that were used, for as long as they could be
// used again. It is in memory: a proof that was made before this process began
// may have been used in the one before, so it is refused.
type usedProofs struct {
	began time.Time

	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time
}

func newUsedProofs(now time.Time) *usedProofs {
	return &usedProofs{began: now, until: map[string]time.Time{}, swept: now}
}

// spend notes a proof that was made proofLife before until. It is an error if
// the proof was noted before.
func (u *usedProofs) spend(id string, until, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if until.Before(u.began.Add(proofLife).Truncate(time.Second)) { // "iat" has whole seconds
		return fmt.Errorf("%w: it was made before this server began, which cannot know its jti", ErrProofUsed)
	}
	if now.Sub(u.swept) >= time.Second {
		u.swept = now
		for id, until := range u.until {
			if !now.Before(until) {
				delete(u.until, id)
			}
		}
	}
	if now.Before(u.until[id]) {
		return ErrProofUsed
	}
	if len(u.until) >= maxProofs {
		return ErrBusy
	}
	u.until[id] = until
	return nil
}
