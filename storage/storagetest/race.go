package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidclab/oidclab/storage"
)

const (
	rounds = 50
	racers = 64
)

var raceRules = []rule{
	{"one of 64 redeems a code", func(f *fixture) { raceFor(f, aCode) }},
	{"one of 64 rotates a refresh token", func(f *fixture) { raceFor(f, aRefreshToken) }},
	{"all of 64 commit what does not conflict", raceApart},
}

// raceFor lets many spend the same one, each for an access token of its own.
func raceFor(f *fixture, s spendable) {
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		s.given(f, id, id)
		errs := together(func(racer int) error {
			c := s.of(start.Add(time.Duration(racer)), id)
			c.AccessTokens = []storage.AccessToken{newAccessToken(fmt.Sprintf("%s, racer %d", id, racer), id)}
			return f.store.Commit(f.Context(), c)
		})
		winners := 0
		for racer, err := range errs {
			_, _, readErr := f.store.AccessToken(f.Context(), storage.DigestOf(fmt.Sprintf("%s, racer %d", id, racer)))
			switch {
			case err == nil:
				winners++
				f.equal("the winner's token", readErr, nil)
			case errors.Is(err, storage.ErrUsed), errors.Is(err, storage.ErrRevoked):
				f.wants("a loser's token", readErr, storage.ErrNotFound)
			default:
				f.Errorf("%s, racer %d: %v", id, racer, err)
			}
		}
		if winners != 1 {
			f.Errorf("%s: %d succeeded, want 1", id, winners)
		}
		if f.grant(id).RevokedAt.IsZero() {
			f.Errorf("%s: grant lives after the reuse", id)
		}
	}
}

func raceApart(f *fixture) {
	errs := together(func(racer int) error {
		for n := range 10 {
			id := fmt.Sprintf("%d/%d", racer, n)
			c := storage.Changes{Grants: []storage.Grant{newGrant(id)}}
			aCode.add(&c, id, id)
			if err := f.store.Commit(f.Context(), c); err != nil {
				return err
			}
			if err := f.store.Commit(f.Context(), aCode.of(start, id)); err != nil {
				return err
			}
			if _, _, err := f.store.Code(f.Context(), storage.DigestOf(id)); err != nil {
				return err
			}
		}
		return nil
	})
	f.equal("errors", errors.Join(errs...), nil)
}

// together runs f on many goroutines that start as one.
func together(f func(racer int) error) []error {
	errs := make([]error, racers)
	var ready, done sync.WaitGroup
	ready.Add(racers)
	for racer := range racers {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			errs[racer] = f(racer)
		})
	}
	done.Wait()
	return errs
}

// wants tests an error.
func (f *fixture) wants(what string, got, want error) {
	f.Helper()
	if !errors.Is(got, want) {
		f.Errorf("%s: got error %v, want %v", what, got, want)
	}
}
