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
	{"one of 64 brings an identifier", func(f *fixture) { raceToUse(f, anIdentifier) }},
	{"one of 64 decides", func(f *fixture) { raceToUse(f, aDecision) }},
	{"one of 64 redeems a device code", func(f *fixture) { raceToUse(f, aDeviceCode) }},
	{"one of 64 takes a user code", raceForUserCode},
	{"nothing is issued after a sign-out, and no client is missed", raceSignOut},
	{"no session has a name that was signed out", raceToSucceed},
	{"one of 64 changes a client", raceToChange},
	{"one of 64 takes the last place", raceForRoom},
	{"all of 64 add to a consent", raceToAllow},
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

// raceToUse lets many use the same one, each for a grant of its own.
func raceToUse(f *fixture, u usable) {
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		u.given(f, id)
		oneWins(f, id, u.again, func(c *storage.Changes, _ string) { u.use(c, id) })
	}
}

// raceForUserCode lets many insert device codes with one user code.
func raceForUserCode(f *fixture) {
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		oneWins(f, id, storage.ErrExists, func(c *storage.Changes, racer string) {
			device := newDeviceCode(racer)
			device.UserCode = id
			c.DeviceCodes = []storage.DeviceCode{device}
		})
	}
}

// oneWins lets many commit changes of which one can succeed, each with a grant
// of its own.
func oneWins(f *fixture, id string, want error, add func(c *storage.Changes, racer string)) {
	f.Helper()
	name := func(racer int) string { return fmt.Sprintf("%s, racer %d", id, racer) }
	errs := together(func(racer int) error {
		c := storage.Changes{At: start, Grants: []storage.Grant{newGrant(name(racer))}}
		add(&c, name(racer))
		return f.store.Commit(f.Context(), c)
	})
	winners := 0
	for racer, err := range errs {
		grant, readErr := f.store.Grant(f.Context(), name(racer))
		if err == nil {
			winners++
			f.equal("the winner's grant", []any{grant, readErr}, []any{newGrant(name(racer)), nil})
		} else {
			f.wants(name(racer), err, want)
			f.wants("a loser's grant", readErr, storage.ErrNotFound)
		}
	}
	if winners != 1 {
		f.Errorf("%s: %d succeeded, want 1", id, winners)
	}
}

// raceSignOut lets many be issued a grant on the strength of a session that one
// ends meanwhile. Each gets none, or one that the sign-out revokes, and the
// client of each that gets one is known to whoever ended the session.
func raceSignOut(f *fixture) {
	issued := 0
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		session := newSession(id)
		f.commit(storage.Changes{Sessions: []storage.Session{session}})
		name := func(racer int) string { return fmt.Sprintf("%s, racer %02d", id, racer) }
		var told []storage.SessionClient
		errs := together(func(racer int) error {
			if racer == racers/2 {
				err := f.store.Commit(f.Context(), storage.Changes{
					At: start, EndSessions: []storage.Digest{session.ID}, SignOut: []string{session.SID},
				})
				clients, readErr := f.store.SessionClients(f.Context(), session.SID)
				told = clients
				return errors.Join(err, readErr)
			}
			return f.store.Commit(f.Context(), storage.Changes{
				RequireSession: session.ID,
				Grants:         []storage.Grant{grantOf(name(racer), session.SID, true)},
				SessionClients: []storage.SessionClient{newSessionClient(session.SID, name(racer))},
			})
		})
		f.equal("sign-out", errs[racers/2], nil)
		var want []storage.SessionClient
		for racer, err := range errs {
			switch {
			case racer == racers/2:
			case err == nil:
				want = append(want, newSessionClient(session.SID, name(racer)))
				f.revokedAt(name(racer), start)
			default:
				_, readErr := f.store.Grant(f.Context(), name(racer))
				f.wants(name(racer), err, storage.ErrEnded)
				f.wants("its grant", readErr, storage.ErrNotFound)
			}
		}
		issued += len(want)
		f.equal("number of clients told", len(told), len(want))
		if len(want) > 0 {
			f.equal("clients told", told, want)
		}
	}
	f.Logf("%d of %d came before the sign-out", issued, rounds*(racers-1))
}

// raceToSucceed lets many take the place of a session that one signs out
// meanwhile. Whoever comes first ends with it, and nobody comes afterwards.
func raceToSucceed(f *fixture) {
	succeeded := 0
	for round := range rounds {
		session := newSession(fmt.Sprintf("round %d", round))
		f.commit(storage.Changes{Sessions: []storage.Session{session}})
		successor := func(racer int) storage.Session {
			s := newSession(fmt.Sprintf("round %d, racer %d", round, racer))
			s.SID = session.SID
			return s
		}
		errs := together(func(racer int) error {
			c := storage.Changes{RequireSID: session.SID, EndSessions: []storage.Digest{session.ID}, Sessions: []storage.Session{successor(racer)}}
			if racer == racers/2 {
				c = storage.Changes{At: start, SignOut: []string{session.SID}}
			}
			return f.store.Commit(f.Context(), c)
		})
		f.equal("sign-out", errs[racers/2], nil)
		for racer, err := range errs {
			if racer != racers/2 && err == nil {
				succeeded++
			} else if racer != racers/2 {
				f.wants("a late successor", err, storage.ErrEnded)
			}
			_, err := f.store.Session(f.Context(), successor(racer).ID)
			f.wants("session after the sign-out", err, storage.ErrNotFound)
		}
	}
	f.Logf("%d of %d came before the sign-out", succeeded, rounds*(racers-1))
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
