package api

import (
	"errors"
	"strconv"
	"testing"
	"time"
)

// TestUsedProofsAreBounded: when there is no room, nothing is accepted that
// could not be remembered; there is room again when the old ones have ended.
func TestUsedProofsAreBounded(t *testing.T) {
	now := time.Now()
	proofs := newUsedProofs(now)
	until := now.Add(proofLife)
	for i := range maxProofs {
		if err := proofs.spend(strconv.Itoa(i), until, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := proofs.spend("one more", until, now); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if err := proofs.spend("0", until, now); !errors.Is(err, ErrProofUsed) {
		t.Errorf("got %v", err)
	}
	if got := problemOf(ErrBusy, schemeDPoP); got.status != 503 {
		t.Errorf("status %d", got.status)
	}
	if err := proofs.spend("one more", until.Add(proofLife), until); err != nil || len(proofs.until) != 1 {
		t.Errorf("got %v, %d remembered", err, len(proofs.until))
	}
}
