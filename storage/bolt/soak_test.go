package bolt_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// BenchmarkCommitBesideASweep shows what a sweep of 100,000 expired records costs
// those who commit meanwhile: their latencies alone, and beside it.
func BenchmarkCommitBesideASweep(b *testing.B) {
	for _, o := range []bolt.Options{{}, {NoSync: true}} {
		for _, beside := range []bool{false, true} {
			b.Run(fmt.Sprintf("durable=%t/sweep=%t", !o.NoSync, beside), func(b *testing.B) {
				s, err := bolt.Open(filepath.Join(b.TempDir(), "op.db"), &o)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				for n := range 250 {
					issueMany(b, s, n*100, 100)
				}
				var swept atomic.Bool
				var sweep sync.WaitGroup
				b.ResetTimer()
				began := time.Now()
				if beside {
					sweep.Go(func() {
						n, err := s.Sweep(b.Context(), start.Add(2*time.Hour), 100_000)
						if n != 100_000 || err != nil {
							b.Errorf("swept %d, %v", n, err)
						}
						b.ReportMetric(float64(n)/time.Since(began).Seconds(), "swept/s")
						swept.Store(true)
					})
				}
				waits := make([][]time.Duration, 8)
				var commits sync.WaitGroup
				for g := range waits {
					commits.Go(func() {
						for n := 0; beside && !swept.Load() || !beside && time.Since(began) < time.Second; n++ {
							before := time.Now()
							if err := s.Commit(b.Context(), storage.Changes{Sessions: []storage.Session{benchSession(1_000_000*(g+1) + n)}}); err != nil {
								b.Error(err)
								return
							}
							waits[g] = append(waits[g], time.Since(before))
						}
					})
				}
				commits.Wait()
				sweep.Wait()
				all := slices.Concat(waits...)
				slices.Sort(all)
				for name, at := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "max-µs": 1} {
					b.ReportMetric(float64(all[int(at*float64(len(all)-1))].Microseconds()), name)
				}
			})
		}
	}
}

// issueMany commits exchanges in one transaction.
func issueMany(b *testing.B, s *bolt.Store, from, count int) {
	b.Helper()
	var c storage.Changes
	for n := from; n < from+count; n++ {
		e := exchange(n)
		c.Grants = append(c.Grants, e.Grants...)
		c.Codes = append(c.Codes, e.Codes...)
		c.AccessTokens = append(c.AccessTokens, e.AccessTokens...)
		c.RefreshTokens = append(c.RefreshTokens, e.RefreshTokens...)
	}
	if err := s.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSoak is b.N sign-ins, of which nothing lives for more than five seconds,
// at 1,500 a second and with a sweep each second, as far as the records' clock can
// tell: it runs as fast as the machine can. The size of the file after each quarter
// shows whether it stops growing. To see it, take many: -benchtime 500000x.
func BenchmarkSoak(b *testing.B) {
	const rate, life, users = 1500, 5 * time.Second, 16
	path := filepath.Join(b.TempDir(), "op.db")
	s, err := bolt.Open(path, &bolt.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second / rate) }

	var next, swept atomic.Int64
	var all, sweeping sync.WaitGroup
	due := make(chan time.Time, b.N/rate+1)
	sweeping.Go(func() {
		for now := range due {
			n, err := s.Sweep(b.Context(), now, 1_000_000)
			if err != nil {
				b.Error(err)
			}
			swept.Add(int64(n))
		}
	})
	b.ResetTimer()
	for range users {
		all.Go(func() {
			for n := int(next.Add(1)) - 1; n < b.N; n = int(next.Add(1)) - 1 {
				if err := signIn(b, s, n, at(n), life); err != nil {
					b.Error(err)
					return
				}
				if n%rate == 0 {
					due <- at(n)
				}
				if quarter := max(1, b.N/4); (n+1)%quarter == 0 {
					info, err := os.Stat(path)
					if err != nil {
						b.Error(err)
						return
					}
					b.ReportMetric(float64(info.Size())/(1<<20), fmt.Sprintf("MiB-at-%d/4", (n+1)/quarter))
				}
			}
		})
	}
	all.Wait()
	close(due)
	sweeping.Wait()
	b.ReportMetric(float64(swept.Load())/float64(b.N), "swept/op")
}

// signIn commits what a flow does: a session, a grant with its code, and the tokens.
func signIn(b *testing.B, s *bolt.Store, n int, now time.Time, life time.Duration) error {
	b.Helper()
	c := exchange(n)
	expires := now.Add(life)
	id := ordered(n, now)
	grant := c.Grants[0]
	name := fmt.Sprintf("%x", id[:16])
	grant.ID, grant.SessionID, grant.ExpiresAt = name, name, expires
	session := benchSession(n)
	session.ID, session.SID, session.ExpiresAt = id, name, expires
	code := c.Codes[0]
	code.ID, code.GrantID = id, grant.ID
	access, refresh := c.AccessTokens[0], c.RefreshTokens[0]
	access.ID, access.GrantID, access.ExpiresAt = id, grant.ID, expires
	refresh.ID, refresh.GrantID, refresh.ExpiresAt = id, grant.ID, expires
	if err := s.Commit(b.Context(), storage.Changes{At: now, Sessions: []storage.Session{session}}); err != nil {
		return err
	}
	if err := s.Commit(b.Context(), storage.Changes{At: now, Grants: []storage.Grant{grant}, Codes: []storage.Code{code}}); err != nil {
		return err
	}
	return s.Commit(b.Context(), storage.Changes{
		At: now, RedeemCode: code.ID, AccessTokens: []storage.AccessToken{access}, RefreshTokens: []storage.RefreshToken{refresh},
	})
}

// ordered is an identifier as the provider makes them: they begin with the time.
func ordered(n int, now time.Time) storage.Digest {
	id := storage.DigestOf(fmt.Sprint(n))
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(now.UnixMilli()))
	copy(id[:], millis[2:8])
	return id
}

// BenchmarkSoakMixed is BenchmarkSoak with records that live for ten seconds, one and two
// minutes, and five: the provider's own lifetimes, nearer to each other. Every second
// flow has a refresh token, and one from a minute before is used. Since what comes
// together goes at different times, the file shows whether half-empty pages are filled.
// -benchtime 150000x is two such lives of five minutes.
func BenchmarkSoakMixed(b *testing.B) {
	const rate = 250
	path := filepath.Join(b.TempDir(), "op.db")
	s, err := bolt.Open(path, &bolt.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	mixed := lives{access: 10 * time.Second, session: time.Minute, grant: 5 * time.Minute}
	brief := lives{access: 10 * time.Second, session: time.Minute, grant: 11 * time.Second}
	before := s.Costs()
	var families []*flow
	for n := range b.N {
		now := start.Add(time.Duration(n) * time.Second / rate)
		if n%rate == 0 {
			if _, err := s.Sweep(b.Context(), now, 1_000_000); err != nil {
				b.Fatal(err)
			}
		}
		f := newFlow(n, now, []lives{mixed, brief}[n%2])
		changes := []storage.Changes{f.login(), f.redeem(now.Add(3 * time.Millisecond))}
		if families = append(families, f); n%2 == 0 && n > 60*rate {
			changes = append(changes, families[0].refreshed(now))
		}
		if len(families) > 60*rate {
			families = families[1:]
		}
		for _, c := range changes {
			if err := s.Commit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		if quarter := max(1, b.N/4); (n+1)%quarter == 0 {
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/(1<<20), fmt.Sprintf("MiB-at-%d/4", (n+1)/quarter))
		}
	}
	b.ReportMetric(float64(s.Costs().Writes-before.Writes)/float64(b.N), "writes/op")
}
